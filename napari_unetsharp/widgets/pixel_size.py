"""The pixel size of a slide whose file doesn't say: asked once, remembered for its content."""

from __future__ import annotations

import json
from pathlib import Path

from platformdirs import user_config_path

from napari_unetsharp.errors import SaveError
from napari_unetsharp.images.slide import Slide
from napari_unetsharp.images.tiff import written_beside
from napari_unetsharp.widgets.channels import ChannelSlide

PixelSize = tuple[float, float]

_UNKEPT: dict[str, PixelSize | None] = {}
"""Answers that the disk didn't take; they hold as long as the program runs."""


def memory_file() -> Path:
    """Where the answers are kept."""
    return user_config_path("napari-unetsharp", appauthor=False) / "pixel_sizes.json"


def pixel_size_of(slide: Slide) -> PixelSize | None:
    """µm per pixel of level 0 along Y and X: the file's, else what a person said about this slide; None for unknown."""
    if slide.um_per_pixel is not None:
        return slide.um_per_pixel
    return _answers().get(_key(slide))


def is_answered(slide: Slide) -> bool:
    """Whether nobody need be asked: the file says it, or a person said it, or said that it's unknown."""
    return slide.um_per_pixel is not None or _key(slide) in _answers()


def remember(slide: Slide, size: PixelSize | None) -> None:
    """Keep what a person said.

    Parameters
    ----------
    slide : Slide
    size : (float, float) or None
        µm per pixel of level 0 along Y and X; None for "I don't know", so that nobody asks again.

    Raises
    ------
    SaveError
        If the disk doesn't take it; it holds until the program ends.
    """
    answers = _answers() | {_key(slide): size}
    text = json.dumps({key: list(said) if said else None for key, said in answers.items()}, indent=1)
    try:
        with written_beside(memory_file()) as beside:
            beside.write_text(text, encoding="utf-8")
    except OSError as error:
        _UNKEPT[_key(slide)] = size
        raise SaveError(
            f"the pixel size is used now and can't be remembered ({memory_file()}: {error.strerror or error}); allow "
            "writing there, or say it again next time"
        ) from error
    _UNKEPT.pop(_key(slide), None)


def _key(slide: Slide) -> str:
    """All channels of a slide have one pixel size."""
    whole = slide.whole if isinstance(slide, ChannelSlide) else None
    return (whole or slide).identity


def _answers() -> dict[str, PixelSize | None]:
    """All answers by identity; none where the file is missing or damaged: the question comes again then."""
    try:
        kept = json.loads(memory_file().read_text(encoding="utf-8"))
        known = {str(key): (float(said[0]), float(said[1])) if said else None for key, said in kept.items()}
    except (OSError, ValueError, TypeError, AttributeError, IndexError, KeyError):
        known = {}
    return known | _UNKEPT
