"""What is done for a slide in a thread of its own, and what the person may change while it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from napari_unetsharp.errors import SettingsError
from napari_unetsharp.images.slide import Slide
from napari_unetsharp.images.tissue import Tissue
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.inference.results import guarded
from napari_unetsharp.inference.tiling import Region
from napari_unetsharp.nuclei.label_settings import LabelSettings
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.slides.preparing import Prepared, prepare, runs_in
from napari_unetsharp.slides.run import BlockDone, RunSettings, SlideRun, run_folder
from napari_unetsharp.slides.store import SlideStore
from napari_unetsharp.widgets.find_form import DRAWN, SEE, FindForm
from napari_unetsharp.widgets.job import chosen_shapes
from napari_unetsharp.widgets.models import ModelList
from napari_unetsharp.widgets.slide_find_place import RECORD, slide_root
from napari_unetsharp.widgets.slide_find_stores import OpenStores
from napari_unetsharp.widgets.slide_layers import pixel_size_of
from napari_unetsharp.widgets.source import drawn_region, plane_on_screen, region_on_screen

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image as ImageLayer

CPU_SIDE = 384
"""Side of a block where the network runs on a CPU: the first nuclei show sooner, at a little more work in all."""


@dataclass
class Wishes:
    """What the window writes and a run reads before each block.

    Attributes
    ----------
    labels : LabelSettings
    view : Box or None
        What is on screen, in pixels of the slide.
    tissue : Tissue or None
        As it was painted, or found; None where none is on screen.
    only : bool
        Whether only tissue is to be run.
    painted : bool
        Whether `tissue` or `only` is news to the run.
    """

    labels: LabelSettings
    view: Box | None = None
    tissue: Tissue | None = None
    only: bool = True
    painted: bool = False


@dataclass(frozen=True)
class SlideJob:
    """One press of *Find nuclei* on a slide.

    Attributes
    ----------
    slide : Slide
    model, device : str
    depth : int
    settings : RunSettings
    options : dict
        Test-time options of `Predictor`.
    """

    slide: Slide
    model: str
    device: str
    depth: int
    settings: RunSettings
    options: dict[str, Any] = field(default_factory=dict)


EVERYTHING = "everything"
"""In place of a tissue mask: the whole slide is to be run, glass too."""


def job_on_slide(
    viewer: Viewer, layer: ImageLayer, slide: Slide, form: FindForm, labels: LabelSettings, tissue: Tissue | str | None
) -> SlideJob:
    """Read the forms and the screen.

    Parameters
    ----------
    viewer : napari.Viewer
    layer : Image layer
    slide : Slide
    form : FindForm
    labels : LabelSettings
    tissue : Tissue, `EVERYTHING` or None
        As it was painted; looked for if None.

    Raises
    ------
    SettingsError, ShapeError
        If something is missing, with what to do.
    """
    if not form.model.value:
        raise SettingsError("No model is chosen: press Other model… and choose a checkpoint.")
    region = None
    if form.where.value == SEE:
        region = box_of(region_on_screen(viewer, layer))
    elif form.where.value == DRAWN:
        region = box_of(drawn_region(viewer, layer, chosen_shapes(viewer)))
    settings = RunSettings(
        labels, float(form.nucleus_size.value) or None, region, tissue != EVERYTHING,
        tissue if isinstance(tissue, Tissue) else None, pixel_size_of(slide), plane_on_screen(viewer, layer),
    )  # fmt: skip
    return SlideJob(slide, form.model.value, form.device.value, form.depth.value, settings, form.options)


def box_of(region: Region) -> Box:
    """The same rectangle."""
    return Box(region.top, region.left, region.top + region.height, region.left + region.width)


@dataclass(frozen=True)
class Begun:
    """The run is ready: its store is open, the tissue was looked for.

    Attributes
    ----------
    there : int
        Wanted blocks that an earlier run has computed.
    total : int
        Wanted blocks.
    """

    run: SlideRun
    there: int
    total: int


SlideStep = Predictor | Begun | BlockDone


def slide_steps(
    models: ModelList, job: SlideJob, wishes: Wishes, stores: OpenStores, prepared: Callable[[], Prepared | None],
    shown: Callable[[], SlideStore | None], stop: Callable[[], bool],
) -> Iterator[SlideStep]:  # fmt: skip
    """Run, block by block, for a worker; the store stays open for writing afterwards.

    Parameters
    ----------
    models : ModelList
    job : SlideJob
    wishes : Wishes
    stores : OpenStores
        Gets the store of the run.
    prepared : callable
        What was measured while the person looked around; it may be of another slide or model.
    shown : callable
        The store of an earlier run over the slide, or None; it is closed first, as the new run may be the same one.
    stop : callable

    Yields
    ------
    Predictor, Begun, then BlockDone
    """
    with stores.at_work():
        steps = _steps(models, job, wishes, stores, prepared(), shown(), stop)
        yield from cast("Iterator[SlideStep]", guarded(cast("Any", steps)))


def _steps(
    models: ModelList, job: SlideJob, wishes: Wishes, stores: OpenStores, prepared: Prepared | None,
    shown: SlideStore | None, stop: Callable[[], bool],
) -> Iterator[SlideStep]:  # fmt: skip
    checkpoint = models.load(job.model)
    predictor = Predictor(checkpoint, job.device, min(job.depth, checkpoint.config.level), **job.options)
    yield predictor
    if shown is not None:
        stores.close(shown)
    run = _begun(job, predictor, prepared, stop)
    stores.take(run.store)
    wanted = run.store.wanted
    yield Begun(run, int((run.store.computed & wanted).sum()), int(wanted.sum()))
    whole = job.settings.region is None  # the table of a whole slide isn't written again for a look at a part of it
    for done in run.steps(stop, lambda: wishes.view, lambda: wishes.labels, whole):
        yield done
        if wishes.painted:
            wishes.painted = False
            _want(run, job, wishes)


def _want(run: SlideRun, job: SlideJob, wishes: Wishes) -> None:
    """Put in force what was said about tissue while the run goes on; it is looked for where nobody did so before."""
    tissue = wishes.tissue if wishes.only else None
    if not wishes.only:
        run.look = None
    elif tissue is None and run.tissue is None and run.look is None:
        found = prepare(run.slide, run.predictor, replace(job.settings, tissue_only=True), [run.store.about])
        tissue, run.look = found.tissue, found.look
    elif tissue is None:
        tissue = run.tissue
    run.want(run.region, tissue)


def _begun(job: SlideJob, predictor: Predictor, known: Prepared | None, stop: Callable[[], bool]) -> SlideRun:
    """As `SlideRun.under`, with what was measured before the person pressed."""
    settings, root = job.settings, slide_root(job.slide)
    if predictor.device.kind == "cpu":
        settings = replace(settings, side=CPU_SIDE)
    if known is not None and (known.about.identity, known.about.plane) != (job.slide.identity, settings.plane):
        known = None
    if known is not None and settings.tissue_only and settings.tissue is None:
        settings = replace(settings, tissue=known.tissue)
    earlier = runs_in(sorted(path.parent for path in root.glob(f"*/{RECORD}")))
    prepared = prepare(job.slide, predictor, settings, [*earlier, *([known.about] if known else [])], stop)
    if known is not None and not earlier and not prepared.sentence:
        prepared = replace(prepared, sentence=known.sentence)
    store = SlideStore.open_or_create(run_folder(root, prepared.about), prepared.about, settings.labels)
    run = SlideRun(job.slide, predictor, store, prepared)
    run.want(settings.region, prepared.tissue)
    return run
