"""Advanced settings of *Teach*: every one has a default that fits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from magicgui.widgets import CheckBox, Container, FloatSlider, FloatSpinBox, SpinBox
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_unetsharp.training.tune_settings import TuneSettings
from napari_unetsharp.widgets.quiet import button

_DEFAULT = TuneSettings("nuclei")


class AdvancedForm(QWidget):
    """Settings behind the fold.

    Attributes
    ----------
    old_folders : list of str
        The person's own training folders, against forgetting.
    """

    def __init__(self) -> None:
        super().__init__()
        self.old_folders: list[str] = []
        kept, crops, protection = _DEFAULT, _DEFAULT.crops, _DEFAULT.protection
        self.epochs = SpinBox(
            label="Epochs", value=kept.epochs, min=1, max=1000,
            tooltip="How often it is tested on the way. Touch it when the losses still fall at the end",
        )  # fmt: skip
        self.steps = SpinBox(
            label="Steps per epoch", value=kept.steps, min=1, max=10_000,
            tooltip="More with hundreds of nuclei, fewer when you are in a hurry",
        )  # fmt: skip
        self.rate = FloatSpinBox(
            label="Learning rate", value=kept.rate, min=0, max=1, step=1e-4,
            tooltip="0: that of the speed. Smaller when the loss jumps or the check images get worse",
        )  # fmt: skip
        self.rate.native.setDecimals(5)
        self.rate.native.setSpecialValueText("of the speed")
        self.batch = SpinBox(
            label="Crops per step", value=crops.batch, min=1, max=256,
            tooltip="Smaller when memory runs out, larger on a big GPU",
        )  # fmt: skip
        self.crop = SpinBox(
            label="Crop (px)", value=crops.crop, min=16, max=1024, step=16,
            tooltip="Side of a crop. Larger for large nuclei; smaller when memory runs out",
        )  # fmt: skip
        self.old = FloatSlider(
            label="Old examples", value=crops.old, min=0, max=0.9, step=0.05,
            tooltip="Share of old examples mixed in against forgetting. More when the check images get worse",
        )  # fmt: skip
        self.look = FloatSlider(
            label="Vary the look", value=crops.look, min=0, max=1, step=0.05,
            tooltip="Share of crops with another stain, brightness or blur. Less when all your images look the same",
        )  # fmt: skip
        self.stay = FloatSpinBox(
            label="Hold on to the old", value=protection.stay, min=0, max=1000, step=1,
            tooltip="How strongly the weights are held near the old ones. Less when it learns too little",
        )  # fmt: skip
        self.statistics = CheckBox(
            label="Keep its statistics", value=kept.hold_statistics,
            tooltip="Of batch norm. Untick with hundreds of images only",
        )  # fmt: skip
        self.minutes = FloatSpinBox(
            label="At most (minutes)", value=kept.minutes, min=0, max=10_000, step=1,
            tooltip="It ends then with the best so far",
        )  # fmt: skip
        self.minutes.native.setSpecialValueText("no bound")
        self.seed = SpinBox(
            label="Seed", value=kept.seed, min=0, max=2**31 - 1,
            tooltip="Another one keeps another part aside and draws other crops; the same gives the same model",
        )  # fmt: skip
        self.form = Container(
            widgets=[
                self.epochs, self.steps, self.rate, self.batch, self.crop, self.old, self.look, self.stay,
                self.statistics, self.minutes, self.seed,
            ]
        )  # fmt: skip
        self.form.margins = (0, 0, 0, 0)
        self.changed = self.form.changed
        self.folders = QLabel()
        self.folders.setWordWrap(True)
        self.add_folder = button("My old examples…", "A folder that an earlier model learned from, mixed in against "
                                 "forgetting and checked", self._ask)  # fmt: skip
        self.no_folders = button("None", "Take your old examples out again", self._forget)
        row = QHBoxLayout()
        row.addWidget(self.add_folder)
        row.addWidget(self.no_folders)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.form.native)
        layout.addLayout(row)
        layout.addWidget(self.folders)
        self._show_folders()

    def apply(self, settings: TuneSettings) -> TuneSettings:
        """The settings with what the form says.

        Raises
        ------
        SettingsError
            If something makes no sense.
        """
        crops = replace(
            settings.crops, batch=int(self.batch.value), crop=int(self.crop.value), old=float(self.old.value),
            look=float(self.look.value),
        )  # fmt: skip
        return replace(
            settings, epochs=int(self.epochs.value), steps=int(self.steps.value), rate=float(self.rate.value),
            crops=crops, protection=replace(settings.protection, stay=float(self.stay.value)),
            hold_statistics=bool(self.statistics.value), minutes=float(self.minutes.value), seed=int(self.seed.value),
            old_folders=tuple(self.old_folders),
        )  # fmt: skip

    def _ask(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "A folder of old examples: images/ and labels/")
        if path and path not in self.old_folders:
            self.old_folders.append(path)
            self._show_folders()

    def _forget(self) -> None:
        self.old_folders.clear()
        self._show_folders()

    def _show_folders(self) -> None:
        self.folders.setText(", ".join(Path(folder).name for folder in self.old_folders))
        self.folders.setVisible(bool(self.old_folders))
        self.no_folders.setVisible(bool(self.old_folders))
