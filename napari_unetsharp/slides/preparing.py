"""What is found out about a slide before a run: tissue, brightness, scale."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp import __version__
from napari_unetsharp.errors import ImageError, SlideRunError
from napari_unetsharp.images.slide import Slide
from napari_unetsharp.images.tissue import Tissue, TissueLook, tissue_mask
from napari_unetsharp.inference.predictor import Limits, Predictor
from napari_unetsharp.nuclei.label_settings import LabelSettings
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.slides.about import RunAbout
from napari_unetsharp.slides.block import maps_given, weights_hash
from napari_unetsharp.slides.grid import SIDE
from napari_unetsharp.slides.plane import SlidePlane
from napari_unetsharp.slides.scale import RunScale, estimated_on, limits_of, pieces_at, scale_of

OVERVIEW = 1024
"""Longer side of the picture of the slide in which tissue is looked for."""

_COSTLY = 64e6
"""Pixels above which decoding a level for an overview takes longer than a person waits."""

_PLACES, _SPARSE, _SPARSE_SIDE, _MOSTLY = 8, 10, 64, 0.3
"""Places to measure on; pieces per side of a slide on which tissue isn't known, and their sides in pixels; share of
tissue in a piece that is worth measuring."""

ANYWHERE = {"measured": "anywhere"}
"""Added to the options of a run for which no tissue was found: a later one that finds some measures there."""

Pieces = list[tuple[tuple[float, float], NDArray[Any]]]


@dataclass(frozen=True)
class RunSettings:
    """What a person decides about a run.

    Attributes
    ----------
    labels : LabelSettings
        `smallest` counts pixels of the result.
    nucleus_size : float, optional
        Typical diameter in pixels of level 0; measured if None.
    region : Box, optional
        In pixels of level 0: only blocks that meet it are run.
    tissue_only : bool
        Leave out blocks without tissue.
    tissue : Tissue, optional
        As a person edited it; found if None.
    um_per_pixel : (float, float), optional
        Of level 0, where the person says it.
    plane : tuple of int
        Index on the stack axes.
    side : int
        Of a block, in pixels of the result. Smaller ones show their nuclei sooner and cost more in all.
    """

    labels: LabelSettings = field(default_factory=LabelSettings)
    nucleus_size: float | None = None
    region: Box | None = None
    tissue_only: bool = True
    tissue: Tissue | None = None
    um_per_pixel: tuple[float, float] | None = None
    plane: tuple[int, ...] = ()
    side: int = SIDE


@dataclass(frozen=True)
class Prepared:
    """What a run will be.

    Attributes
    ----------
    about : RunAbout
    tissue : Tissue or None
        None where it wasn't asked for, or where the slide has no small version of itself.
    look : TissueLook or None
        By which blocks are told from empty glass one by one, where there is no mask.
    sentence : str
        About the scale; empty where an earlier run decided it.
    """

    about: RunAbout
    tissue: Tissue | None
    look: TissueLook | None
    sentence: str


def prepare(
    slide: Slide, predictor: Predictor, settings: RunSettings, earlier: list[RunAbout],
    stop: Callable[[], bool] = lambda: False,
) -> Prepared:  # fmt: skip
    """Find out what a run needs to know.

    Parameters
    ----------
    slide : Slide
    predictor : Predictor
    settings : RunSettings
    earlier : list of RunAbout
        Runs of which one may have measured this slide for this model.
    stop : callable
        Asked between measurements.

    Returns
    -------
    Prepared

    Raises
    ------
    ImageError
        If no place of the slide can be read.
    SettingsError
        If a size makes no sense, or the model has no map at the predictor's depth.
    SlideRunError
        If it was stopped.
    """
    um = settings.um_per_pixel or slide.um_per_pixel
    about = _without_scale(slide, predictor, settings, um)
    before = None if settings.nucleus_size else _earlier(predictor, earlier, about)
    tissue, seen = settings.tissue, _Survey(settings.tissue, None, [], True)
    if before is None or not _sure(before, predictor) or (settings.tissue_only and tissue is None):
        seen = _survey(slide, um, settings.plane, tissue)
        tissue = seen.tissue
    if before is not None and not _sure(before, predictor) and seen.on_tissue and _hash(tissue) != before.tissue:
        before = None
    if before is not None:
        scale = RunScale(before.nucleus_size, before.options["magnification"], before.options["scale"], "")
        limits, anywhere = (before.limits[0], before.limits[1]), "measured" in before.options
    else:
        scale, limits = _measured(slide, predictor, settings, um, seen.places, stop)
        anywhere = not seen.on_tissue
    if stop():
        raise SlideRunError("stopped while the slide was measured; nothing was computed yet, run again")
    tissue = tissue if settings.tissue_only else None
    about = _with_scale(replace(about, tissue=_hash(tissue)), scale, limits)
    if anywhere:
        about = replace(about, options=about.options | ANYWHERE)
    return Prepared(about, tissue, seen.look if settings.tissue_only and tissue is None else None, scale.sentence)


def _hash(tissue: Tissue | None) -> str:
    return tissue.hash if tissue else ""


def _measured(
    slide: Slide, predictor: Predictor, settings: RunSettings, um: tuple[float, float] | None,
    places: list[tuple[float, float]], stop: Callable[[], bool],
) -> tuple[RunScale, Limits]:  # fmt: skip
    """Scale and limits from some places at full resolution."""
    metadata = predictor.checkpoint.metadata
    plane = SlidePlane(slide, 1, settings.plane, predictor.checkpoint.config.in_channels)
    try:
        pieces = [pixels for _, pixels in pieces_at(plane, places)]
    except ImageError:  # something is damaged in each: smaller ones may be whole
        pieces = [pixels for _, pixels in _sparse(plane)]
    limits = limits_of(predictor, pieces)
    scale = scale_of(metadata, um, settings.nucleus_size, lambda: estimated_on(predictor, pieces, limits, stop))
    return scale, limits


def _with_scale(about: RunAbout, scale: RunScale, limits: tuple[float, float]) -> RunAbout:
    return replace(
        about, nucleus_size=scale.nucleus_size, limits=list(limits), downsample=scale.downsample,
        margin=min(scale.margin(), about.side),
        options=about.options | {"magnification": scale.magnification, "scale": scale.decided_by},
    )  # fmt: skip


def _without_scale(
    slide: Slide, predictor: Predictor, settings: RunSettings, um: tuple[float, float] | None
) -> RunAbout:
    metadata, sides = predictor.checkpoint.metadata, slide.shape[-3:-1]
    guided, orientations, accurate, dtype = predictor.options
    return RunAbout(
        slide.name, str(slide.path), slide.identity, (sides[0], sides[1]), settings.plane, um_per_pixel=um,
        checkpoint=metadata.name, checkpoint_sha256=metadata.sha256 or weights_hash(predictor), level=predictor.level,
        options={"guided": guided, "orientations": orientations, "accurate": accurate,
                 "precision": str(dtype).removeprefix("torch.")},
        side=settings.side, maps=maps_given(predictor), version=__version__,
    )  # fmt: skip


def _measured_the_same(run: RunAbout, about: RunAbout) -> bool:
    """Whether an earlier run measured the same slide for the same model, and no person said the size."""
    if run.options.get("scale", "person") == "person" or len(run.limits) != 2 or "magnification" not in run.options:
        return False
    names = ("identity", "plane", "checkpoint_sha256", "um_per_pixel", "slide_shape")
    return all(getattr(run, name) == getattr(about, name) for name in names)


def _earlier(predictor: Predictor, earlier: list[RunAbout], about: RunAbout) -> RunAbout | None:
    """The first run that measured the same, one that found what it looked for before others."""
    fitting = (run for run in earlier if _measured_the_same(run, about))
    return min(fitting, key=lambda run: not _sure(run, predictor), default=None)


def _sure(run: RunAbout, predictor: Predictor) -> bool:
    """Whether a run was measured on tissue, and on nuclei where the model wants to know their size."""
    unsized = run.options["scale"] == "nothing" and predictor.checkpoint.metadata.nucleus_size
    return "measured" not in run.options and not unsized


def runs_in(folders: list[Path]) -> list[RunAbout]:
    """Descriptions of the runs in some folders; those that can't be read are left out."""
    found = []
    for folder in folders:
        try:
            found.append(RunAbout.from_dict(json.loads((folder / "run.json").read_text(encoding="utf-8"))))
        except (OSError, ValueError, SlideRunError):
            continue
    return found


def find_tissue(
    slide: Slide, um_per_pixel: tuple[float, float] | None = None, plane: tuple[int, ...] = ()
) -> Tissue | None:
    """Look for tissue on a small picture of a slide.

    Parameters
    ----------
    slide : Slide
    um_per_pixel : (float, float), optional
        Of level 0.
    plane : tuple of int
        Index on the stack axes.

    Returns
    -------
    Tissue or None
        None where the slide has no small version of itself, so that all of it would have to be decoded.
    """
    fitting = [level for level in slide.levels if max(level.shape[-3:-1]) >= OVERVIEW] or [slide.levels[0]]
    level = fitting[-1]
    if np.prod([float(side) for side in level.shape[-3:-1]]) > _COSTLY:
        return None
    step = -(-max(level.shape[-3:-1]) // OVERVIEW)
    index = plane or (0,) * len(level.stack_shape)
    pixels, damaged = level.region((*index, slice(None, None, step), slice(None, None, step)))
    pixels = np.nan_to_num(pixels) if pixels.dtype.kind == "f" else pixels
    downsample = level.downsample[0] * step, level.downsample[1] * step
    um = um_per_pixel or slide.um_per_pixel
    mask = tissue_mask(pixels, um[0] * downsample[0] if um else None, slide.rgb)
    for part in damaged:  # what is there is unknown, and may be whole at full resolution
        mask[part.top // step : -(-part.bottom // step), part.left // step : -(-part.right // step)] = True
    return Tissue(mask, downsample)


class _Survey(NamedTuple):
    """Tissue, or else how to tell it block by block; some places of level 0, and whether tissue is there."""

    tissue: Tissue | None
    look: TissueLook | None
    places: list[tuple[float, float]]
    on_tissue: bool


def _survey(
    slide: Slide, um: tuple[float, float] | None, plane: tuple[int, ...], painted: Tissue | None = None
) -> _Survey:
    """Places spread over the tissue that a person painted, or that is found; where there is none, the most varied."""
    tissue = painted or find_tissue(slide, um, plane)
    if tissue is not None and tissue.mask.any():
        down, right = tissue.downsample
        cells = _spread(np.argwhere(tissue.mask))
        return _Survey(tissue, None, [((row + 0.5) * down, (column + 0.5) * right) for row, column in cells], True)
    sparse = _sparse(SlidePlane(slide, 1, plane, slide.shape[-1]))
    look, worth = None, list[tuple[float, float]]()
    if tissue is None:
        look = TissueLook.of(np.concatenate([pixels for _, pixels in sparse]), slide.rgb)
        worth = [place for place, pixels in sparse if look.shows(pixels).mean() > _MOSTLY]
    return _Survey(tissue, look, _spread(worth) if worth else _most_varied(sparse), bool(worth))


def _most_varied(pieces: Pieces) -> list[tuple[float, float]]:
    ranked = sorted(pieces, key=lambda piece: -float(piece[1].astype(np.float32).std()))
    return [place for place, _ in ranked[:_PLACES]]


def _spread(choices: Any) -> list[tuple[float, float]]:
    """A few of them, evenly apart."""
    count = min(_PLACES, len(choices))
    return [tuple(choices[int((at + 0.5) * len(choices) / count)]) for at in range(count)]


def _sparse(plane: SlidePlane) -> Pieces:
    """Small pieces on a grid over a plane."""
    height, width = plane.shape[:2]
    steps = [(at + 0.5) / _SPARSE for at in range(_SPARSE)]
    centres = [(down * height, right * width) for down in steps for right in steps]
    return pieces_at(plane, centres, min(_SPARSE_SIDE, height, width))
