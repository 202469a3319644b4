"""ONNX, checked in ONNX Runtime before it is given away."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp import __version__
from napari_unetsharp.errors import SaveError
from napari_unetsharp.exporting.about import KEY, facts
from napari_unetsharp.exporting.check import Maps, checked
from napari_unetsharp.exporting.onnx_graph import IMAGE, OPSET, graph_of
from napari_unetsharp.exporting.onnx_runtime import onnx_runtime
from napari_unetsharp.exporting.plain_form import plain_network
from napari_unetsharp.images.files import first_line
from napari_unetsharp.network.checkpoint import Checkpoint

_LARGEST = 2**31 - 2**20
"""Bytes that one ONNX file can hold (its format's own limit), less some room for names."""


def onnx_steps(checkpoint: Checkpoint, heads: tuple[str, ...] | None = None) -> Iterator[str | bytes]:
    """Write a depth as ONNX and check it.

    Parameters
    ----------
    checkpoint : Checkpoint
        From `cut`.
    heads : tuple of str, optional
        Views that are wanted, without the guided modules; by default all, and those modules.

    Yields
    ------
    str
        What is being done.
    bytes
        Last: the file.

    Raises
    ------
    SaveError
        If the network is too large for one file, or ONNX Runtime gives anything else than our network.
    """
    yield "Writing the graph"
    import onnx

    plain = plain_network(checkpoint.network, heads or checkpoint.config.heads, guided=heads is None)
    if sum(value.nbytes for value in plain.parameters()) > _LARGEST:
        raise SaveError("the model is larger than the 2 GB that an ONNX file can hold; choose torch.export")
    model = graph_of(plain, checkpoint.config.in_channels)
    about = facts(checkpoint)
    names = {value.name for value in model.graph.output}
    about["outputs"] = {name: value for name, value in about["outputs"].items() if name in names}
    onnx.helper.set_model_props(
        model,
        {
            KEY: json.dumps(about | {"opset": OPSET}),
            "values": "probabilities, 0 to 1",
            "intensity": about["input"]["intensity_words"],
        },
    )
    model.producer_name, model.producer_version = "napari-unetsharp", __version__
    model.doc_string = f"{checkpoint.metadata.name}: UNet# at depth {checkpoint.config.level}. {about['cite']}"
    onnx.checker.check_model(model, full_check=True)
    written = model.SerializeToString()
    yield from checked(runner(written), checkpoint, heads=heads)
    yield written


def runner(written: bytes) -> Callable[[NDArray[np.float32]], Maps]:
    """Open an ONNX file in ONNX Runtime, on the CPU.

    Returns
    -------
    callable
        (B, C, H, W) float32 to outputs by name.

    Raises
    ------
    SaveError
        If ONNX Runtime doesn't take the file.
    """
    try:
        session = onnx_runtime().InferenceSession(written, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common class of their own
        raise SaveError(f"ONNX Runtime can't open what was written ({first_line(error)}); nothing was kept") from error
    names = [output.name for output in session.get_outputs()]
    return lambda image: dict(zip(names, session.run(names, {IMAGE: image}), strict=True))
