"""One step of a review: everything that it changes, before and after."""

from __future__ import annotations

from dataclasses import dataclass, field

from napari_unetsharp.nuclei.pixels import NOWHERE, Box, PixelChange
from napari_unetsharp.nuclei.states import Nucleus

NUCLEUS_BYTES = 400
"""Memory of a changed nucleus without its pixels, both versions, roughly."""


@dataclass(frozen=True)
class NucleusChange:
    """A nucleus before and after; None where it isn't there."""

    id: int
    before: Nucleus | None
    after: Nucleus | None


@dataclass(frozen=True)
class OutlineChange:
    """The kept outline of a nucleus that was declared none, before and after; None where it isn't kept."""

    id: int
    before: PixelChange | None
    after: PixelChange | None


@dataclass(frozen=True)
class ViewChange:
    """A completed view that is put into the list at a place, or taken from there."""

    place: int
    view: Box
    added: bool = True


@dataclass(frozen=True)
class BoxDelta:
    """A step that can be taken, taken back and written down.

    Attributes
    ----------
    kind : str
        What was done, in a word or two: "right", "split", "complete view" ...
    labels : PixelChange
        Of the corrected labels.
    box : Box
        What must be drawn anew: changed pixels and all nuclei whose state changed, in pixels.
    nuclei : tuple of NucleusChange
    rejected : tuple of OutlineChange
    proposals, ignored : PixelChange, optional
    views : tuple of ViewChange
    model : tuple of str, optional
        Hash of the model that made the proposals, before and after.
    focus : int
        Nucleus to go to; 0 for none.
    """

    kind: str
    labels: PixelChange
    box: Box = NOWHERE
    nuclei: tuple[NucleusChange, ...] = ()
    rejected: tuple[OutlineChange, ...] = ()
    proposals: PixelChange | None = None
    ignored: PixelChange | None = None
    views: tuple[ViewChange, ...] = ()
    model: tuple[str, str] | None = None
    focus: int = 0
    went_back: bool = field(default=False, compare=False)

    def __bool__(self) -> bool:
        parts = (self.labels, self.nuclei, self.rejected, self.proposals, self.ignored, self.views, self.model)
        return any(bool(part) for part in parts)

    @property
    def ids(self) -> tuple[int, ...]:
        """Nuclei that come, go or change otherwise than in pixels alone."""
        return tuple(change.id for change in self.nuclei)

    @property
    def nbytes(self) -> int:
        """Memory taken, in bytes, roughly."""
        planes = [self.labels, self.proposals, self.ignored]
        planes += [part for change in self.rejected for part in (change.before, change.after)]
        pixels = sum(part.nbytes for part in planes if part is not None)
        return pixels + NUCLEUS_BYTES * (1 + len(self.nuclei) + len(self.rejected) + len(self.views))

    def reversed(self) -> BoxDelta:
        """The way back."""
        return BoxDelta(
            self.kind,
            self.labels.reversed(),
            self.box,
            tuple(NucleusChange(change.id, change.after, change.before) for change in self.nuclei),
            tuple(OutlineChange(change.id, change.after, change.before) for change in self.rejected),
            self.proposals and self.proposals.reversed(),
            self.ignored and self.ignored.reversed(),
            tuple(ViewChange(change.place, change.view, not change.added) for change in reversed(self.views)),
            self.model and (self.model[1], self.model[0]),
            self.focus,
            not self.went_back,
        )
