"""The way from a slide to a region of it and back: a row below the case bar, and an offer in *Review*."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QMenu, QVBoxLayout, QWidget

from napari_unetsharp.widgets.quiet import button
from napari_unetsharp.widgets.slide_region import SlideRegion

if TYPE_CHECKING:
    from napari_unetsharp.widgets.review import ReviewStage
    from napari_unetsharp.widgets.slide_regions import SlideRegions

MOST_LISTED = 20
"""Earlier regions that the menu offers: those that were worked on last."""


class RegionBar(QWidget):
    """Offers the region in view while a slide is chosen, and the way back while a region is.

    Parameters
    ----------
    review : ReviewStage
        Has the regions, and is closed before one is left.
    """

    def __init__(self, review: ReviewStage) -> None:
        super().__init__()
        self.regions, self._review = review.regions, review
        self.view_button = button(
            "Work on this region", "Cut out what is on screen at full resolution, to review, teach and compare on it",
            self.regions.work_on_view,
        )  # fmt: skip
        self.drawn_button = button(
            "Draw", "Drag a rectangle on the slide and work on it; or select a shape on a layer of yours first",
            self.regions.work_on_drawn,
        )  # fmt: skip
        self.earlier_button = button("Earlier ▾", "Regions of this slide that were worked on before", self._offer)
        self.back_button = button("Back to the slide", "Save what was done in this region and close it", self._back)
        self.label = QLabel()
        self.label.setWordWrap(True)
        self.label.setTextFormat(Qt.TextFormat.PlainText)
        self.label.setStyleSheet("QLabel { font-size: 11px; }")
        self.menu = QMenu(self)
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(self.view_button, 1)
        for made in (self.drawn_button, self.earlier_button, self.back_button):
            row.addWidget(made)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 0, 4, 0)
        layout.setSpacing(2)
        layout.addWidget(self.label)
        layout.addLayout(row)
        self._said = ""
        self.regions.looked.connect(self.refresh)
        self.regions.said.connect(self.say)
        self.regions.failed.connect(self.say)
        self.regions.opened.connect(self.refresh)
        self.regions.find.form.image.changed.connect(self._other_image)
        self.refresh()

    def say(self, text: str) -> None:
        """Show what was done, or why not; until another image is chosen."""
        self._said = text
        self.refresh()

    def refresh(self, _event: object = None) -> None:
        """Show what can be done with what is chosen."""
        on_slide, region = self.regions.on_slide, self.regions.region
        self.setVisible(on_slide or region is not None)
        for made in (self.view_button, self.drawn_button):
            made.setVisible(on_slide)
        self.earlier_button.setVisible(on_slide and bool(self.regions.earlier()))
        self.back_button.setVisible(region is not None)
        if on_slide:
            size, trouble = self.regions.view_words()
            self.view_button.setEnabled(not trouble)
            self.label.setText(self._said or (f"{trouble}." if trouble else f"Slide · {size} on screen"))
        elif region is not None:
            self.label.setText(f"Region of {region.slide} · {region.size}" + (f" · {self._said}" if self._said else ""))

    def _other_image(self, _layer: object = None) -> None:
        self._said = ""
        self.refresh()

    def _offer(self) -> None:
        self.fill_menu()
        self.menu.popup(self.earlier_button.mapToGlobal(self.earlier_button.rect().bottomLeft()))

    def fill_menu(self) -> None:
        """List the earlier regions, the one that was worked on last first."""
        self.menu.clear()
        for region in self.regions.earlier()[:MOST_LISTED]:
            action = self.menu.addAction(f"{region.place} · {region.size}")
            if action is not None:
                action.triggered.connect(partial(self._open, region))

    def _open(self, region: SlideRegion, _checked: bool = False) -> None:
        self.regions.open(region)

    def _back(self) -> None:
        again = self._review.active
        if self.regions.close(self._review) and again:
            self._review.enter()


class RegionOffer(QWidget):
    """In stage *Review*, while a whole slide is chosen: what is on screen, a button away."""

    def __init__(self, regions: SlideRegions) -> None:
        super().__init__()
        self.regions = regions
        self.label = QLabel()
        self.label.setWordWrap(True)
        self.button = button("Review what I see", "Cut it out at full resolution and review it", regions.work_on_view)
        self.button.setMinimumHeight(34)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.label)
        layout.addWidget(self.button)
        regions.looked.connect(self.refresh)
        self.hide()

    def refresh(self) -> None:
        """Say how much is on screen, and whether that can be reviewed."""
        if self.isHidden():
            return
        size, trouble = self.regions.view_words()
        self.button.setEnabled(not trouble)
        told = trouble if trouble else f"On screen: {size}"
        self.label.setText(f"A slide is reviewed region by region. {told}.")
