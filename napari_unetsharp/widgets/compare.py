"""Stage *Compare*: depths, views, models and corrections by eye and by number."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtCore import QTimer

from napari_unetsharp.comparison.candidate import Candidate
from napari_unetsharp.comparison.difference import Differing
from napari_unetsharp.errors import SettingsError, UNetSharpError
from napari_unetsharp.network.grid import BRANCHES
from napari_unetsharp.widgets.compare_defaults import kept_or_first
from napari_unetsharp.widgets.compare_difference import STEPPED
from napari_unetsharp.widgets.compare_drawn import Compared, Drawn, compared
from napari_unetsharp.widgets.compare_frame import CompareFrame
from napari_unetsharp.widgets.compare_hand import pixels_of
from napari_unetsharp.widgets.compare_numbers import Numbers
from napari_unetsharp.widgets.compare_panes import DIFFERENCE
from napari_unetsharp.widgets.compare_sources import Choice
from napari_unetsharp.widgets.stage import Stage

if TYPE_CHECKING:
    from napari import Viewer

    from napari_unetsharp.widgets.find import FindStage
    from napari_unetsharp.widgets.review import ReviewStage

SETTLED = 150
"""Milliseconds after a slider moved until the plane on screen is compared."""

BUSY = "The network is at work; what it finds can be compared when it is done."
NO_IMAGE = "Open an image first: press 1 Find, then Open…, or drop a picture on the window."
NOTHING = "Find nuclei first (1 Find), or open a Labels layer of the image's size: then there is something to compare."
FLAT = "Comparing needs the plain 2-D view; switch back to it, then press 4 Compare."


class CompareStage(CompareFrame, Stage):
    """Comes and goes, and keeps what is drawn and counted up to date; see `CompareFrame` for its attributes."""

    def __init__(self, viewer: Viewer, find: FindStage, review: ReviewStage) -> None:
        super().__init__(viewer, find, review)
        self.numbers = Numbers(self)
        self._difference: Compared | None = None
        self._story: tuple[Candidate, Candidate] | None = None
        self._soon = self._timer(0, self._refresh_if_active)
        self._settled = self._timer(SETTLED, self._refresh_if_active)
        self._redraw = self._timer(0, self._update)
        self._connect(viewer)
        self._offer_nothing(NOTHING, find=True)

    def _timer(self, pause: int, call: Any) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(pause)
        timer.timeout.connect(call)
        return timer

    def _connect(self, viewer: Viewer) -> None:
        self.choice.changed.connect(self._choice_changed)
        self.legend.changed.connect(self._kinds_changed)
        self.steps.moved.connect(self.canvas.go_to)
        self.steps.handed.connect(self._hand)
        self.views.chosen.connect(self._view_chosen)
        self.network.unfolded.connect(lambda _on: self._show_views())
        self.canvas.mode_changed.connect(self._show_mode)
        self.prepared.ready.connect(lambda _key: self._redraw.start())
        self.prepared.failed.connect(lambda _key, error: self._problem(error))
        self.computing.done.connect(self._refresh_if_active)
        self.computing.said.connect(self.message.note)
        self.computing.failed.connect(self._problem)
        self.find.finished.connect(self._found)
        self.find.relabeller.done.connect(lambda *_: self._found())
        self.find.form.image.changed.connect(lambda _layer: self._soon.start())
        viewer.dims.events.current_step.connect(self._plane_moved)
        viewer.dims.events.ndisplay.connect(self._layers_changed)
        viewer.layers.events.inserted.connect(self._layers_changed)
        viewer.layers.events.removed.connect(self._layers_changed)

    # coming and going

    def enter(self) -> None:
        """The stage is on screen: compare what is there."""
        self.active = True
        self.hand_over.forget()
        self.message.clear()
        self.refresh()

    def leave(self) -> None:
        """Another stage is on screen, or the dock was closed: everything is as napari had it."""
        if not self.active:
            return
        self.active = False
        self.prepared.forget_waiting()
        self._off_canvas()

    def _off_canvas(self, camera_back: bool = True) -> None:
        self._listen(False)
        self.canvas.end(camera_back)
        self.left_column.restore()
        self.layers.setChecked(False)

    def refresh(self) -> None:
        """Look at the window anew; what was chosen stays where it still can be."""
        text, find = self._missing()
        self._offer_nothing(text, find)
        plane = self.sources.plane
        if text or plane is None:
            self.numbers.clear()
            self._off_canvas(camera_back=plane is not None)
            if text == BUSY:
                self._settled.start()
            return
        choices = kept_or_first(self.sources, self.choice.choices)
        self.choice.show_choices(self.sources.known, choices)
        panes = self.canvas.panes
        same = panes.plane is not None and panes.complete and panes.plane.layer is plane.layer
        if not same or panes.plane is None or panes.plane.index != plane.index:
            self.steps.take([], ("A", "B"))
            self._difference = self._story = None
            self.numbers.clear()
            self.canvas.end(camera_back=same)
            self.left_column.hide()
            self.canvas.begin(plane, self.choice.letters)
            self.canvas.panes.fill(self.filled.isChecked())
        elif "".join(panes.labels) != self.choice.letters:
            self.canvas.set_letters(self.choice.letters)
        panes.to_top()
        self._listen(True)
        self.give_focus()
        self._update()

    def _missing(self) -> tuple[str, bool]:
        """What is needed before anything can be compared, and whether stage Find gives it; empty for nothing."""
        if self.find.running or self.find.relabeller.running:
            return BUSY, False
        viewer = self.viewer
        if viewer.dims.ndisplay != 2 or set(viewer.dims.displayed) != {viewer.dims.ndim - 2, viewer.dims.ndim - 1}:
            return FLAT, False
        try:
            self.sources.look()
        except UNetSharpError as error:
            return f"{error}.", False
        if self.sources.plane is None:
            return NO_IMAGE, True
        return ("", False) if self.sources.labels_ready else (NOTHING, True)

    # keeping up to date

    def _update(self) -> None:
        """Draw what is ready, ask for the rest, compare A and B, count."""
        if not self.active or not self.canvas.panes.shown:
            return
        choices = self.choice.choices
        names = self.names()
        drawn = {letter: self.drawn(choice) for letter, choice in choices.items()}
        self.canvas.draw(drawn, names)
        missing = [letter for letter, choice in choices.items() if not self.sources.is_ready(choice)]
        self.computing.offer(missing[0] if missing else "", choices[missing[0]] if missing else None)
        self._compare(drawn["A"], drawn["B"])
        self._show_views()
        self.numbers.refresh()

    def _show_views(self) -> None:
        choice, plane = self.choice.choices.get("B"), self.sources.plane
        if not self.network.title.isChecked() or choice is None or plane is None:
            return
        shown = {other.node for other in self.choice.choices.values() if other.source == choice.source}
        self.views.show_source(self.sources.known.get(choice.source), shown)
        self.views.show_pictures(self.sources.results_of(choice), plane.index)

    def names(self) -> dict[str, str]:
        """On screen, by letter."""
        return {
            letter: self.sources.name(choice, self.several_models) for letter, choice in self.choice.choices.items()
        }

    @property
    def several_models(self) -> bool:
        """Whether names must say the model."""
        return len({choice.source for choice in self.choice.choices.values() if choice.node}) > 1

    def drawn(self, choice: Choice, urgent: bool = True) -> Drawn | None:
        """The nuclei of a choice, or None while they are made."""
        if not self.sources.is_ready(choice):
            return None
        settings = self.find.label_form.settings
        key = self.sources.key(choice, settings)
        try:
            made: Drawn | None = self.prepared.get(key)
            return made or self.prepared.ask(key, self.sources.maker(choice, settings), urgent)
        except SettingsError as error:
            self._problem(error)
            return None

    def _compare(self, a: Drawn | None, b: Drawn | None) -> None:
        made: Compared | None = None
        if a is not None and b is not None:
            settings = self.find.label_form.settings
            key = "difference", *(self.sources.key(self.choice.choices[letter], settings) for letter in "AB")
            made = self.prepared.ask(key, partial(compared, a.labels, b.labels))
        if made is self._difference and made is not None:
            return
        self._difference = made
        self.legend.show_counts(None if made is None else made.found.counts)
        self.canvas.draw_difference(made, self.legend.shown)
        self._offer_steps()

    def _offer_steps(self) -> None:
        """All differences of A and B, unless a number of the table was clicked last."""
        if self._story is not None:
            return
        shown, made, names = self.legend.shown & STEPPED, self._difference, self.names()
        items = [] if made is None else [item for item in made.found.items if item.kind in shown]
        same = made is not None and not any(made.found.counts[kind] for kind in STEPPED)
        nothing = f"{names['A']} and {names['B']} have the same nuclei" if same else ""
        self.steps.take(items, (names["A"], names["B"]), nothing=nothing)
        self.canvas.go_to(self.steps.current)

    def step_through(self, items: list[Differing], truth: Candidate, candidate: Candidate) -> None:
        """Step through the nuclei that a number of the table stands for.

        Parameters
        ----------
        items : list of Differing
        truth, candidate : Candidate
            Both sides, A and B of the items.
        """
        self._story = truth, candidate
        self.steps.take(items, (truth.name, candidate.name), "nuclei")
        self.steps.step(1)
        self.give_focus()

    # what is pressed

    def _choice_changed(self) -> None:
        self.message.clear()
        self._story = None
        self.canvas.set_letters(self.choice.letters)
        self._offer_steps()
        self._update()

    def _kinds_changed(self) -> None:
        self._story = None
        self.canvas.draw_difference(self._difference, self.legend.shown)
        self._offer_steps()

    def _set_mode(self, mode: str) -> None:
        self.canvas.set_mode(mode)
        self.give_focus()

    def _show_mode(self, mode: str) -> None:
        for name, made in self.modes.items():
            made.setChecked(name == mode)
        self.filled.setEnabled(mode != DIFFERENCE)

    def _act(self, name: str, begins: bool) -> None:
        if not self.canvas.panes.complete:
            return
        if name == "flicker":
            self.canvas.hold_flicker(begins)
        elif name == "image_only":
            self.canvas.panes.image_only(begins)
        elif name in {"next", "back"}:
            self.steps.step(1 if name == "next" else -1)
        elif name in {"shallower", "deeper"}:
            self._other_depth(-1 if name == "shallower" else 1)
        elif name == "filled":
            on = not self.canvas.panes.filled
            self.canvas.panes.fill(on)
            self.filled.setChecked(on)

    def _other_depth(self, by: int) -> None:
        """B one depth down or up."""
        choice = self.choice.choices["B"]
        source = self.sources.known.get(choice.source)
        depths = sorted(node for node in (() if source is None else source.nodes)
                        if node in BRANCHES and BRANCHES[node].scale == 1)  # fmt: skip
        if not depths:
            self.message.note("B has no depths: choose a model for it.")
            return
        place = depths.index(choice.node) + by if choice.node in depths else len(depths) - 1
        if 0 <= place < len(depths):
            self.choice.set_node("B", depths[place])

    def _view_chosen(self, letter: str, node: str) -> None:
        self.choice.set_choice(letter, Choice(self.choice.choices["B"].source, node))
        self.give_focus()

    def _hand(self, items: list[Differing]) -> None:
        plane, names, labels = self.sources.plane, tuple(self.names().values()), []
        if self._story is not None:
            names, labels = tuple(side.name for side in self._story), [side.labels for side in self._story]
        else:
            drawn = [self.drawn(self.choice.choices[letter]) for letter in "AB"]
            labels = [nuclei.labels for nuclei in drawn if nuclei is not None]
        if plane is None or len(labels) < len("AB"):
            return
        pixels = pixels_of(items, labels[0], labels[1], plane.shape)
        self.hand_over.take(plane, pixels, (names[0], names[1]), len(items))
        self.review_wished.emit()
        self.hand_over.serve()

    # following the window

    def _refresh_if_active(self) -> None:
        if isalive(self) and self.active and self._viewer() is not None:
            self.refresh()

    def _found(self) -> None:
        """The network was run, or its maps were read anew."""
        self.sources.forget_passes()
        self.prepared.clear()
        self._soon.start()

    def _plane_moved(self, event: Any = None) -> None:
        plane = self.sources.plane
        if self.active and plane is not None and plane.index:
            self._settled.start()

    def _layers_changed(self, event: Any = None) -> None:
        if self.active and not self.canvas.panes.changing:
            self._soon.start()

    def _problem(self, error: Exception) -> None:
        known = isinstance(error, UNetSharpError)
        self.message.problem(
            str(error) if known else f"Unexpected {type(error).__name__}: {error}. Please report this."
        )
