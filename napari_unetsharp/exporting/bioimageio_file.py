"""A bioimage.io package, run by ``bioimageio.core`` before it is given away."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import imageio.v3 as imageio
import numpy as np
import torch
from numpy.typing import NDArray

from napari_unetsharp.errors import SaveError
from napari_unetsharp.exporting import bioimageio_pack, plain
from napari_unetsharp.exporting import bioimageio_text as text
from napari_unetsharp.exporting.check import expected
from napari_unetsharp.exporting.onnx_file import onnx_steps
from napari_unetsharp.exporting.onnx_runtime import SILENT
from napari_unetsharp.exporting.plain_form import one_view
from napari_unetsharp.images.drawn import draw_fluorescence
from napari_unetsharp.network.checkpoint import Checkpoint
from napari_unetsharp.network.grid import STRIDE

_POLL = 0.2
"""Seconds between two looks at the process that tests a package."""
_SKY, _COVER = np.array([0x56, 0xB4, 0xE9], np.float32), 256


def bioimageio_steps(checkpoint: Checkpoint) -> Iterator[str | bytes]:
    """Write a depth as a bioimage.io package and test it.

    Parameters
    ----------
    checkpoint : Checkpoint
        From `cut`.

    Yields
    ------
    str
        What is being done.
    bytes
        Last: the package, a zip file.

    Raises
    ------
    SaveError
        If the weights give anything else than our network, or ``bioimageio.core`` finds a fault in the package.
    """
    head = f"x0{checkpoint.config.level}"
    onnx = b""
    for step in onnx_steps(checkpoint, (head,)):
        if isinstance(step, bytes):
            onnx = step
        else:
            yield step
    with TemporaryDirectory(prefix="unetsharp-", ignore_cleanup_errors=True) as name:
        folder = Path(name) / "package"
        folder.mkdir()
        yield "Writing model card and example"
        _fill(folder, checkpoint, onnx)
        package = Path(name) / "package.bioimageio.zip"
        for _ in _packed(folder, package):
            yield "Testing the package with bioimageio.core"
        yield package.read_bytes()


def _fill(folder: Path, checkpoint: Checkpoint, onnx: bytes) -> None:
    head = f"x0{checkpoint.config.level}"
    (folder / text.ONNX).write_bytes(onnx)
    torch.save(one_view(checkpoint.network, head).state_dict(), folder / text.STATE)
    shutil.copyfile(str(plain.__file__), folder / text.NETWORK)
    (folder / text.CARD).write_text(text.card(checkpoint), encoding="utf-8")
    known = {"config": checkpoint.config.as_dict(), "metadata": checkpoint.metadata.as_dict()}
    (folder / text.FACTS).write_text(json.dumps(known, indent=1), encoding="utf-8")
    side = text.smallest_side(checkpoint.config.level)
    picture, map_ = _example(checkpoint, side + STRIDE, side + 3 * STRIDE)
    np.save(folder / text.INPUT, picture.transpose(2, 0, 1)[None].astype(np.float32))
    np.save(folder / text.OUTPUT, map_)
    imageio.imwrite(folder / text.COVER, cover(checkpoint))
    (folder / bioimageio_pack.VALUES).write_text(json.dumps(text.description_of(checkpoint)), encoding="utf-8")


def _example(checkpoint: Checkpoint, height: int, width: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Drawn nuclei (Y, X, C), and what our network gives for them with our own scaling (1, outputs, Y, X)."""
    grey, _ = draw_fluorescence(1, height, width, nuclei=height * width // 900)
    picture = np.repeat(grey[..., None], checkpoint.config.in_channels, axis=2)
    intensity = checkpoint.metadata.intensity
    scaled = intensity.apply(picture, intensity.limits(picture)).transpose(2, 0, 1)[None]
    return picture, expected(checkpoint, np.ascontiguousarray(scaled))[f"x0{checkpoint.config.level}"]


def cover(checkpoint: Checkpoint) -> NDArray[np.uint8]:
    """Drawn nuclei on the left, what the model sees in them on the right: (Y, X, 3), twice as wide as high."""
    picture, map_ = _example(checkpoint, _COVER, _COVER)
    grey = np.repeat(picture[..., :1], 3, axis=2).astype(np.float32)
    share = map_[0, : checkpoint.config.classes].max(0)[..., None]
    seen = grey * (1 - 0.7 * share) + 0.7 * share * _SKY
    return np.asarray(np.rint(np.concatenate([grey, seen], axis=1)), np.uint8)


def _packed(folder: Path, target: Path) -> Iterator[None]:
    """Pack and test in a process of its own: the test seeds and sets up torch for everything in its process."""
    verdict = target.with_name("verdict.json")
    command = [sys.executable, "-m", bioimageio_pack.__name__, str(folder), str(target), str(verdict)]
    settings = os.environ | SILENT | {"BIOIMAGEIO_CACHE_PATH": str(target.parent / "cache")}
    with (target.parent / "said.txt").open("w+b") as said:
        running = subprocess.Popen(command, cwd=target.parent, env=settings, stdout=said, stderr=subprocess.STDOUT)
        try:
            while running.poll() is None:
                yield
                time.sleep(_POLL)
        finally:
            running.kill()
            running.wait()
        if verdict.is_file():
            faults = json.loads(verdict.read_text(encoding="utf-8"))
        else:
            said.seek(0)
            faults = said.read().decode(errors="replace").strip().splitlines()[-1:] or ["it ended without a word"]
    if faults:
        raise SaveError(
            f"bioimageio.core finds a fault in the package ({faults[0]}), so nothing was written; choose another "
            "format, and tell the makers of this plugin"
        )
