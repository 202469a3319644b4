"""*Report…*: the comparison as one page, written in a thread, opened in the browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_unetsharp.comparison.candidate import Candidate
from napari_unetsharp.comparison.difference import difference
from napari_unetsharp.comparison.report import write_report
from napari_unetsharp.comparison.rows import Row
from napari_unetsharp.errors import UNetSharpError
from napari_unetsharp.widgets.quiet import button
from napari_unetsharp.widgets.worker import StoppableWorker, start_worker

ENDING = ".html"


@dataclass(frozen=True, eq=False)
class ReportMaterial:
    """What the page is made of.

    Attributes
    ----------
    candidates : sequence of Candidate
        What they are measured against among them.
    rows : sequence of Row
    advice : str
    picture : callable
        Gives the tissue, array of uint8, (Y, X, 3); called in a thread.
    settings : mapping
        Plain values; "image" is its name.
    """

    candidates: Sequence[Candidate]
    rows: Sequence[Row]
    advice: str
    picture: Callable[[], NDArray[np.uint8]]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 by model."""
        return {f"model {one.model}": one.model_hash for one in self.candidates if one.model_hash}


def report_steps(path: Path, material: ReportMaterial, stop: Callable[[], bool]) -> Iterator[str | Path]:
    """Write it, for a worker: what is being done, and at the end where it is."""
    yield "Drawing the tissue…"
    picture = material.picture()
    found = {}
    reference = next((one for one in material.candidates if one.name == material.rows[0].against), None)
    for one in material.candidates:
        if reference is not None and one.name != reference.name:
            yield f"Comparing {one.name} with {reference.name}…"
            found[reference.name, one.name] = difference(reference.labels, one.labels)
    yield "Writing the page…"
    yield write_report(
        path, picture, material.candidates, material.rows, found, material.advice, material.settings, material.hashes,
        str(material.settings.get("image", "")),
    )  # fmt: skip


class ReportPanel(QWidget):
    """The button, how far it is, and where the page went.

    Signals
    -------
    failed(str)
        Why it can't be written.
    """

    failed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.button = button("Report…", "Write panes, table, plot, advice, settings and hashes as one page (HTML)",
                             self._ask)  # fmt: skip
        self.open_button = button("Open in browser", "Look at the page that was written", self._open)
        self.words = QLabel()
        self.words.setWordWrap(True)
        row = QHBoxLayout()
        row.addWidget(self.button)
        row.addWidget(self.open_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(row)
        layout.addWidget(self.words)
        self.written: Path | None = None
        self._material: ReportMaterial | None = None
        self._worker: StoppableWorker | None = None
        self._refresh()

    @property
    def running(self) -> bool:
        """Whether a page is being written."""
        return self._worker is not None

    def offer(self, material: ReportMaterial | None) -> None:
        """Offer to write this; nothing for None."""
        self._material = material
        self._refresh()

    def write(self, path: str | Path) -> None:
        """Write the page.

        Parameters
        ----------
        path : str or Path
            Without an ending it gets .html.
        """
        if self._material is None or self.running:
            return
        target = Path(path)
        if not target.suffix:
            target = target.with_suffix(ENDING)
            if target.exists():  # nobody was asked about this name
                self.failed.emit(f"{target.name} exists already; give another name, or this one to replace it")
                return
        self.written = None
        slots = {"yielded": self._yielded, "errored": self._errored, "finished": self._ended}
        self._worker = start_worker(report_steps, target, self._material, connect=slots)
        self._refresh()

    def quit(self) -> None:
        """Nobody waits any more."""
        if self._worker is not None:
            self._worker.quit()

    def _ask(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Report", f"comparison{ENDING}", f"Page (*{ENDING})")
        if path:
            self.write(path)

    def _open(self) -> None:
        if self.written is not None and not QDesktopServices.openUrl(QUrl.fromLocalFile(str(self.written))):
            self.failed.emit(f"no browser can be started here; open {self.written} yourself")

    def _yielded(self, step: str | Path) -> None:
        if isinstance(step, Path):
            self.written = step
        self.words.setText(f"Written: {step}" if isinstance(step, Path) else step)

    def _errored(self, error: Exception) -> None:
        self.words.clear()
        known = isinstance(error, UNetSharpError)
        self.failed.emit(str(error) if known else f"Unexpected {type(error).__name__}: {error}")

    def _ended(self) -> None:
        self._worker = None
        self._refresh()

    def _refresh(self) -> None:
        self.button.setEnabled(self._material is not None and not self.running)
        self.open_button.setVisible(self.written is not None and not self.running)
        self.words.setVisible(bool(self.words.text()) or self.running)
