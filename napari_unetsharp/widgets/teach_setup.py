"""The first half of *Teach*: samples, depth, speed, and settings behind a fold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_unetsharp.errors import SettingsError, UNetSharpError
from napari_unetsharp.images.intensity import NORMALISATIONS
from napari_unetsharp.network.checkpoint import SHIPPED, file_hash, read_header
from napari_unetsharp.network.grid import LEVELS
from napari_unetsharp.training.kept_aside import SIDES
from napari_unetsharp.training.tune_settings import TuneSettings
from napari_unetsharp.widgets.find import FindStage
from napari_unetsharp.widgets.fold import Fold
from napari_unetsharp.widgets.quiet import button, quiet
from napari_unetsharp.widgets.teach_form import AdvancedForm
from napari_unetsharp.widgets.teach_list import PairPanel, SampleList
from napari_unetsharp.widgets.teach_samples import Weighed
from napari_unetsharp.widgets.teach_speeds import SpeedRow


class SetupPanel(QWidget):
    """What to learn from, and how.

    Parameters
    ----------
    find : FindStage
        Its model and device are used.
    pairs : callable
        Labels layers that fit each image layer, by name.
    add_pair : callable
        Gets image, labels, and whether only the drawn rectangle counts.
    add_folder : callable
        Gets a folder.
    """

    def __init__(
        self, find: FindStage, pairs: Callable[[], dict[str, list[str]]], add_pair: Callable[[str, str, bool], None],
        add_folder: Callable[[str], None],
    ) -> None:  # fmt: skip
        super().__init__()
        self.find, self._add_folder = find, add_folder
        self._depth_chosen = False
        self.samples = SampleList()
        self.pairs = PairPanel(pairs, add_pair)
        self.pair_button = button(
            "Add pair…", "Learn from an open image and its corrected mask", self._toggle_pairs, checkable=True
        )
        self.folder_button = button(
            "Add folder…", "Learn from a folder: reviews, or images/ and labels/", self._ask_for_folder
        )
        self.aside = QLabel()
        self.aside.setWordWrap(True)
        self.aside.setStyleSheet("QLabel { font-size: 11px; }")
        self.quarter_choice = QComboBox()
        self.quarter_choice.addItem("best quarter", "")
        for side in SIDES:
            self.quarter_choice.addItem(side, side)
        self.quarter_choice.setToolTip("Which quarter of the image tests the new model and is not learned from")
        self.quarter_choice.hide()
        self.model = QLabel()
        self.model.setToolTip("The model that is chosen in 1 Find learns; its file stays as it is")
        self.depth = QComboBox()
        self.depth.setToolTip("Depth that learns: 1 is fastest, 4 fullest. A shallower one learns much faster")
        self.speeds = SpeedRow()
        self.form = AdvancedForm()
        self.advanced = Fold("Advanced", "Settings that hardly ever need a touch", self.form)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        layout.addWidget(QLabel("<b>Learn from</b>"))
        layout.addWidget(self.samples)
        layout.addWidget(_row(self.pair_button, self.folder_button))
        layout.addWidget(self.pairs)
        layout.addWidget(_row(self.aside, self.quarter_choice, stretch=(1, 0)))
        layout.addWidget(_row(self.model, self.depth, stretch=(1, 0)))
        layout.addWidget(self.speeds)
        layout.addWidget(self.advanced)
        quiet(self.depth)
        quiet(self.quarter_choice)
        self.depth.activated.connect(self._choose_depth)

    @property
    def level(self) -> int:
        """The chosen depth."""
        return int(self.depth.currentData() or max(LEVELS))

    @property
    def quarter(self) -> str:
        """Side of a single image that is kept aside; empty for the best one."""
        return str(self.quarter_choice.currentData() or "")

    def settings(self) -> TuneSettings:
        """All but the samples.

        Raises
        ------
        SettingsError
            If there is no model, or something makes no sense.
        """
        model = self.find.form.model.value
        if not model:
            raise SettingsError("no model is chosen: press 1 Find, then Other model…")
        checkpoint = model if model in SHIPPED else str(Path(model).resolve())
        normalisation, size = self._answers(model)
        settings = TuneSettings(
            checkpoint, speed=self.speeds.speed, level=self.level, device=str(self.find.form.device.value),
            normalisation=normalisation, nucleus_size=size, quarter=self.quarter,
        )  # fmt: skip
        return self.form.apply(settings)

    def follow_model(self) -> None:
        """Another model may be chosen: offer its depths; that of *Find* at first."""
        model = self.find.form.model.value
        self.model.setText(f"Model <b>{Path(model).stem if model else 'none'}</b>, depth")
        offered = self._depths(model)
        current = self.level if self._depth_chosen else int(self.find.form.depth.value or max(LEVELS))
        self.depth.clear()
        for level in offered:
            self.depth.addItem({1: "1 fastest", max(LEVELS): f"{max(LEVELS)} fullest"}.get(level, str(level)), level)
        self.depth.setCurrentIndex(offered.index(current) if current in offered else len(offered) - 1)

    def show_weighed(self, weighed: Weighed | None) -> None:
        """What is kept aside, or what is missing."""
        if weighed is None:
            self.aside.setText("Reading the samples…")
            return
        self.quarter_choice.setVisible(bool(weighed.divided) or bool(self.quarter and not weighed.missing))
        self.speeds.learned, self.speeds.tested = weighed.learned, weighed.tested
        self.speeds.refresh()
        if weighed.missing:
            self.aside.setText(f"Missing: {weighed.missing}.")
        else:
            words = weighed.aside[:1].upper() + weighed.aside[1:]
            self.aside.setText(words + ("." if weighed.divided else ". Change it with auto / learn / test."))

    def open_pairs(self, on: bool) -> None:
        """Show or hide the choice of a pair."""
        self.pair_button.setChecked(on)
        self.pairs.open() if on else self.pairs.hide()

    def _toggle_pairs(self) -> None:
        self.open_pairs(self.pair_button.isChecked())

    def _ask_for_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Learn from a folder")
        if path:
            self._add_folder(path)

    def _choose_depth(self, _place: int) -> None:
        self._depth_chosen = True
        self.speeds.chosen.emit()

    def _depths(self, model: str | None) -> list[int]:
        try:
            heads = read_header(SHIPPED.get(str(model), Path(str(model))))[0].heads
        except (UNetSharpError, OSError):  # a published file has no header; the process checks again
            return list(LEVELS)
        return [level for level in LEVELS if f"x0{level}" in heads] or list(LEVELS)

    def _answers(self, model: str) -> tuple[str, float]:
        """Normalisation and nucleus size, as the person said of a published file."""
        if model in SHIPPED or Path(model).suffix == ".safetensors" or not Path(model).is_file():
            return "", 0.0
        said = self.find.models.answers.get(file_hash(Path(model)), {})
        names = {known.words: known.name for known in NORMALISATIONS}
        return names.get(str(said.get("normalisation")), ""), float(said.get("nucleus_size") or 0)


def _row(*widgets: QWidget, stretch: tuple[int, ...] = ()) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    for place, widget in enumerate(widgets):
        layout.addWidget(widget, stretch[place] if stretch else 0)
    return row
