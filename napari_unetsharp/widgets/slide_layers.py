"""Slides as napari layers: lazy in several sizes, in µm, a layer per channel where the channels are no colours."""

from __future__ import annotations

from math import prod
from typing import Any
from weakref import finalize

from napari.utils.colormaps import Colormap

from napari_unetsharp.images.image import check_size
from napari_unetsharp.images.slide import Slide
from napari_unetsharp.widgets.channels import colour_of, limits_of, one_channel
from napari_unetsharp.widgets.pixel_size import pixel_size_of
from napari_unetsharp.widgets.slide_levels import ShownLevel, shown_levels
from napari_unetsharp.widgets.source import NOTES, PATH

__all__ = ["PICTURES", "SLIDE", "LayerData", "is_slide", "layers_from_slide", "pixel_size_of", "said_of", "slide_of"]

LayerData = tuple[Any, dict[str, Any], str]
"""Pixels, the keyword arguments of a layer, and the kind of layer."""

SLIDE = "unetsharp_slide"
"""Key of a layer's metadata: the `Slide` that the layer shows, of one channel where each channel has its layer."""

PICTURES = "unetsharp_pictures"
"""Key of a layer's metadata: names of the small pictures in the file ("label", "macro"), shown only when asked for."""

SMALL = 2**26
"""Pixels up to which a picture of one size is read whole, as any other; a stack's planes are read one by one."""

_MOST_SHOWN = 4
NO_SIZE = "The file states no pixel size: lengths are in pixels."


def slide_of(layer: Any) -> Slide | None:
    """Give the slide that a layer shows, open as long as the layer is used; None for anything else.

    Where channels are layers of their own it's a slide of that one channel, with an identity of its own.
    """
    found = None if layer is None else layer.metadata.get(SLIDE)
    return found if isinstance(found, Slide) else None


def is_slide(layer: Any) -> bool:
    """Whether a layer shows a slide: too large for one array, so to be run in blocks."""
    return slide_of(layer) is not None


def said_of(layer: Any) -> str:
    """Tell what a slide's file says of itself, in one sentence: format, objective, size."""
    slide = layer.metadata[SLIDE]
    height, width = slide.shape[-3:-1]
    size = pixel_size_of(slide)
    objective = [f"{slide.objective:g}x"] if slide.objective else []
    lengths = [f"{size[0]:g} µm per pixel"] if size else []
    kind = slide.kind[:1].upper() + slide.kind[1:]
    return ", ".join([kind, *objective, f"{width:,} x {height:,} px", *lengths]) + "."


def layers_from_slide(slide: Slide) -> list[LayerData]:
    """Give layers for what a slide reader opened; nothing is decoded but a few tiles.

    Parameters
    ----------
    slide : Slide
        Closed when nothing uses its layers any more; at once where it is small, since it's read whole then.

    Returns
    -------
    list of (levels or pixels, keywords, "image")
        One layer of colours, or one per channel.
    """
    finalize(slide, slide.opened.close)
    alone = slide.rgb or len(slide.channels) == 1
    parts = [slide] if alone else [one_channel(slide, number) for number in range(len(slide.channels))]
    return [_layer(part, slide, number) for number, part in enumerate(parts)]


def _layer(part: Slide, whole: Slide, number: int) -> LayerData:
    keywords = {**_described(part, whole), "rgb": part.rgb}
    if not part.rgb:
        keywords |= _coloured(part, number, len(whole.channels))
    if len(part.levels) > 1 or prod(part.shape[-3:-1]) > SMALL:
        keywords["metadata"][SLIDE] = part
        return shown_levels(part), keywords | {"multiscale": True}, "image"
    level = part.levels[0]
    if prod(part.shape[:-1]) > SMALL:  # many planes, each of which is an ordinary picture
        return ShownLevel(part, level, None), keywords, "image"
    check_size(level.shape, level.dtype, whole.path.name)
    return level[...] if part.rgb else level[..., 0], keywords, "image"


def _described(part: Slide, whole: Slide) -> dict[str, Any]:
    """Name, place in the world and what the file says."""
    size = pixel_size_of(whole)
    many = len(whole.channels) > 1 and not whole.rgb
    notes = list(whole.notes)
    if size and NO_SIZE in notes:
        notes[notes.index(NO_SIZE)] = f"{size[0]:g} µm per pixel, as you said."
    return {
        "name": f"{whole.name} · {part.channels[0].name}" if many else whole.name,
        "scale": (*whole.steps, *(size or (1.0, 1.0))),
        "units": (*whole.units, *(("micrometer",) * 2 if size else ("pixel",) * 2)),
        "axis_labels": tuple(whole.axes.removesuffix("C").lower()),
        "metadata": {
            NOTES: notes, PATH: str(whole.path), PICTURES: whole.associated, "vendor": whole.vendor,
            "objective": whole.objective, "format": whole.kind, "scanned": whole.bounds,
        },
    }  # fmt: skip


def _coloured(part: Slide, number: int, count: int) -> dict[str, Any]:
    channel = part.channels[0]
    bright = colour_of(channel, number, count)
    name = "gray" if bright == (1, 1, 1) else f"{channel.name} {number}"
    colours = name if name == "gray" else Colormap([(0, 0, 0), bright], name=name)
    return {
        "contrast_limits": limits_of(part, channel), "colormap": colours,
        "blending": "additive" if count > 1 else "translucent_no_depth", "visible": number < _MOST_SHOWN,
    }  # fmt: skip
