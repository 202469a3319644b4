"""Results of a slide that are there when it is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from napari_unetsharp.errors import SlideRunError
from napari_unetsharp.images.slide import Slide
from napari_unetsharp.slides.store import SlideStore
from napari_unetsharp.widgets.slide_find_place import earlier_runs


def earlier_steps(
    slide: Slide, plane: tuple[int, ...], chosen: Path | None, stop: Callable[[], bool]
) -> Iterator[SlideStore]:
    """Open the results that were worked on last, for a worker; none where there are none of this slide.

    Parameters
    ----------
    slide : Slide
    plane : tuple of int
        On screen; results of others are left out.
    chosen : Path or None
        A folder that the person opened: it and no other, whatever its plane.
    stop : callable

    Yields
    ------
    SlideStore
        At most one; open for reading only where somebody else has it open for writing.

    Raises
    ------
    SlideRunError
        If there are results, and none of them can be read; or those that were chosen are of another slide.
    """
    if chosen is not None:
        yield _chosen(slide, chosen)
        return
    problems = []
    for folder in earlier_runs(slide):
        if stop():
            return
        try:
            store = _opened(folder)
        except SlideRunError as error:
            problems.append(error)
            continue
        about = store.about
        if about.identity == slide.identity and about.plane == plane:
            yield store
            return
        store.close()
    if problems:
        raise problems[0]


def _chosen(slide: Slide, folder: Path) -> SlideStore:
    store = _opened(folder)
    if store.about.identity != slide.identity:
        store.close()
        raise SlideRunError(f"{folder} holds results of another slide than {slide.path} is now; run over it again")
    return store


def _opened(folder: Path) -> SlideStore:
    try:
        return SlideStore.open(folder, writing=True)
    except SlideRunError:  # somebody else writes, or the disk can't be written; what is there can be looked at
        return SlideStore.open(folder)
