"""*Export this depth…*: a smaller model, or a file for another program, written in a thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from qtpy.QtCore import QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QComboBox, QFileDialog, QFormLayout, QHBoxLayout, QLabel, QProgressBar, QVBoxLayout, QWidget

from napari_unetsharp.errors import UNetSharpError
from napari_unetsharp.exporting.export import export_steps, target_of
from napari_unetsharp.exporting.formats import FORMATS, file_name
from napari_unetsharp.network.checkpoint import Checkpoint
from napari_unetsharp.widgets.message import Message
from napari_unetsharp.widgets.quiet import button, quiet
from napari_unetsharp.widgets.worker import StoppableWorker, start_worker

_SPEEDS = {1: "Depth 1, fastest", 2: "Depth 2", 3: "Depth 3", 4: "Depth 4, fullest"}


def write_steps(
    checkpoint: Checkpoint, depth: int, format: str, path: Path, overwrite: bool, stop: Callable[[], bool]
) -> Iterator[str | Path]:
    """Write it, for a worker: what is being done, and at the end where it is. Stopped, it writes nothing."""
    with closing(export_steps(checkpoint, depth, format, path, overwrite)) as steps:
        while not stop():
            try:
                step = next(steps)
            except StopIteration as ended:
                yield ended.value
                return
            yield step.words


class ExportPanel(QWidget):
    """Depth, format, the button, how far it is, and where the file went.

    Signals
    -------
    written(str)
        The file.
    failed(str)
        Why it can't be written.
    ended()
        Done, cancelled or failed.
    """

    written = Signal(str)
    failed = Signal(str)
    ended = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.depth, self.format, self.purpose = QComboBox(), QComboBox(), QLabel()
        for item in FORMATS.values():
            self.format.addItem(item.title, item.name)
        self.depth.setToolTip("What is deeper is left out of the file")
        self.format.setToolTip("What the file is for")
        self.purpose.setWordWrap(True)
        self.button = button("Export this depth…", "Write this depth to a file; it is checked before it is kept",
                             self._pressed)  # fmt: skip
        self.show_button = button("Show folder", "Open the folder in which the file is", self._show_folder)
        self.bar, self.message = QProgressBar(), Message()
        self.bar.setRange(0, 0)
        self._checkpoint: Checkpoint | None = None
        self._file: Path | None = None
        self._worker: StoppableWorker | None = None
        self._lay_out()
        self.format.currentIndexChanged.connect(lambda _index: self._describe())
        self._refresh()

    @property
    def running(self) -> bool:
        """Whether a file is being written."""
        return self._worker is not None

    def offer(self, checkpoint: Checkpoint | None, depth: int | None = None) -> None:
        """Offer the depths of a model.

        Parameters
        ----------
        checkpoint : Checkpoint or None
            Nothing can be exported for None.
        depth : int, optional
            The one that is chosen; by default what was, else the deepest.
        """
        self._checkpoint = checkpoint
        chosen = depth or self.depth.currentData()
        heads = checkpoint.config.heads if checkpoint is not None else ()
        depths = [level for level in _SPEEDS if f"x0{level}" in heads]
        self.depth.clear()
        for level in depths:
            self.depth.addItem(_SPEEDS[level], level)
        if depths:
            self.depth.setCurrentIndex(depths.index(chosen) if chosen in depths else len(depths) - 1)
        self._refresh()

    def export(self, path: str | Path, overwrite: bool = False) -> None:
        """Write the chosen depth in the chosen format.

        Parameters
        ----------
        path : str or Path
            The format's suffix is added where it is missing.
        overwrite : bool
            Replace a file that is there.
        """
        if self._checkpoint is None or self.running:
            return
        self.message.clear()
        self._file = None
        self._worker = start_worker(
            write_steps, self._checkpoint, self.depth.currentData(), self.format.currentData(), Path(path), overwrite,
            connect={"yielded": self._yielded, "errored": self._errored, "finished": self._ended},
        )  # fmt: skip
        self._refresh()

    def cancel(self) -> None:
        """Ask for the end after the step at hand; nothing is written then."""
        if self._worker is not None:
            self._worker.cancel()
            self.button.setEnabled(False)
            self.message.note("Stopping after this step…")

    def quit(self) -> None:
        """End at the next report, for a closed window."""
        if self._worker is not None:
            self._worker.quit()

    def _pressed(self) -> None:
        if self.running:
            self.cancel()
        elif self._checkpoint is not None:
            self._ask()

    def _ask(self) -> None:
        assert self._checkpoint is not None
        chosen = FORMATS[self.format.currentData()]
        name = file_name(self._checkpoint.metadata.name, self.depth.currentData(), chosen.name)
        path, _ = QFileDialog.getSaveFileName(self, "Export this depth", name, f"{chosen.title} (*{chosen.suffix})")
        if not path:
            return
        try:
            same = target_of(path, chosen.name) == Path(path)  # then the dialog asked whether it may be replaced
        except UNetSharpError as error:
            self._errored(error)
            return
        self.export(path, overwrite=same)

    def _yielded(self, step: str | Path) -> None:
        if not isinstance(step, Path):
            if self._worker is not None and not self._worker.stop.is_set():
                self.message.note(f"{step}…")
            return
        self._file = step
        self.message.note(f"Written: {step}")
        self.written.emit(str(step))

    def _errored(self, error: Exception) -> None:
        self.message.problem(str(error))
        self.failed.emit(str(error))

    def _ended(self) -> None:
        stopped = self._worker is not None and self._worker.stop.is_set()
        self._worker = None
        if stopped and self._file is None and not self.message.is_problem:
            self.message.note("Cancelled; nothing was written.")
        self._refresh()
        self.ended.emit()

    def _show_folder(self) -> None:
        if self._file is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._file.parent)))

    def _describe(self) -> None:
        words = FORMATS[self.format.currentData()].words
        self.purpose.setText(words if self._checkpoint is not None else "No model is loaded yet: find nuclei first.")

    def _refresh(self) -> None:
        ready = self._checkpoint is not None and self.depth.count() > 0
        self._describe()
        self.button.setText("Cancel" if self.running else "Export this depth…")
        self.button.setEnabled(ready or self.running)
        self.depth.setEnabled(ready and not self.running)
        self.format.setEnabled(ready and not self.running)
        self.bar.setVisible(self.running)
        self.show_button.setVisible(self._file is not None and not self.running)

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Depth", self.depth)
        form.addRow("As", self.format)
        row = QHBoxLayout()
        row.addWidget(self.button)
        row.addWidget(self.show_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(form)
        layout.addWidget(self.purpose)
        layout.addLayout(row)
        layout.addWidget(self.bar)
        layout.addWidget(self.message)
        quiet(self)
