"""The course of a review: its findings, and everything that was done to get there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from napari_unetsharp.errors import ReviewError
from napari_unetsharp.nuclei.delta import BoxDelta
from napari_unetsharp.nuclei.findings import Findings
from napari_unetsharp.nuclei.states import Nucleus
from napari_unetsharp.nuclei.undo import Step, UndoStack

What = Literal["do", "undo", "redo", "note"]


@dataclass(frozen=True)
class Entry:
    """One line of the journal.

    Attributes
    ----------
    number : int
        1, 2, 3 ... over the life of a review.
    when : str
        UTC, ISO 8601.
    who : str
    what : str
        "do", "undo", "redo" or "note".
    how : str
        "one by one", "screen", "bulk" or what else the window calls it.
    delta : BoxDelta, optional
        What is done.
    step : int
        Number of the entry that is taken back or taken again.
    topic, body
        Of a note: whatever else is to be remembered, as JSON can hold it.
    seconds : float, optional
        Time that the person took, where it is asked for.
    """

    number: int
    when: str
    who: str
    what: What
    how: str = ""
    delta: BoxDelta | None = None
    step: int = 0
    topic: str = ""
    body: Any = None
    seconds: float | None = None


@dataclass(frozen=True)
class Action:
    """What `history.csv` tells of an entry.

    Attributes
    ----------
    number : int
    when, who, how : str
    what : str
        "right", "split" ...; "undo split", "redo split".
    model : str
        Hash of the model whose proposals were reviewed.
    nuclei : tuple of (int, str, str)
        Id, state before, state after; an empty state where the nucleus isn't there.
    seconds : float, optional
    """

    number: int
    when: str
    who: str
    what: str
    how: str = ""
    model: str = ""
    nuclei: tuple[tuple[int, str, str], ...] = ()
    seconds: float | None = None


@dataclass
class Course:
    """Findings with undo, history and notes: a pure function of the entries taken.

    Attributes
    ----------
    findings : Findings
    undo : UndoStack
    history : list of Action
        Undoing is an action too; nothing is ever taken out.
    notes : dict of str to list
        Bodies of notes by topic, in order.
    number : int
        Of the last entry.
    """

    findings: Findings
    undo: UndoStack = field(default_factory=UndoStack)
    history: list[Action] = field(default_factory=list)
    notes: dict[str, list[Any]] = field(default_factory=dict)
    number: int = 0

    def take(self, entry: Entry) -> BoxDelta | None:
        """Take an entry, live or from a journal.

        Returns
        -------
        BoxDelta or None
            What was changed; None for a note.

        Raises
        ------
        ReviewError
            If it doesn't follow on what is here; nothing is changed then.
        """
        if entry.number != self.number + 1:
            raise ReviewError(f"entry {entry.number} can't follow entry {self.number}")
        if entry.what == "note":
            self.notes.setdefault(entry.topic, []).append(entry.body)
            self.number = entry.number
            return None
        delta, word = self._delta_of(entry)
        if not self.findings.fits(delta):
            raise ReviewError(f"entry {entry.number} ({delta.kind}) doesn't start from what is here")
        self.findings.apply(delta)
        self._move(entry, delta)
        self.number = entry.number
        self.history.append(self._told(entry, delta, word))
        return delta

    def _delta_of(self, entry: Entry) -> tuple[BoxDelta, str]:
        if entry.what == "do":
            if entry.delta is None:
                raise ReviewError(f"entry {entry.number} does nothing")
            return entry.delta, entry.delta.kind
        step = self.undo.last_done() if entry.what == "undo" else self.undo.last_undone()
        if step is None or step.number != entry.step:
            raise ReviewError(f"entry {entry.number} can't {entry.what} step {entry.step}: it isn't next")
        delta = step.delta.reversed() if entry.what == "undo" else step.delta
        return delta, f"{entry.what} {delta.kind}"

    def _move(self, entry: Entry, delta: BoxDelta) -> None:
        if entry.what == "do":
            self.undo.push(Step(entry.number, delta))
        elif entry.what == "undo":
            self.undo.step_back()
        else:
            self.undo.step_forth()

    def _told(self, entry: Entry, delta: BoxDelta, word: str) -> Action:
        states = tuple((change.id, _state(change.before), _state(change.after)) for change in delta.nuclei)
        if not states and delta.focus:
            state = _state(self.findings.nuclei.get(delta.focus))
            states = ((delta.focus, state, state),)
        model = self.findings.model
        return Action(entry.number, entry.when, entry.who, word, entry.how, model, states, entry.seconds)


def _state(nucleus: Nucleus | None) -> str:
    return nucleus.state.value if nucleus else ""
