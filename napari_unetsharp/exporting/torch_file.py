"""torch.export: the whole computation in one ``.pt2`` file, loaded again and checked before it is given away."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import torch

from napari_unetsharp.exporting.about import KEY, facts
from napari_unetsharp.exporting.check import checked
from napari_unetsharp.exporting.plain_form import plain_network
from napari_unetsharp.network.checkpoint import Checkpoint
from napari_unetsharp.network.grid import STRIDE

SMALLEST = 2 * STRIDE
"""Smallest side: torch.export doesn't take a side of 1 at the deepest row for any other."""


def torch_steps(checkpoint: Checkpoint) -> Iterator[str | bytes]:
    """Write a depth by torch.export and check it.

    Parameters
    ----------
    checkpoint : Checkpoint
        From `cut`.

    Yields
    ------
    str
        What is being done.
    bytes
        Last: the file. Its ``unetsharp.json`` holds the facts.

    Raises
    ------
    SaveError
        If the file, once loaded, gives anything else than our network.
    """
    yield "Tracing the computation"
    plain = plain_network(checkpoint.network, checkpoint.config.heads)
    free = torch.export.Dim
    sides = {
        0: free("batch", min=1), 2: STRIDE * free("rows", min=SMALLEST // STRIDE),
        3: STRIDE * free("columns", min=SMALLEST // STRIDE),
    }  # fmt: skip
    image = torch.zeros(2, checkpoint.config.in_channels, 3 * STRIDE, 5 * STRIDE)
    about = json.dumps(facts(checkpoint, SMALLEST))
    written = io.BytesIO()
    program = torch.export.export(plain, (image,), dynamic_shapes={"image": sides})
    yield "Loading it again"
    torch.export.save(program, written, extra_files={f"{KEY}.json": about})
    written.seek(0)
    loaded = torch.export.load(written).module()
    yield from checked(
        lambda pixels: {name: value.numpy() for name, value in loaded(torch.from_numpy(pixels)).items()}, checkpoint
    )
    yield written.getvalue()
