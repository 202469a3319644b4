"""Our own file: a smaller model for the window and the command line, loaded again before it is given away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from napari_unetsharp.exporting.check import checked, expected
from napari_unetsharp.network.checkpoint import Checkpoint, load_checkpoint


def safetensors_steps(checkpoint: Checkpoint) -> Iterator[str | bytes]:
    """Write a depth as a checkpoint and check it.

    Parameters
    ----------
    checkpoint : Checkpoint
        From `cut`.

    Yields
    ------
    str
        What is being done.
    bytes
        Last: the file.

    Raises
    ------
    CheckpointError
        If it can't be loaded again.
    SaveError
        If it then gives anything else than before.
    """
    yield "Saving, and loading it again"
    with TemporaryDirectory(prefix="unetsharp-", ignore_cleanup_errors=True) as folder:
        file = Path(folder) / "part.safetensors"
        checkpoint.save(file)
        loaded = load_checkpoint(file)
        yield from checked(lambda image: expected(loaded, image), checkpoint)
        yield file.read_bytes()
