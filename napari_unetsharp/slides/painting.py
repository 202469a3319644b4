"""Which nucleus a pixel of a slide belongs to, where blocks overlap: a rule that knows no order of work.

What a person reviewed comes first. Then come nuclei that a block saw whole, those of lower-numbered blocks first, then
those that were cut at a block's border. A nucleus of which more than half is claimed by what comes first is dropped;
what is left of the others keeps its largest piece.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.stretches import find_runs, pieces
from napari_unetsharp.slides.about import RunAbout
from napari_unetsharp.slides.block_nuclei import BlockNuclei, PlacedRuns
from napari_unetsharp.slides.nuclei import NucleusRows, rows_of


@dataclass(frozen=True, eq=False)
class Claims:
    """What a person reviewed in a box.

    Attributes
    ----------
    taken : array of bool, (Y, X)
        Pixels that no machine nucleus may have.
    reviewed : array of bool, (Y, X)
        Pixels in which no machine nucleus may have its middle.
    """

    taken: NDArray[np.bool_]
    reviewed: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Painted:
    """The nuclei of a block as they are on the slide; no two share a pixel.

    Attributes
    ----------
    runs : PlacedRuns
    rows : NucleusRows
        In the order of `runs`.
    """

    runs: PlacedRuns
    rows: NucleusRows

    def draw(self, plane: NDArray[np.int32], box: Box) -> None:
        """Write the ids into the plane of a box."""
        self.runs.draw(plane, box, self.rows.ids)


def overlap(one: BlockNuclei, other: BlockNuclei, box: Box) -> NDArray[np.bool_]:
    """Which nuclei of one block share a pixel, in a box, with any of another's; (n,)."""
    plane = np.zeros(box.shape, bool)
    other.runs.draw(plane, box, 1)
    inside = one.runs.within(box)
    shared = np.zeros(len(one), bool)
    shared[inside.index[_covered(inside, plane, box) > 0]] = True
    return shared


def painted(
    own: BlockNuclei, number: int, window: Box, around: Sequence[tuple[int, BlockNuclei]], claims: Claims | None,
    ids: NDArray[np.int32], smallest: int, about: RunAbout,
) -> Painted:  # fmt: skip
    """The nuclei of a block that are left when what comes first has its pixels.

    Parameters
    ----------
    own : BlockNuclei
    number : int
        Of the block.
    window : Box
    around : sequence of tuple of int and BlockNuclei
        The other blocks that reach the window, by number.
    claims : Claims or None
        What a person reviewed in the window.
    ids : array of int32, (n,)
    smallest : int
        What is left with fewer result px is dropped.
    about : RunAbout

    Returns
    -------
    Painted
    """
    before_whole, before_cut = (np.zeros(window.shape, bool) for _ in range(2))
    for other, nuclei in around:
        whole = nuclei.runs.only(~nuclei.cut)
        whole.draw(before_cut, window, 1)
        if other < number:
            whole.draw(before_whole, window, 1)
    if claims is not None:
        before_whole |= claims.taken
        before_cut |= claims.taken
    covered = np.zeros(len(own), np.int64)
    for before, chosen in ((before_whole, ~own.cut), (before_cut, own.cut)):
        if chosen.any():
            runs = own.runs.only(chosen)
            covered += np.bincount(runs.index, _covered(runs, before, window), len(own)).astype(np.int64)
    area = np.bincount(own.runs.index, own.runs.stop - own.runs.start, len(own))
    dropped = 2 * covered > area
    if claims is not None and len(own):
        dropped |= _middle_in(own.rows, claims.reviewed, window, about.downsample)
    touched = (covered > 0) & ~dropped
    return _left(own, ~dropped & ~touched, touched, (before_whole, before_cut), window, ids, smallest, about)


def _left(
    own: BlockNuclei, untouched: NDArray[np.bool_], touched: NDArray[np.bool_],
    before: tuple[NDArray[np.bool_], NDArray[np.bool_]], window: Box, ids: NDArray[np.int32], smallest: int,
    about: RunAbout,
) -> Painted:  # fmt: skip
    places = np.flatnonzero(untouched)
    renumbered = (np.cumsum(untouched) - 1).astype(np.int32)
    kept = own.runs.only(untouched)
    runs = [PlacedRuns(renumbered[kept.index], kept.row, kept.start, kept.stop)]
    rows = [own.rows.taken(places).with_columns(id=ids[places])]
    if touched.any():
        some = own.runs.only(touched).box
        labels = _what_is_left(own, touched, before, window, some, max(1, smallest))
        left = rows_of(labels, (some.top, some.left), about)
        of = left.ids.astype(np.int64) - 1
        told = own.rows.columns
        rows.append(
            left.with_columns(id=ids[of], **{name: told[name][of] for name in ("probability", "doubt", "state", "cut")})
        )
        last = PlacedRuns.of(labels, (some.top, some.left))
        runs.append(PlacedRuns(last.index + np.int32(len(places)), last.row, last.start, last.stop))
    joined = [np.concatenate([getattr(one, name) for one in runs]) for name in ("index", "row", "start", "stop")]
    return Painted(PlacedRuns(*joined), NucleusRows.together(rows))


def _what_is_left(
    own: BlockNuclei, touched: NDArray[np.bool_], before: tuple[NDArray[np.bool_], NDArray[np.bool_]], window: Box,
    box: Box, smallest: int,
) -> NDArray[np.int32]:  # fmt: skip
    """Largest piece of what is left of some nuclei: the place of each from 1, (Y, X) of the box."""
    labels = np.zeros(box.shape, np.int32)
    numbers = np.arange(1, len(own) + 1, dtype=np.int32)
    inside = np.s_[box.top - window.top : box.bottom - window.top, box.left - window.left : box.right - window.left]
    for taken, chosen in zip(before, (touched & ~own.cut, touched & own.cut), strict=True):
        part = np.zeros(box.shape, np.int32)
        own.runs.only(chosen).draw(part, box, numbers)
        part[taken[inside]] = 0
        labels += part
    return largest_pieces(labels, smallest)


def largest_pieces(labels: NDArray[np.int32], smallest: int) -> NDArray[np.int32]:
    """The largest piece of each nucleus, (Y, X), the first of equal ones; none of fewer than `smallest` pixels."""
    runs = find_runs(labels)
    piece, owner = pieces(runs)
    sizes = np.bincount(piece, runs.stop - runs.start, len(owner))
    order = np.lexsort((np.arange(len(owner)), -sizes, owner))
    firsts = order[np.diff(owner[order], prepend=-1) > 0]
    chosen = np.zeros(len(owner), bool)
    chosen[firsts] = sizes[firsts] >= smallest
    found = np.zeros_like(labels)
    kept = chosen[piece]
    placed = PlacedRuns(*(part[kept].astype(np.int32) for part in (runs.index, runs.row, runs.start, runs.stop)))
    placed.draw(found, Box(0, 0, *labels.shape), runs.ids.astype(np.int32))
    return found


def _covered(runs: PlacedRuns, plane: NDArray[np.bool_], box: Box) -> NDArray[np.int64]:
    """Pixels of each run, which lie in the box, that are set in its plane; (runs,)."""
    sums = np.concatenate([np.zeros(1, np.int32), np.cumsum(plane.ravel(), dtype=np.int32)])
    first = (runs.row.astype(np.int64) - box.top) * box.shape[1] + runs.start - box.left
    return np.asarray(sums[first + runs.stop - runs.start] - sums[first], np.int64)


def _middle_in(rows: NucleusRows, plane: NDArray[np.bool_], window: Box, downsample: int) -> NDArray[np.bool_]:
    """Whether the pixel in the middle of each nucleus is set; (n,)."""
    y, x = (np.floor(rows.columns[name] / downsample).astype(np.int64) for name in ("y", "x"))
    return plane[y - window.top, x - window.left]
