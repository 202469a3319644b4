"""A scripted person who answers the cards of a review by comparing what is drawn with the truth."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from scripted_hands import Hands

from napari_unetsharp.nuclei.cards import Kind

KEY, CTRL, SHIFT = Qt.Key, Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
LEFT = Qt.MouseButton.LeftButton


class Person:
    """Answers cards by the truth.

    Parameters
    ----------
    hands : Hands
    truth : array of int, (Y, X)
    think : float
        Seconds between two actions.
    pictures : Path or None
        Folder for a picture of each kind of state, the first time that it is met.
    """

    def __init__(self, hands: Hands, truth: np.ndarray, think: float, pictures: Path | None) -> None:
        self.hands, self.truth, self.think, self.pictures = hands, truth, think, pictures
        self.chance = random.Random(0)
        self.did: Counter[str] = Counter()
        self.seconds: dict[str, list[float]] = {}
        self.problems: Counter[str] = Counter()
        self._pictured: set[str] = set()

    # doing and looking

    def do(self, name: str, action: Any, *arguments: Any) -> None:
        """One action: count it, time it until everything is drawn, look at it the first time."""
        self.hands.stage.message.clear()
        begun = time.perf_counter()
        action(*arguments)
        for _ in range(3):
            self.hands.qtbot.wait(0)
        self.seconds.setdefault(name, []).append(time.perf_counter() - begun)
        self.did[name] += 1
        message = self.hands.stage.message
        if message.is_problem:
            self.problems[message.text()] += 1
        self.look(name)
        self.hands.qtbot.wait(1000 * self.think)

    def key(self, name: str, key: Any, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
        """Press a key."""
        self.do(name, self.hands.key, key, modifier)

    def look(self, name: str) -> None:
        """Take a picture of the window, once per name."""
        if self.pictures is None or name in self._pictured:
            return
        self._pictured.add(name)
        self.hands.qtbot.wait(150)
        safe = "".join(letter if letter.isalnum() else "_" for letter in name)
        path = self.pictures / f"{len(self._pictured):02}_{safe}.png"
        self.hands.viewer.window.screenshot(str(path), canvas_only=False, flash=False)

    # judging

    def partners(self, mask: np.ndarray, box: Any) -> list[tuple[int, float]]:
        """True nuclei under a mask with their IoU, the best first."""
        inside = self.truth[box.slices][mask]
        ids, shared = np.unique(inside[inside > 0], return_counts=True)
        area = int(mask.sum())
        ious = [
            (int(id_), float(count / (area + self.areas[id_] - count))) for id_, count in zip(ids, shared, strict=True)
        ]
        return sorted(ious, key=lambda pair: -pair[1])

    @property
    def areas(self) -> np.ndarray:
        """Of the true nuclei, by id."""
        if not hasattr(self, "_areas"):
            self._areas = np.bincount(self.truth.ravel())
        return self._areas

    def fit(self, id_: int) -> tuple[list[tuple[int, float]], float]:
        """Partners of a nucleus of the review, and the best IoU."""
        review = self.hands.review
        if id_ not in review.boxes:
            return [], 0.0
        box = review.boxes[id_]
        found = self.partners(review.labels[box.slices] == id_, box)
        return found, found[0][1] if found else 0.0

    # answering

    def answer(self) -> None:
        """The card that is on screen."""
        session = self.hands.session
        card = session.card
        kind = Kind.NUCLEUS if card is None else card.kind
        if kind in {Kind.NUCLEUS, Kind.FALSE}:
            self.nucleus(session.current)
        else:
            ious = [self.partners(card.parts == part, card.box) for part in np.unique(card.parts[card.parts > 0])]
            good = all(found and found[0][1] >= 0.5 for found in ious)
            if kind is Kind.JOIN:
                found = self.partners(card.parts > 0, card.box)
                good = bool(found) and found[0][1] >= 0.5
            self.look(f"card {kind.value}")
            self.key(f"{kind.value}: {'yes' if good else 'no'}", KEY.Key_Space if good else KEY.Key_D)

    def nucleus(self, id_: int) -> None:
        """A nucleus as it is drawn."""
        found, best = self.fit(id_)
        if best >= 0.6:
            self.key("yes", KEY.Key_Space)
        elif not found or best < 0.1:
            self.key("no", KEY.Key_D)
            chips = [chip for chip in self.hands.stage.work.card.reasons.chips.values() if chip.isVisible()]
            if chips and self.chance.random() < 0.3:
                self.do("reason", self.hands.press, self.chance.choice(chips))
        elif len([pair for pair in found if pair[1] > 0.2]) > 1:
            self.cut(id_, found)
        elif best >= 0.5:
            self.key("tidy", KEY.Key_T)
            self.key("yes after tidy", KEY.Key_N)
        else:
            self.mend(id_, found[0][0])

    def cut(self, id_: int, found: list[tuple[int, float]]) -> None:
        """It covers two: split it by a line between them."""
        one, two = (np.argwhere(self.truth == found[place][0]).mean(axis=0) for place in (0, 1))
        middle, along = (one + two) / 2, two - one
        across = np.array([-along[1], along[0]]) / max(1e-6, np.hypot(*along))
        reach = 1.2 * max(self.hands.review.boxes[id_].shape)
        self.hands.show(*middle)
        if self.chance.random() < 0.3:
            self.key("split: S", KEY.Key_S)
            self.key("split alone: S again", KEY.Key_S)
        else:
            self.key("split: S", KEY.Key_S)
            self.do("split: line", self.hands.drag, [middle - reach * across, middle + reach * across])
        self.key("next after split", KEY.Key_N)

    def mend(self, id_: int, true_id: int) -> None:
        """The outline is poor: try others, else paint it, else say so."""
        for _ in range(2):
            self.key("other outline", KEY.Key_W)
            if self.fit(id_)[1] >= 0.6:
                self.key("yes after other outline", KEY.Key_N)
                return
        if self.chance.random() < 0.5:
            self.paint(true_id)
        else:
            self.key("can't tell", KEY.Key_Space, SHIFT)

    def paint(self, true_id: int) -> None:
        """Strokes along the rows of the true nucleus."""
        where = np.argwhere(self.truth == true_id)
        self.hands.show(*where.mean(axis=0))
        self.key("redraw: R", KEY.Key_R)
        for row in range(where[:, 0].min() + 2, where[:, 0].max() - 1, 4):
            columns = where[where[:, 0] == row, 1]
            if len(columns) > 6:
                self.do("brush stroke", self.hands.drag, [(row, columns.min() + 2), (row, columns.max() - 2)])
        self.key("redraw ends: R", KEY.Key_R)
        self.key("next after redraw", KEY.Key_N)

    def add_missing(self, view: Any, most: int = 12) -> None:
        """Point at true nuclei of a view that nobody drew, and press A."""
        labels = self.hands.review.labels
        ids = [id_ for id_ in np.unique(self.truth[view.slices]) if id_]
        free = [id_ for id_ in ids if not (labels[self.truth == id_] > 0).any()]
        for id_ in free[:most]:
            middle = np.argwhere(self.truth == id_).mean(axis=0)
            if view.top + 5 < middle[0] < view.bottom - 5 and view.left + 5 < middle[1] < view.right - 5:
                self.hands.move(*middle)
                self.key("add: A", KEY.Key_A)
                if self.hands.desk.tool != "select":
                    self.key("leave the brush: Esc", KEY.Key_Escape)

    # what people do between answers

    def play(self) -> None:
        """Everything that changes nothing, and undo with redo."""
        count = self.chance.randint(1, 3)
        for _ in range(count):
            self.key("undo", KEY.Key_Z, CTRL)
        for _ in range(count):
            self.key("redo", KEY.Key_Z, CTRL | SHIFT)
        what = self.chance.choice(["H", "J", "K", "Q", "depth", "thumbnail", "back", "filter"])
        if what in {"H", "J"}:
            key = getattr(KEY, f"Key_{what}")
            self.key(f"{what} on", key)
            self.key(f"{what} off", key)
        elif what in {"K", "Q"}:
            self.hold(what)
        elif what == "depth":
            self.key("depth down", KEY.Key_Comma)
            self.key("depth up", KEY.Key_Period)
        elif what == "back":
            self.key("back", KEY.Key_N, SHIFT)
        elif what == "filter":
            combo = self.hands.stage.work.order
            for place in (1, 0):
                self.do(f"order {combo.itemText(place)}", combo.setCurrentIndex, place)
        else:
            queue = self.hands.stage.work.queue
            if queue.numbers:
                place = queue.cell(min(3, len(queue.numbers) - 1)).center()
                self.do("thumbnail", lambda: self.hands.qtbot.mouseClick(queue.viewport(), LEFT, pos=place))

    def hold(self, letter: str) -> None:
        """Hold a key for a moment."""
        key = getattr(KEY, f"Key_{letter}")
        self.do(f"{letter} held", QTest.keyPress, self.hands.native, key)
        self.hands.qtbot.wait(60)
        self.do(f"{letter} let go", QTest.keyRelease, self.hands.native, key)
