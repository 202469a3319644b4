"""The widgets of stage *Review*, without what they do."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_unetsharp.network.grid import BRANCHES
from napari_unetsharp.widgets.cards import CardPanel
from napari_unetsharp.widgets.description_row import DescriptionRow
from napari_unetsharp.widgets.queue_region import DRAWN, EVERYWHERE, HERE, IN_LAYER
from napari_unetsharp.widgets.queue_view import QueueView
from napari_unetsharp.widgets.quiet import button
from napari_unetsharp.widgets.reading_strip import ReadingStrip
from napari_unetsharp.widgets.review_queue import ORDERS, STATES
from napari_unetsharp.widgets.state_bar import StateBar


class StartPanel(QWidget):
    """What to start from; and whether to go on with a review that is there."""

    def __init__(self, start: Callable[[], None], mask: Callable[[], None], go_on: Callable[[str], None]) -> None:
        super().__init__()
        self.found = QLabel()
        self.found.setWordWrap(True)
        self.go_on_button = button("Go on", "Go on where it was left", lambda: go_on("go on"))
        self.afresh_button = button(
            "Start afresh", "Begin anew; the old review is kept under another name", lambda: go_on("afresh")
        )
        self.salvage_button = button(
            "Use what is sound", "Take everything before the damage; the damaged file is kept", lambda: go_on("salvage")
        )
        self.question = _column(self.found, _row(self.go_on_button, self.afresh_button, self.salvage_button))
        self.choice = QComboBox()
        self.choice.setToolTip("Nuclei to start from; they are copied, never changed")
        self.start_button = button("Start review", "Copy these nuclei and look at the doubtful ones first", start)
        tip = "Start from nuclei of another program or a saved review: TIFF, PNG, NPY, GeoJSON, review.json"
        self.mask_button = button("Mask file…", tip, mask)
        self.offer = _column(QLabel("Start from"), self.choice, _row(self.start_button, self.mask_button))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.question)
        layout.addWidget(self.offer)


class WorkPanel(QWidget):
    """Progress, card, corrections, what comes next, and the foot line.

    Parameters
    ----------
    act : callable
        Gets the name of a key's action.
    do : callable
        Gets the name of another button: "one", "screen", "lasso right", "lasso not", "ignore", "layers", "save",
        "take over", "second" and those of `ReadingStrip`, or "view x04" and the like.
    reason : callable
        Gets a reason.
    keys : dict of str to str
    """

    def __init__(
        self, act: Callable[[str], None], do: Callable[[str], None], reason: Callable[[str], None], keys: dict[str, str]
    ) -> None:
        super().__init__()
        self.progress = StateBar()
        self.one = button("One by one", "The doubtful nuclei, one after the other", lambda: do("one"), True)
        self.screen = button("Screen by screen", "The whole field, view by view", lambda: do("screen"), True)
        self.card = CardPanel(act, reason, keys)
        self.lassos = {
            "lasso right": button("Lasso: right", "Draw around nuclei that are right", lambda: do("lasso right"), True),
            "lasso not": button("Lasso: none", "Draw around what is no nucleus", lambda: do("lasso not"), True),
            "ignore": button(
                "Ignore region", "Draw around tissue to leave out of training", lambda: do("ignore"), True
            ),
        }
        self.description = DescriptionRow(act)
        self.tags = self.description.field
        self.order, self.state, self.region = _combo(ORDERS), _combo(STATES), RegionCombo()
        self.queue = QueueView()
        self.errors = QLabel()
        self.errors.setWordWrap(True)
        self.errors.setStyleSheet("QLabel { font-size: 11px; }")
        self.reading = ReadingStrip(do)
        self.second = button("2nd reading", "A random tenth is asked again, blinded, to see how far two readings agree",
                             lambda: do("second"))  # fmt: skip
        self.views = {name: _view_button(name, do) for name in BRANCHES}
        self.layers = button("Layers", "Show napari's layer list, or hide it again", lambda: do("layers"), True)
        self.save = button("Save", "Write labels, tables and outlines beside the image (Ctrl+S is napari's)",
                           lambda: do("save"))  # fmt: skip
        self.help = button("Keys ?", "All keys and clicks (F1)", lambda: act("sheet"))
        self.take_over = button("Take over", "Write here; the other window can't any more", lambda: do("take over"))
        self.take_over.hide()
        self.foot = QLabel()
        self.foot.setWordWrap(True)
        self.foot.setStyleSheet("QLabel { font-size: 11px; }")
        self._lay_out()

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        layout.addWidget(self.progress)
        self._of_review = [
            _row(self.one, self.screen), _row(*self.lassos.values()),
            _row(self.order, self.state, self.region, stretch=(5, 4, 4)), self.save, self.second,
            self.description,
        ]  # fmt: skip
        modes, lassos, filters = self._of_review[:3]
        layout.addWidget(modes)
        layout.addWidget(self.card)
        layout.addWidget(lassos)
        layout.addWidget(self.description)
        layout.addWidget(filters)
        layout.addWidget(self.queue, stretch=1)
        layout.addWidget(self.errors)
        layout.addWidget(self.reading)
        layout.addWidget(_row(*self.views.values(), spacing=2))
        layout.addWidget(_row(self.save, self.second, self.layers, self.help, self.take_over))
        layout.addWidget(self.foot)

    def show_reading(self, on: bool) -> None:
        """Hide what is no part of a second reading, or show it again."""
        for widget in self._of_review:
            widget.setVisible(not on)


class RegionCombo(QComboBox):
    """Regions that the queue can serve from; the person's Shapes layers are looked up when it opens.

    Attributes
    ----------
    layers : callable
        Gives the names of the Shapes layers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers: Callable[[], list[str]] = list
        self.addItems([EVERYWHERE, HERE, DRAWN])
        self.setToolTip("Serve only what lies here; choose 'in view' again after moving, 'drawn' again to draw anew")
        _quieten(self)

    def refill(self) -> None:
        """Offer the Shapes layers that are there now; what is chosen stays, though its layer be gone."""
        chosen = self.currentText()
        names = [IN_LAYER + name for name in self.layers()]
        self.blockSignals(True)
        self.clear()
        self.addItems(list(dict.fromkeys([EVERYWHERE, HERE, DRAWN, *names, chosen])))
        self.setCurrentText(chosen)
        self.blockSignals(False)

    def showPopup(self) -> None:  # noqa: N802
        """Qt: about to open."""
        self.refill()
        super().showPopup()


def _combo(choices: object) -> QComboBox:
    made = QComboBox()
    made.addItems(list(choices))  # type: ignore[call-overload]
    _quieten(made)
    return made


def _quieten(made: QComboBox) -> None:
    made.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    made.setMinimumContentsLength(5)
    made.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)


def _view_button(name: str, do: Callable[[str], None]) -> QPushButton:
    title = BRANCHES[name].title.split(" · ")[0]
    made = button(
        title, f"Show what view {title} ({name}) sees; press again to hide it", lambda: do(f"view {name}"), True
    )
    made.setStyleSheet("QPushButton { padding: 2px 0px; font-size: 11px; min-width: 16px; }")
    return made


def _row(*widgets: QWidget, spacing: int = 4, stretch: tuple[int, ...] = ()) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(spacing)
    for place, widget in enumerate(widgets):
        layout.addWidget(widget, stretch[place] if stretch else 0)
    return row


def _column(*widgets: QWidget) -> QWidget:
    column = QWidget()
    layout = QVBoxLayout(column)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget)
    return column
