"""The one dock *UNet#*: one per viewer, however it is opened."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QScrollArea, QStackedWidget, QVBoxLayout, QWidget

from napari_unetsharp.training.versions import chosen
from napari_unetsharp.widgets.cases import CaseBar
from napari_unetsharp.widgets.compare import CompareStage
from napari_unetsharp.widgets.find import FindStage
from napari_unetsharp.widgets.models import ModelList
from napari_unetsharp.widgets.opening import opens_as_one
from napari_unetsharp.widgets.quiet import button
from napari_unetsharp.widgets.removal import free_in_own_context
from napari_unetsharp.widgets.review import ReviewStage
from napari_unetsharp.widgets.teach import TeachStage

if TYPE_CHECKING:
    from napari import Viewer

TITLE = "UNet#"
FIND, REVIEW, TEACH, COMPARE = "Find", "Review", "Teach", "Compare"
_DOCKS: WeakKeyDictionary[Any, UNetSharpDock] = WeakKeyDictionary()


class UNetSharpDock(QWidget):
    """Stages of the work in a scroll area of about 370 px.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        free_in_own_context(napari_viewer)
        self.models = ModelList.remembered()
        self.find = FindStage(napari_viewer, self.models)
        self.find.refresh_models(chosen())
        self.review = ReviewStage(napari_viewer, self.find)
        self.cases = CaseBar(napari_viewer, self.find, self.review)
        self.teach = TeachStage(napari_viewer, self.find, self.review, self.cases)
        self.compare = CompareStage(napari_viewer, self.find, self.review)
        self.cases.review_wished.connect(lambda: self.show_stage(REVIEW))
        self.cases.find_wished.connect(lambda: self.show_stage(FIND))
        self.compare.review_wished.connect(lambda: self.show_stage(REVIEW))
        self.compare.find_wished.connect(lambda: self.show_stage(FIND))
        self.find.mask_offer.review.connect(self._review_mask)
        self.stages = QStackedWidget()
        self.buttons: dict[str, QPushButton] = {}
        bar = QHBoxLayout()
        bar.setSpacing(4)
        bar.setContentsMargins(4, 0, 4, 0)
        stages = (FIND, self.find), (REVIEW, self.review), (TEACH, self.teach), (COMPARE, self.compare)
        for number, (name, stage) in enumerate(stages, start=1):
            self.stages.addWidget(_scrolling(stage))
            made = button(f"{number} {name}", f"Stage {name}", partial(self.show_stage, name), checkable=True)
            self.buttons[name] = made
            bar.addWidget(made)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.cases)
        layout.addLayout(bar)
        layout.addWidget(self.stages)
        self.setAcceptDrops(True)
        self.show_stage(FIND)

    @property
    def stage(self) -> str:
        """Name of the stage on screen."""
        return list(self.buttons)[self.stages.currentIndex()]

    def show_stage(self, name: str) -> None:
        """Bring a stage to the front.

        Parameters
        ----------
        name : str
            "Find", "Review", "Teach" or "Compare".
        """
        for other, made in self.buttons.items():
            made.setChecked(other == name)
        if name != REVIEW:
            self.review.leave()
        if name != TEACH:
            self.teach.leave()
        if name != COMPARE:
            self.compare.leave()
        self.stages.setCurrentIndex(list(self.buttons).index(name))
        if name == REVIEW:
            self.review.enter()
        elif name == TEACH:
            self.teach.enter()
        elif name == COMPARE:
            self.compare.enter()
        self.cases.refresh()

    def _review_mask(self, path: str) -> None:
        """A mask was opened, and is to be reviewed."""
        self.review.wished_mask = path
        self.show_stage(REVIEW)

    def sizeHint(self) -> QSize:  # noqa: N802
        """Qt: the width that every label wraps to."""
        return QSize(370, 760)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Qt: narrower clips the forms."""
        return QSize(330, 300)

    def reset_choices(self, event: Any = None) -> None:
        """Called by napari when layers come or go."""
        self.find.reset_choices(event)

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:  # noqa: N802
        """Qt: pictures may be dropped here."""
        if event is not None and (mime := event.mimeData()) is not None and mime.hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:  # noqa: N802
        """Qt: open a dropped picture, slide, folder or checkpoint, without napari's reader dialog."""
        if event is None or (mime := event.mimeData()) is None:
            return
        for url in mime.urls():
            path = url.toLocalFile()
            if path.lower().endswith((".safetensors", ".pth", ".pt")):
                self.find.open_model(path)
            elif Path(path).is_dir() and not opens_as_one(path):
                self.cases.open_folder(path)
            else:
                self.find.open_image(path)
        event.acceptProposedAction()


def make_dock(napari_viewer: Viewer) -> UNetSharpDock:
    """The dock of a viewer, for napari to put into its window; a second call gives the same one.

    Parameters
    ----------
    napari_viewer : napari.Viewer

    Returns
    -------
    UNetSharpDock
    """
    viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
    dock = _DOCKS.get(viewer)
    if dock is not None and _is_alive(dock):
        _undock(viewer, dock)
        return dock
    dock = _DOCKS[viewer] = UNetSharpDock(viewer)
    return dock


class DockContribution(QWidget):
    """What the manifest names: napari wants a widget class, and gets the viewer's one dock from it.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        napari looks for a parameter of this name.
    """

    def __new__(cls, napari_viewer: Viewer) -> Any:
        """Give back the dock that is there, or a new one; it is no instance of this class, so nothing else runs."""
        return make_dock(napari_viewer)

    def __init__(self, napari_viewer: Viewer) -> None:
        raise TypeError("never made: the dock takes its place")


def open_dock(viewer: Viewer) -> UNetSharpDock:
    """Open the dock on the right, or bring the one that is open to the front.

    Parameters
    ----------
    viewer : napari.Viewer

    Returns
    -------
    UNetSharpDock
    """
    viewer = getattr(viewer, "__wrapped__", viewer)
    dock = _DOCKS.get(viewer)
    if dock is not None and _is_alive(dock) and dock.parentWidget() is not None:
        dock.parentWidget().show()
        dock.parentWidget().raise_()
        return dock
    dock = make_dock(viewer)
    viewer.window.add_dock_widget(dock, name=TITLE, area="right", add_vertical_stretch=False)
    return dock


def find_nuclei(viewer: Viewer) -> None:
    """Menu command: open the dock at stage *Find*."""
    open_dock(viewer).show_stage(FIND)


def review_nuclei(viewer: Viewer) -> None:
    """Menu command: open the dock at stage *Review*."""
    open_dock(viewer).show_stage(REVIEW)


def teach_nuclei(viewer: Viewer) -> None:
    """Menu command: open the dock at stage *Teach*."""
    open_dock(viewer).show_stage(TEACH)


def compare_levels(viewer: Viewer) -> None:
    """Menu command: open the dock at stage *Compare*."""
    open_dock(viewer).show_stage(COMPARE)


def _scrolling(stage: QWidget) -> QScrollArea:
    scroll = QScrollArea()
    scroll.setWidgetResizable(True)
    scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    scroll.setWidget(stage)
    return scroll


def _undock(viewer: Viewer, dock: UNetSharpDock) -> None:
    try:
        viewer.window.remove_dock_widget(dock)
    except LookupError:  # closed with its x button: nothing holds it any more
        dock.setParent(None)


def _is_alive(dock: UNetSharpDock) -> bool:
    """Whether Qt still has the object behind the Python one."""
    try:
        dock.objectName()
    except RuntimeError:
        return False
    return True
