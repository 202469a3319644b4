"""The history of models: which was tuned from which; use, rename, export."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHBoxLayout,
    QInputDialog,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_unetsharp.errors import UNetSharpError
from napari_unetsharp.network.checkpoint import SHIPPED
from napari_unetsharp.training.versions import Version, choose, export, models_folder, rename, versions
from napari_unetsharp.widgets.message import Message
from napari_unetsharp.widgets.quiet import button
from napari_unetsharp.widgets.worker import StoppableWorker, start_worker

if TYPE_CHECKING:
    from napari_unetsharp.widgets.find import FindStage


class History(QWidget):
    """A tree of versions with three buttons.

    Parameters
    ----------
    find : FindStage
        Whose model is chosen.
    """

    def __init__(self, find: FindStage) -> None:
        super().__init__()
        self.find = find
        self.versions: list[Version] = []
        self._worker: StoppableWorker | None = None
        self._again = False
        self.tree = QTreeWidget()
        self.tree.setHeaderHidden(True)
        self.tree.setColumnCount(2)
        self.tree.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.tree.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.tree.setFixedHeight(132)
        self.use_button = button("Use", "Choose this version in 1 Find", self._use)
        self.rename_button = button("Rename…", "Give this version another name; its descendants still know it",
                                    self._ask_for_name)  # fmt: skip
        self.export_button = button("Export…", "Write a copy elsewhere, with its card", self._ask_for_target)
        self.message = Message()
        row = QHBoxLayout()
        for made in (self.use_button, self.rename_button, self.export_button):
            row.addWidget(made)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.tree)
        layout.addLayout(row)
        layout.addWidget(self.message)
        self.tree.currentItemChanged.connect(self._selected)
        self.find.form.model.changed.connect(self._mark)
        self._selected()

    @property
    def chosen(self) -> Version | None:
        """The line that is selected."""
        item = self.tree.currentItem()
        place = None if item is None else item.data(0, Qt.ItemDataRole.UserRole)
        return None if place is None else self.versions[int(place)]

    def refresh(self) -> None:
        """Look again, in a thread: files are hashed."""
        if self._worker is not None:
            self._again = True
            return
        slots: dict[str, Any] = {"yielded": self._show, "errored": self._errored, "finished": self._ended}
        recent = [Path(path) for path in self.find.models.recent]
        self._worker = start_worker(history_steps, recent, connect=slots)

    @property
    def running(self) -> bool:
        """Whether files are being looked at."""
        return self._worker is not None

    def _show(self, found: list[Version]) -> None:
        chosen = self.chosen
        self.versions = found
        self.tree.clear()
        above: list[QTreeWidgetItem] = []
        for place, version in enumerate(found):
            item = QTreeWidgetItem([version.name, f"depth {version.level}" + _judged(version)])
            item.setData(0, Qt.ItemDataRole.UserRole, place)
            item.setToolTip(0, "\n".join(filter(None, [str(version.path), version.words])))
            del above[version.generation :]
            above[-1].addChild(item) if above else self.tree.addTopLevelItem(item)
            above.append(item)
            if chosen is not None and version.path == chosen.path:
                self.tree.setCurrentItem(item)
        self.tree.expandAll()
        self._mark()

    def _mark(self, _model: Any = None) -> None:
        """The one in use is bold."""
        model = self.find.form.model.value
        for item in _items(self.tree):
            version = self.versions[int(item.data(0, Qt.ItemDataRole.UserRole))]
            font = item.font(0)
            font.setBold(_value(version) == model)
            item.setFont(0, font)
        self.tree.resizeColumnToContents(0)
        self.tree.setColumnWidth(0, self.tree.columnWidth(0) + 24)  # room for a bold name

    def _selected(self, *_: Any) -> None:
        version = self.chosen
        own = version is not None and version.path.parent == models_folder().resolve()
        self.use_button.setEnabled(version is not None)
        self.export_button.setEnabled(version is not None)
        self.rename_button.setEnabled(own)

    def _use(self) -> None:
        version = self.chosen
        if version is None:
            return
        self.message.clear()
        value = _value(version)
        try:
            choose(value)
        except OSError as error:
            self.message.problem(f"the choice can't be remembered ({error.strerror or error})")
        if value in SHIPPED:
            self.find.form.model.value = value
        else:
            self.find.open_model(value)
        self.message.note(f"{version.name} is chosen in 1 Find.")

    def _ask_for_name(self) -> None:
        version = self.chosen
        if version is not None:
            name, sure = QInputDialog.getText(self, "Rename", "New name", text=version.name)
            if sure and name != version.name:
                self.rename(version, name)

    def rename(self, version: Version, name: str) -> None:
        """Give a version another name."""
        self.message.clear()
        in_use = self.find.form.model.value == _value(version)
        try:
            target = rename(version.path, name.strip())
        except UNetSharpError as error:
            self.message.problem(str(error))
            return
        models = self.find.models
        models.recent = [str(target) if Path(path) == version.path else path for path in models.recent]
        models.add(str(target))
        self.find.refresh_models(str(target) if in_use else None)
        self.message.note(f"{version.name} is {target.stem} now.")
        self.refresh()

    def _ask_for_target(self) -> None:
        version = self.chosen
        if version is not None:
            name = f"{version.name}-copy.safetensors"
            path, _ = QFileDialog.getSaveFileName(self, "Export", name, "Model (*.safetensors)")
            if path:
                self.export(version, Path(path))

    def export(self, version: Version, target: Path) -> None:
        """Write a copy of a version elsewhere."""
        self.message.clear()
        try:
            written = export(version.path, target)
        except (UNetSharpError, OSError) as error:
            self.message.problem(str(error))
            return
        self.message.note(f"Written: {written} and {written.with_suffix('.md').name}.")

    def _errored(self, error: Exception) -> None:
        self.message.problem(str(error))

    def _ended(self) -> None:
        self._worker = None
        if self._again:
            self._again = False
            self.refresh()


def history_steps(recent: list[Path], stop: Callable[[], bool]) -> Iterator[list[Version]]:
    """All versions, for a worker."""
    yield versions(files=[path for path in recent if path.suffix == ".safetensors"])


def _value(version: Version) -> str:
    """As the form of *Find* names it."""
    shipped = {path.resolve(): name for name, path in SHIPPED.items()}
    return shipped.get(version.path, str(version.path))


def _judged(version: Version) -> str:
    return f" · {version.decision}" if version.decision else ""


def _items(tree: QTreeWidget) -> list[QTreeWidgetItem]:
    found, todo = [], [tree.topLevelItem(place) for place in range(tree.topLevelItemCount())]
    while todo:
        item = todo.pop()
        if item is not None:
            found.append(item)
            todo += [item.child(place) for place in range(item.childCount())]
    return found
