"""What is seen while a model learns: losses, quality, a patch of tissue, time left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QVBoxLayout, QWidget

from napari_unetsharp.network.grid import BRANCHES
from napari_unetsharp.widgets.curve import AXIS, Curve
from napari_unetsharp.widgets.run_button import duration

ALL, ASIDE, CHECK = "all", "kept aside", "check images"
SIDE = 160
"""Of a preview picture on screen, in pixels."""
_TRUTH, _FOUND = (255, 255, 255), (240, 228, 66)


class LivePanel(QWidget):
    """Follows the reports of a training."""

    def __init__(self) -> None:
        super().__init__()
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.losses = Curve("Loss", "step", {ALL: AXIS})
        self.quality = Curve("Quality", "epoch", {ASIDE: "#56B4E9", CHECK: "#E69F00"})
        self.quality.setToolTip(
            "0 to 1: found nuclei against missed and false ones (PQ where you drew the outlines). "
            "Epoch 0 and the dashed lines are the model as it was"
        )
        self.table = QLabel()
        self.table.setTextFormat(Qt.TextFormat.RichText)
        self.pictures = [QLabel(), QLabel()]
        self.captions = [QLabel("before"), QLabel("now")]
        self.patch = QWidget()
        row = QHBoxLayout(self.patch)
        row.setContentsMargins(0, 0, 0, 0)
        for picture, caption in zip(self.pictures, self.captions, strict=True):
            picture.setFixedSize(SIDE, SIDE)
            picture.setToolTip("A patch of reviewed tissue: white is what you corrected, yellow what the model draws")
            column = QVBoxLayout()
            column.setSpacing(1)
            column.addWidget(picture)
            column.addWidget(caption)
            row.addLayout(column)
        row.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for widget in (self.bar, self.words, self.losses, self.quality, self.table, self.patch):
            layout.addWidget(widget)
        self.begin()

    def begin(self) -> None:
        """A training starts."""
        self.bar.setRange(0, 0)
        self.words.setText("Starting…")
        self.losses.clear()
        self.quality.clear()
        self.table.clear()
        self.quality.hide()
        self.table.hide()
        self.patch.hide()
        self._stopping = False

    def stopping(self) -> None:
        """Somebody pressed Stop."""
        self._stopping = True
        self.words.setText("Stopping; the best so far is kept…")

    def take(self, report: dict[str, Any]) -> None:
        """Show a report."""
        kind = report["report"]
        if kind == "phase" and not self._stopping:
            self.words.setText(f"{report['words']}…")
        elif kind == "step":
            self._step(report)
        elif kind == "before":
            self._qualities(0, report)
        elif kind == "epoch":
            self._epoch(report)

    def _step(self, report: dict[str, Any]) -> None:
        epoch, step, steps = int(report["epoch"]), int(report["step"]), int(report["steps"])
        done, total = (epoch - 1) * steps + step, int(report["epochs"]) * steps
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        for node, loss in report["losses"].items():
            if node in BRANCHES:
                self.losses.add(short(node), done, loss)
        if not self._stopping:
            left = report["seconds_left"]
            told = f" · about {duration(left)} left, checks not counted" if left is not None else ""
            self.words.setText(f"Epoch {epoch} of {report['epochs']}, step {step} of {steps}{told}")

    def _qualities(self, epoch: int, report: dict[str, Any]) -> None:
        """Epoch 0 is the model as it was: a dashed line of each colour stays at its height."""
        for name, part in ((ASIDE, report["aside"]), (CHECK, report["check"])):
            if part:
                score = part[max(part)]["score"]
                self.quality.add(name, epoch, score)
                if epoch == 0:
                    self.quality.marks[name] = score
        self.quality.show()
        self.table.setText(_levels(report["aside"], report["check"]))
        self.table.show()

    def _epoch(self, report: dict[str, Any]) -> None:
        epoch = int(report["epoch"])
        self._qualities(epoch, report)
        if not self._stopping:
            left = report["seconds_left"]
            best = "the best so far" if report["best"] else "not the best so far"
            told = f" · about {duration(left)} left" if left else ""
            self.words.setText(f"Epoch {epoch} of {report['epochs']} is tested: {best}{told}")
        self._show_patch(Path(report["preview"]), epoch)

    def _show_patch(self, path: Path, epoch: int) -> None:
        try:
            with np.load(path, allow_pickle=False) as kept:
                planes = {name: kept[name] for name in kept.files}
        except (OSError, ValueError):  # the next epoch writes it again
            return
        for label, name in zip(self.pictures, ("labels_before", "labels"), strict=True):
            if name in planes:
                label.setPixmap(_drawn(planes["pixels"], planes["truth"], planes["reviewed"], planes[name]))
        self.captions[1].setText(f"epoch {epoch}")
        self.patch.show()


def short(node: str) -> str:
    """Name of a view in a legend: "L4", "1/16"."""
    return BRANCHES[node].title.split(" · ")[0]


def _levels(aside: dict[str, Any], check: dict[str, Any]) -> str:
    """Found, missed and false of each depth, as a table."""
    head = "<tr><th></th>" + f"<th colspan=3>{ASIDE}</th><th colspan=3>{CHECK}</th></tr>"
    names = "<tr><td></td>" + "<td>found</td><td>missed</td><td>false</td>" * 2 + "</tr>"
    rows = []
    for node in sorted(set(aside) | set(check)):
        cells = [
            f"<td align=right>{part[node][key] if node in part else ''}</td>"
            for part in (aside, check)
            for key in ("found", "missed", "false")
        ]
        rows.append(f"<tr><td>depth {BRANCHES[node].level}&nbsp;</td>{''.join(cells)}</tr>")
    return f"<table style='font-size: 11px' cellspacing=3>{head}{names}{''.join(rows)}</table>"


def _drawn(
    pixels: NDArray[Any], truth: NDArray[Any], reviewed: NDArray[Any], labels: NDArray[Any]
) -> QPixmap:  # fmt: skip
    """A part of a patch, pixel by pixel, with outlines: what was corrected, and over it what was found."""
    grey = np.asarray(pixels, np.float32)
    grey = grey[..., :3] if grey.shape[-1] >= 3 else np.repeat(grey[..., :1], 3, axis=-1)
    low, high = (0.0, 255.0) if pixels.dtype == np.uint8 and pixels.shape[-1] >= 3 else np.percentile(grey, (0.5, 99.8))
    colours = np.clip((grey - low) * (255 / max(1e-6, high - low)), 0, 255).astype(np.uint8)
    middle = _around(reviewed)
    times = max(1, SIDE // max(1, *labels[middle].shape))
    planes = colours, np.where(reviewed, truth, 0), labels
    colours, truth, labels = (_larger(plane[middle], times) for plane in planes)
    colours[_edges(truth)] = _TRUTH
    colours[_edges(labels)] = _FOUND
    colours = np.ascontiguousarray(colours)
    height, width = colours.shape[:2]
    image = QImage(colours.data, width, height, 3 * width, QImage.Format.Format_RGB888).copy()
    return QPixmap.fromImage(image)


def _around(reviewed: NDArray[Any]) -> tuple[slice, slice]:
    """As much as fits on screen, around what was looked at: only there both models were run."""
    spans = []
    for axis, length in enumerate(reviewed.shape):
        places = np.flatnonzero(reviewed.any(axis=1 - axis))
        middle = int(places.mean()) if len(places) else length // 2
        first = max(0, min(middle - SIDE // 2, length - SIDE))
        spans.append(slice(first, first + SIDE))
    return spans[0], spans[1]


def _larger(plane: NDArray[Any], times: int) -> NDArray[Any]:
    return plane.repeat(times, 0).repeat(times, 1)


def _edges(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels of nuclei that touch something else to the right or below, or above or left."""
    padded = np.pad(labels, 1, mode="edge")
    middle = padded[1:-1, 1:-1]
    around = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    return np.asarray((middle > 0) & np.any([middle != other for other in around], axis=0))
