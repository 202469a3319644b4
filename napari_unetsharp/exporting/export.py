"""THE export: command line and window both call it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from napari_unetsharp.errors import SaveError, UNetSharpError
from napari_unetsharp.exporting.bioimageio_file import bioimageio_steps
from napari_unetsharp.exporting.depth import cut
from napari_unetsharp.exporting.formats import FORMATS, known_format
from napari_unetsharp.exporting.onnx_file import onnx_steps
from napari_unetsharp.exporting.safetensors_file import safetensors_steps
from napari_unetsharp.exporting.torch_file import torch_steps
from napari_unetsharp.images.files import first_line
from napari_unetsharp.images.tiff import written_beside
from napari_unetsharp.network.checkpoint import Checkpoint
from napari_unetsharp.progress import run

_STEPS: dict[str, Callable[[Checkpoint], Iterator[str | bytes]]] = {
    "safetensors": safetensors_steps,
    "onnx": onnx_steps,
    "torch": torch_steps,
    "bioimageio": bioimageio_steps,
}


@dataclass(frozen=True)
class ExportStep:
    """Something that is being done.

    Attributes
    ----------
    words : str
    """

    words: str


def export_model(
    checkpoint: Checkpoint,
    level: int,
    format: str,
    path: str | Path,
    overwrite: bool = False,
    on_step: Callable[[ExportStep], object] = lambda step: None,
) -> Path:
    """Write a depth of a checkpoint for another program, and check it there.

    Parameters
    ----------
    checkpoint : Checkpoint
        Stays as it is.
    level : int
        1 to 4; its views are kept, deeper ones are left out.
    format : str
        A key of `FORMATS`.
    path : str or Path
        Written beside and renamed; the format's suffix is added where it is missing.
    overwrite : bool
        Replace a file that is there.
    on_step : callable
        Gets each `ExportStep`.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    SettingsError
        If the checkpoint has no such depth, the format is unknown or a package for it isn't installed.
    SaveError
        If the file is there already, can't be written, or gives anything else than our network.
    """
    return run(export_steps(checkpoint, level, format, path, overwrite), on_step)


def export_steps(
    checkpoint: Checkpoint, level: int, format: str, path: str | Path, overwrite: bool = False
) -> Generator[ExportStep, None, Path]:
    """As `export_model`, step by step."""
    target = target_of(path, format)
    _refuse(target, overwrite)
    yield ExportStep(f"Cutting out depth {level}")
    part = cut(checkpoint, level)
    written = b""
    for step in _told(format, part):
        if isinstance(step, bytes):
            written = step
        else:
            yield ExportStep(step)
    _refuse(target, overwrite)  # somebody else may have put one there meanwhile
    try:
        with written_beside(target) as beside:
            beside.write_bytes(written)
    except OSError as error:
        raise SaveError(f"{target} can't be written ({error}); choose another place or make room") from error
    return target


def target_of(path: str | Path, format: str) -> Path:
    """The path, with the suffix of the format where it has none of its own."""
    suffix = known_format(format).suffix
    name = Path(path).name
    return Path(path) if name.endswith(suffix) else Path(path).with_name(name + suffix)


def _told(format: str, part: Checkpoint) -> Iterator[str | bytes]:
    """The steps of a format, with what other packages raise turned into one of our errors."""
    try:
        yield from _STEPS[format](part)
    except UNetSharpError:
        raise
    except Exception as error:  # torch, onnx and ONNX Runtime have no common class, and workers swallow RuntimeError
        raise SaveError(
            f"{FORMATS[format].title} can't be written ({first_line(error)}), so nothing was; choose another format"
        ) from error


def _refuse(target: Path, overwrite: bool) -> None:
    if target.is_dir() or (target.exists() and not overwrite):
        raise SaveError(f"{target} is there already; choose another name, or let it be replaced")
