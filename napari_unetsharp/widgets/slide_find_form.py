"""What *Find* asks on a slide only: tissue or everything."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_unetsharp.widgets.views import wrapping


class SlideForm(QWidget):
    """A choice, a button and a sentence; seen while a slide is chosen.

    Signals
    -------
    tissue_changed(bool)
        Whether to run on tissue only.
    edit_pressed()
        The person wants to paint the tissue mask.
    """

    tissue_changed = Signal(bool)
    edit_pressed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.tissue_only = QCheckBox("Tissue only")
        self.tissue_only.setChecked(True)
        self.tissue_only.setToolTip("Leave out empty glass; what counts as tissue is shown and can be painted")
        self.edit_button = QPushButton("Show and edit tissue")
        self.edit_button.setToolTip("The tissue as a layer to paint on: what is painted is run, what is erased is not")
        for widget in (self.tissue_only, self.edit_button):
            widget.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.edit_button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.scale = wrapping("")
        row = QHBoxLayout()
        row.addWidget(self.tissue_only)
        row.addWidget(self.edit_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(row)
        layout.addWidget(self.scale)
        self.say("")
        self.tissue_only.toggled.connect(self.tissue_changed)
        self.edit_button.clicked.connect(self._edit_clicked)

    def _edit_clicked(self) -> None:
        self.edit_pressed.emit()

    def say(self, sentence: str) -> None:
        """What is known about the slide's scale against the model's."""
        self.scale.setText(sentence)
        self.scale.setVisible(bool(sentence))
