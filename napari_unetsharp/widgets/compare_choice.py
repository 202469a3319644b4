"""A, B, C, D: what each of them shows."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QGridLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_unetsharp.comparison.candidate import view_name
from napari_unetsharp.widgets.compare_colours import LETTERS, PANE_COLOURS
from napari_unetsharp.widgets.compare_sources import Choice, Source
from napari_unetsharp.widgets.quiet import button

NEEDS = "  (needs a pass)"
"""Behind a view that isn't computed."""

FEWEST = 2


class _Row:
    """Widgets of a letter."""

    def __init__(self, letter: str) -> None:
        self.chip = QLabel(letter)
        self.chip.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.chip.setFixedSize(20, 20)
        self.chip.setStyleSheet(
            f"QLabel {{ background: {PANE_COLOURS[letter]}; color: black; border: 1px solid black; border-radius: 3px; "
            "font-weight: bold; }"
        )
        self.source, self.node = _combo(f"Where the nuclei of {letter} come from"), _combo(f"Depth or view of {letter}")
        self.remove: QPushButton | None = None

    @property
    def widgets(self) -> list[QWidget]:
        """All of them."""
        return [self.chip, self.source, self.node, *([self.remove] if self.remove is not None else [])]


class ChoicePanel(QWidget):
    """A row per letter: where the nuclei come from, and which depth or view.

    Signals
    -------
    changed()
        Another choice, or more or fewer letters.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.choices: dict[str, Choice] = {}
        self._known: Mapping[str, Source] = {}
        self._rows: dict[str, _Row] = {}
        self._grid = QGridLayout()
        self._grid.setSpacing(4)
        self._grid.setColumnStretch(1, 3)
        self._grid.setColumnStretch(2, 4)
        self.add_button = button("Add another", "Compare three or four at once", self._add)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(self._grid)
        layout.addWidget(self.add_button, alignment=Qt.AlignmentFlag.AlignLeft)
        for letter in LETTERS:
            self._make(letter)

    @property
    def letters(self) -> str:
        """Those that are compared."""
        return "".join(self.choices)

    def show_choices(self, known: Mapping[str, Source], choices: Mapping[str, Choice]) -> None:
        """Offer what there is; nothing is emitted.

        Parameters
        ----------
        known : mapping of str to Source
        choices : mapping of str to Choice
            By letter, in their order.
        """
        self._known, self.choices = known, dict(choices)
        for letter in LETTERS:
            self._show(letter)
        self.add_button.setVisible(len(self.choices) < len(LETTERS))

    def set_choice(self, letter: str, choice: Choice) -> None:
        """Choose for a letter."""
        self.choices[letter] = choice
        self._show(letter)
        self.changed.emit()

    def set_node(self, letter: str, node: str) -> None:
        """Another depth or view of the same model."""
        self.set_choice(letter, self.choices[letter]._replace(node=node))

    def source_combo(self, letter: str) -> QComboBox:
        """Where the nuclei of a letter come from."""
        return self._rows[letter].source

    def node_combo(self, letter: str) -> QComboBox:
        """Depth or view of a letter."""
        return self._rows[letter].node

    def remove_button(self, letter: str) -> QPushButton | None:
        """Takes a letter away; A and B have none."""
        return self._rows[letter].remove

    def _make(self, letter: str) -> None:
        row = self._rows[letter] = _Row(letter)
        if LETTERS.index(letter) >= FEWEST:
            row.remove = button("×", f"Leave {letter} out", partial(self._remove, letter))
            row.remove.setFixedWidth(24)
        row.source.activated.connect(partial(self._source_chosen, letter))
        row.node.activated.connect(partial(self._node_chosen, letter))
        for column, widget in enumerate(row.widgets):
            self._grid.addWidget(widget, LETTERS.index(letter), column)

    def _show(self, letter: str) -> None:
        row, choice = self._rows[letter], self.choices.get(letter)
        for widget in row.widgets:
            widget.setVisible(choice is not None)
        if choice is None:
            return
        row.source.clear()
        for key, source in self._known.items():
            row.source.addItem(source.title, key)
        row.source.setCurrentIndex(row.source.findData(choice.source))
        row.source.setToolTip(row.source.currentText())
        row.node.clear()
        source_ = self._known.get(choice.source)
        for node in () if source_ is None else source_.nodes:
            ready = source_ is not None and node in source_.ready
            row.node.addItem(view_name(node) + ("" if ready else NEEDS), node)
        row.node.setCurrentIndex(row.node.findData(choice.node))
        row.node.setVisible(row.node.count() > 0)

    def _source_chosen(self, letter: str, _place: int) -> None:
        key = str(self._rows[letter].source.currentData())
        source = self._known.get(key)
        if source is None:
            return
        before = self.choices[letter].node
        ready = [node for node in source.nodes if node in source.ready]
        nodes = [node for node in (before, *ready, *source.nodes) if node in source.nodes]
        self.set_choice(letter, Choice(key, nodes[0] if nodes else ""))

    def _node_chosen(self, letter: str, _place: int) -> None:
        self.set_node(letter, str(self._rows[letter].node.currentData()))

    def _add(self) -> None:
        letter = LETTERS[len(self.choices)]
        used = set(self.choices.values())
        free = [
            Choice(key, node) for key, source in self._known.items() for node in (source.nodes or ("",))
            if (node in source.ready or not source.nodes) and Choice(key, node) not in used
        ]  # fmt: skip
        self.choices[letter] = free[0] if free else self.choices["A"]
        self.show_choices(self._known, self.choices)
        self.changed.emit()

    def _remove(self, letter: str) -> None:
        kept = [choice for other, choice in self.choices.items() if other != letter]
        self.show_choices(self._known, dict(zip(LETTERS, kept, strict=False)))
        self.changed.emit()


def _combo(tip: str) -> QComboBox:
    made = QComboBox()
    made.setToolTip(tip)
    made.setAccessibleName(tip)
    made.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    made.setMinimumContentsLength(6)
    made.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    return made
