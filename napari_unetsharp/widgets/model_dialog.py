"""The question about a published checkpoint: how its training images were scaled."""

from __future__ import annotations

from magicgui.widgets import ComboBox, FloatSpinBox
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QFormLayout, QLabel, QWidget

from napari_unetsharp.widgets.models import NORMALISATIONS


class PublishedModelDialog(QDialog):
    """Asks once for what a published file doesn't say.

    Parameters
    ----------
    name : str
        Of the file.
    parent : QWidget, optional

    Attributes
    ----------
    normalisation : ComboBox
        A key of `NORMALISATIONS`.
    nucleus_size : FloatSpinBox
        Pixels; 0 for unknown.
    """

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("About this model")
        text = QLabel(
            f"{name} is a published checkpoint. Such files don't say how the training images were scaled. "
            "The answer is remembered for this file."
        )
        text.setWordWrap(True)
        self.normalisation = ComboBox(choices=list(NORMALISATIONS), value=next(iter(NORMALISATIONS)))
        self.nucleus_size = FloatSpinBox(value=0, min=0, max=500, step=1)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        form = QFormLayout(self)
        form.addRow(text)
        form.addRow("Pixels were scaled", self.normalisation.native)
        form.addRow("Nuclei across (px, 0: unknown)", self.nucleus_size.native)
        form.addRow(buttons)
        self.setMinimumWidth(420)
