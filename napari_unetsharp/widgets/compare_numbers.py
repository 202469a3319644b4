"""Feeds the table, the plot and the report of stage *Compare*, and follows what is clicked in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject

from napari_unetsharp.comparison.candidate import Candidate
from napari_unetsharp.comparison.difference import Differing
from napari_unetsharp.widgets.compare_candidates import candidates_of, counted, picture_of, spacing_of, truth_of
from napari_unetsharp.widgets.compare_drawn import Drawn
from napari_unetsharp.widgets.compare_sources import RUN, Choice

if TYPE_CHECKING:
    from napari_unetsharp.widgets.compare import CompareStage


class Numbers(QObject):
    """Between the stage and its results.

    Parameters
    ----------
    stage : CompareStage
    """

    def __init__(self, stage: CompareStage) -> None:
        super().__init__(stage)
        self._stage = stage
        self._shown: tuple[Any, ...] = ()
        self._made: dict[Choice, Candidate] = {}
        self._truth: Candidate | None = None
        self._last: Choice | None = None
        stage.results.stepped.connect(self._stepped)
        stage.results.chosen.connect(self._chosen)

    def refresh(self) -> None:
        """Count what is chosen, once all of it is there; what is counted already isn't counted again."""
        stage, sources = self._stage, self._stage.sources
        if sources.plane is None:
            return
        choices = stage.choice.choices
        wanted = counted(sources, choices.values())
        drawn = {choice: stage.drawn(choice, urgent=choice in choices.values()) for choice in wanted}
        there: dict[Choice, Drawn] = {choice: nuclei for choice, nuclei in drawn.items() if nuclei is not None}
        if len(there) < len(wanted) or not there:
            return
        made = candidates_of(sources, wanted, there, stage.several_models)
        truth = truth_of(made, choices["A"])
        key = tuple((candidate.name, id(candidate.labels)) for candidate in made.values()), truth and truth.name
        if key == self._shown:
            return
        self._shown, self._made, self._truth = key, made, truth
        checkpoints = {known.metadata.name: known for known in sources.checkpoints.values()}
        checkpoint = sources.checkpoints.get(RUN) or next(iter(checkpoints.values()), None)
        stage.results.show_candidates(
            list(made.values()), truth, spacing_of(sources.plane.layer), picture_of(sources.plane), checkpoint,
            self._settings(), checkpoints,
        )  # fmt: skip

    def clear(self) -> None:
        """Nothing is compared."""
        self._shown, self._made, self._truth = (), {}, None
        self._stage.results.clear()

    def _settings(self) -> dict[str, Any]:
        """What the numbers depend on, for the report."""
        form, labels = self._stage.find.form, self._stage.find.label_form.settings
        return {
            "image": form.image.value.name if form.image.value is not None else "",
            "device": str(form.device.value), "threshold": labels.threshold, "smallest": labels.smallest,
            "split": labels.split, **form.options,
        }  # fmt: skip

    def _stepped(self, items: list[Differing]) -> None:
        """A number was clicked; whose it is came before, by `_chosen`."""
        candidate, truth = self._made.get(self._last) if self._last is not None else None, self._truth
        if candidate is None or truth is None:
            return
        choice = self._stage.choice
        against = next(one for one, made in self._made.items() if made is truth)
        if against not in choice.choices.values():
            choice.set_choice("A", against)
        self._stage.step_through(items, truth, candidate)

    def _chosen(self, name: str) -> None:
        """A row or a point was clicked: look at it in B."""
        self._last = next((one for one, candidate in self._made.items() if candidate.name == name), None)
        choice = self._stage.choice
        if self._last is not None and self._last not in choice.choices.values():
            choice.set_choice("B", self._last)
