"""The way through a review: which card is current, what comes next, and how an action is taken. No Qt, no napari."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from napari_unetsharp.errors import NotSavedError, ReviewError
from napari_unetsharp.nuclei import answers
from napari_unetsharp.nuclei.cards import Card
from napari_unetsharp.nuclei.delta import BoxDelta
from napari_unetsharp.nuclei.pace import Pace
from napari_unetsharp.nuclei.pixels import Box, PixelChange
from napari_unetsharp.nuclei.review import Review
from napari_unetsharp.nuclei.states import Nucleus, State
from napari_unetsharp.widgets.review_material import Material
from napari_unetsharp.widgets.review_queue import ReviewQueue

ONE, SCREEN, BULK, PICKED = "one by one", "screen", "bulk", "picked"
"""How an answer came about, for the history. Picked: the person clicked the nucleus; it was not served."""


class ReviewWay:
    """Where the person is in the queue.

    Parameters
    ----------
    review : Review
    material : Material
        What the network says, as far as it was run.

    Attributes
    ----------
    current : int
        Id of the nucleus that the card is about, or number of a possible miss (below 0); 0 for none.
    card : Card or None
        What the card offers, where it is more than the nucleus itself.
    queue : ReviewQueue
    moved : list of callable
        Called without arguments when another nucleus is current.
    said : list of callable
        Called with a sentence, and whether it is a problem.
    answered : int
        Nucleus of the last *no* or *can't tell*, which a reason can be given to; 0 for none.
    how : str
        "one by one" or "screen".
    served : bool
        The current nucleus came from the queue, not by a click.
    """

    def __init__(self, review: Review, material: Material) -> None:
        self.review, self.material = review, material
        self.current, self.answered, self.how = 0, 0, ONE
        self.moved: list[Callable[[], None]] = []
        self.said: list[Callable[[str, bool], None]] = []
        self.pace = Pace()
        self.queue = ReviewQueue(review, material)
        self.served = True
        self._visited: list[int] = []
        self._other: tuple[int, list[Card], int] = (0, [], 0)
        self.card: Card | None = None
        review.changed.append(self.queue.follow)

    def take_material(self, material: Material) -> None:
        """The network was run again; new cards come when its nuclei are taken."""
        self.material = self.queue.material = material

    def close(self) -> None:
        """Save, and give the review free.

        Raises
        ------
        NotSavedError
            If the disk doesn't take what waits; the review stays open.
        """
        self.review.close()
        self.let_go()

    def let_go(self) -> None:
        """Nobody but the queue follows the review any more; it stays open."""
        self.review.changed[:] = [self.queue.follow]
        self.moved.clear()
        self.said.clear()

    @property
    def nucleus(self) -> Nucleus | None:
        """The current one, if there is any."""
        return self.review.nuclei.get(self.current)

    def go_to(self, id_: int, served: bool = False) -> None:
        """Make a nucleus current; 0 for none.

        Parameters
        ----------
        id_ : int
        served : bool
            It came from the queue, not by a click.
        """
        if self.current and self.current != id_:
            self._visited.append(self.current)
            del self._visited[:-500]
        self.current, self.served = id_, served
        self._tell()

    def _tell(self) -> None:
        self.card = self.queue.card(self.current) if self.current else None
        for callback in tuple(self.moved):
            callback()

    def box(self) -> Box:
        """Where the card lies; `NOWHERE` where there is none."""
        if self.card is not None:
            return self.card.box
        return self.review.findings.box_of(self.current)

    def start(self) -> None:
        """Serve the first nucleus."""
        self.go_to(self.queue.first(), served=True)

    def next(self) -> None:
        """Serve the next one, without deciding."""
        following = self.queue.after(self.current)
        if following:
            self.go_to(following, served=True)
        else:
            self._finished()

    def back(self) -> None:
        """Return to where the person was before."""
        while self._visited:
            earlier = self._visited.pop()
            if (earlier < 0 or earlier in self.review.nuclei) and earlier != self.current:
                self.current, self.served = earlier, False
                self._tell()
                return
        self.say("There is nothing to go back to.")

    def _finished(self) -> None:
        left = self.queue.counts()[State.TO_DO]
        if left:
            self.say(f"The doubtful ones are done; {left:,} are left. Go on screen by screen, or choose 'all' above.")
        else:
            self.say("Nothing is left to do here. Save, and go on with the next image.")
        if self.current:
            self.go_to(self.current, self.served)

    def say(self, text: str, problem: bool = False) -> None:
        """Tell the person a sentence."""
        for callback in tuple(self.said):
            callback(text, problem)

    def undo(self) -> None:
        """Take the last step back and go there."""
        self._travel(self.review.undo, "There is nothing to undo.", "Undone")

    def redo(self) -> None:
        """Take the last undone step again and go there."""
        self._travel(self.review.redo, "There is nothing to redo.", "Redone")

    def _travel(self, way: Callable[[], BoxDelta | None], nothing: str, word: str) -> None:
        try:
            delta = way()
        except ReviewError as error:
            self.say(str(error), problem=True)
            return
        if delta is None:
            self.say(nothing)
            return
        self.say(f"{word}: {delta.kind}.")
        if delta.focus in self.review.nuclei:
            self.go_to(delta.focus)
        elif self.current >= 0 and self.current not in self.review.nuclei:
            self.go_to(0)
        else:
            self._tell()

    def _edit(self, edit: Callable[..., BoxDelta], *arguments: Any) -> bool:
        if self.current in self.review.rejected and edit is not answers.to_do:
            self._apply(answers.to_do, self.current)  # what was clicked away is mended instead
        delta = self._apply(edit, *arguments)
        if delta is None:
            return False
        self.go_to(delta.focus or self.current)
        return True

    def _apply(self, edit: Any, *arguments: Any, how: str = "") -> BoxDelta | None:
        """Do it; None, with a sentence, where it can't be done."""
        self._other = (0, [], 0)
        try:
            return self.review.apply(edit, *arguments, how=how or self._how())
        except NotSavedError as error:
            self.say(str(error), problem=True)
            return BoxDelta("unsaved", PixelChange.none(self.review.labels.shape[1]), focus=self.current)
        except ReviewError as error:
            self.say(str(error), problem=True)
            return None

    def _how(self) -> str:
        return self.how if self.served or self.how == SCREEN else PICKED

    def _needs_current(self) -> bool:
        if self.nucleus is None:
            self.say("No nucleus is chosen: click one first.")
            return False
        return True

    def nucleus_at(self, point: tuple[float, float]) -> int:
        """Id of the nucleus that is drawn at a point (row, column), 0 for none."""
        row, column = round(point[0]), round(point[1])
        rows, columns = self.review.labels.shape
        return int(self.review.labels[row, column]) if 0 <= row < rows and 0 <= column < columns else 0

    def rejected_at(self, point: tuple[float, float]) -> int:
        """Id of the nucleus at a point that was declared none, 0 for none."""
        row, column = round(point[0]), round(point[1])
        for id_, outline in self.review.rejected.items():
            box = outline.box
            inside = box.top <= row < box.bottom and box.left <= column < box.right
            if inside and outline.mask()[row - box.top, column - box.left]:
                return id_
        return 0

    def _crossed(self, points: Sequence[Sequence[float]]) -> int:
        line = np.asarray(points, float)
        steps = np.linspace(0, len(line) - 1, 200)
        rows, columns = (np.interp(steps, np.arange(len(line)), line[:, axis]) for axis in (0, 1))
        ids = [self.nucleus_at((row, column)) for row, column in zip(rows, columns, strict=True)]
        if self.current and self.current in ids:
            return self.current
        found = [id_ for id_ in ids if id_]
        return max(set(found), key=found.count) if found else 0
