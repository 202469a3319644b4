"""Screen by screen: the field in views of one size, row by row."""

from __future__ import annotations

from napari_unetsharp.nuclei.order import screens
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.review import Review

ON_SCREEN = 64.0
"""Screen pixels that a typical nucleus takes screen by screen."""


class Sweep:
    """Views of a plane, and which comes next.

    Parameters
    ----------
    review : Review
    canvas : tuple of int
        Height and width in screen pixels.
    diameter : float
        Of a typical nucleus, in pixels.

    Attributes
    ----------
    views : list of Box
    place : int
        Of the view on screen.
    """

    def __init__(self, review: Review, canvas: tuple[float, float], diameter: float) -> None:
        self.review = review
        zoom = ON_SCREEN / max(1.0, diameter)
        size = (max(1, round(canvas[0] / zoom)), max(1, round(canvas[1] / zoom)))
        shape = (review.labels.shape[0], review.labels.shape[1])
        self.views = screens(shape, size)
        self.place = 0
        self.place = self._next_open(0)

    @property
    def view(self) -> Box:
        """What is on screen."""
        return self.views[self.place]

    def is_complete(self, place: int) -> bool:
        """Whether a view was declared complete, as a whole."""
        view = self.views[place]
        return any(
            done.top <= view.top and done.left <= view.left and done.bottom >= view.bottom and done.right >= view.right
            for done in self.review.views
        )

    def left(self) -> int:
        """Views that are still to be completed."""
        return sum(not self.is_complete(place) for place in range(len(self.views)))

    def _next_open(self, start: int) -> int:
        count = len(self.views)
        for step in range(count):
            place = (start + step) % count
            if not self.is_complete(place):
                return place
        return start % count

    def next_open(self) -> bool:
        """Go to the next view that isn't complete; False where none is left."""
        self.place = self._next_open(self.place + 1)
        return not self.is_complete(self.place)

    def step(self, by: int) -> None:
        """Go on or back without declaring anything."""
        self.place = (self.place + by) % len(self.views)

    def place_of(self, box: Box) -> int:
        """The view that shows the middle of a box."""
        row, column = (box.top + box.bottom) / 2, (box.left + box.right) / 2
        for place, view in enumerate(self.views):
            if view.top <= row < view.bottom and view.left <= column < view.right:
                return place
        return self.place
