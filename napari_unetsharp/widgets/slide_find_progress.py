"""What a run over a slide says while it goes on and when it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unetsharp.widgets.run_button import duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unetsharp.slides.run import BlockDone
    from napari_unetsharp.slides.store import SlideStore


def begun_sentence(there: int, total: int) -> str:
    """What of an earlier run was there."""
    if not there:
        return ""
    if there >= total:
        return f"All {total:,} blocks were there."
    return f"Resumed: {there:,} of {total:,} blocks were there."


def progress_sentence(done: BlockDone, nuclei: int) -> str:
    """Blocks, rate, time left and nuclei so far."""
    parts = [f"Block {done.done:,} of {done.total:,}"]
    if done.mpx_per_s:
        parts.append(f"{done.mpx_per_s:.2f} Mpx/s")
    if done.seconds_left is not None:
        parts.append(f"about {duration(done.seconds_left)} left")
    return " · ".join([*parts, f"{nuclei:,} nuclei so far"])


def blocks_done(store: SlideStore) -> tuple[int, int]:
    """Wanted blocks whose nuclei are there, and wanted blocks."""
    wanted = store.wanted
    return int((store.painted & wanted).sum()), int(wanted.sum())


def ended_sentence(store: SlideStore, failures: Sequence[str] = (), stopped: bool = False) -> str:
    """What is there now.

    Parameters
    ----------
    store : SlideStore
    failures : sequence of str
        Why blocks couldn't be computed.
    stopped : bool
        Whether a person ended it.
    """
    done, total = blocks_done(store)
    text = f"{store.count:,} nuclei at depth {store.about.level}."
    if not total:
        text = "No tissue was found: paint it with Show and edit tissue, or take Tissue only off."
    elif not store.count and done == total:
        text = "No nuclei found: move More / fewer to the left, or make Smallest smaller."
    if done < total:
        ended = "Stopped" if stopped else "Ended"
        text = f"{ended}: {done:,} of {total:,} blocks are done and kept. {text} Find nuclei goes on from here."
    if failures:
        text += f" {len(failures):,} blocks could not be computed, the first because {failures[0]}"
    return text


def earlier_sentence(store: SlideStore, goes_on: bool = True) -> str:
    """What was found when the slide was opened.

    Parameters
    ----------
    store : SlideStore
    goes_on : bool
        Whether the next run looks for its blocks there.
    """
    done, total = blocks_done(store)
    about = store.about
    text = f"Found earlier with model {about.checkpoint}, depth {about.level}: {store.count:,} nuclei"
    if done < total:
        text += f"; {done:,} of {total:,} blocks are done"
        text += ", Find nuclei goes on" if goes_on else ""
    text += "."
    if not goes_on:
        text += " Find nuclei starts a run of its own beside the slide."
    if not store.writing:
        text += " Another window or program works on them, so they are only shown."
    return text
