"""The numbers of a comparison: rows, plot, speed, copies and report, by clicks."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPoint, QPointF, QRectF, Qt, QTimer
from qtpy.QtGui import QDesktopServices, QGuiApplication, QMouseEvent
from qtpy.QtWidgets import QApplication, QFileDialog, QMainWindow, QToolTip

from napari_unetsharp.comparison.candidate import Candidate
from napari_unetsharp.comparison.rows import Row
from napari_unetsharp.network.checkpoint import load_checkpoint
from napari_unetsharp.widgets.compare_points import free_place, points_of
from napari_unetsharp.widgets.compare_results import NOTHING, ResultsPanel

LEFT = Qt.MouseButton.LeftButton
PATIENCE = 60_000


def drawn(*boxes):
    """Labels (120, 120) with a nucleus per box of rows and columns."""
    labels = np.zeros((120, 120), np.int32)
    for label, (top, left, bottom, right) in enumerate(boxes, start=1):
        labels[top:bottom, left:right] = label
    return labels


ONE, TWO, THREE, FOUR = (10, 10, 30, 30), (10, 50, 30, 70), (60, 10, 80, 30), (60, 50, 80, 70)
TRUTH = drawn(ONE, TWO, THREE, FOUR)
LOST = drawn(ONE, (60, 10, 80, 22), (60, 22, 80, 30), FOUR, (95, 95, 105, 105))
"""Nucleus two is missed, three is cut into 12 and 8 columns of 20 (IoU 0.6 and 0.4), and one was made up."""


def corrected():
    return Candidate("Corrected", TRUTH, is_truth=True)


def depths():
    """Depth 4 has everything right."""
    return [Candidate("Depth 4 · x04", TRUTH.copy(), None, "x04", "small"),
            Candidate("Depth 2 · x02", LOST, None, "x02", "small")]  # fmt: skip


def tissue():
    return np.full((120, 120, 3), 200, np.uint8)


@pytest.fixture(scope="module")
def model(small_checkpoint):
    return load_checkpoint(small_checkpoint)


@pytest.fixture
def panel(qtbot):
    """A panel as wide as the dock, in a window."""
    window = QMainWindow()
    made = ResultsPanel()
    made.speed.side = 32
    window.setCentralWidget(made)
    window.resize(370, 900)
    qtbot.addWidget(window)
    window.show()
    qtbot.waitExposed(window)
    yield made
    made.quit()
    qtbot.waitUntil(lambda: not made.running, timeout=PATIENCE)


def compare(qtbot, panel, candidates, truth, model=None, **settings):
    panel.show_candidates(candidates, truth, (0.5, 0.5), tissue, model, {"device": "cpu", "image": "field", **settings})
    qtbot.waitUntil(lambda: not panel.running, timeout=PATIENCE)


def press(qtbot, button):
    assert button.isVisible(), button.text()
    assert button.isEnabled(), button.text()
    qtbot.mouseClick(button, LEFT)


def place_of(table, name, title):
    heads = [table.horizontalHeaderItem(place).text().replace("\n", " ") for place in range(table.columnCount())]
    names = [table.item(place, 0).text() for place in range(table.rowCount())]
    return names.index(name), heads.index(title)


def cell(table, name, title):
    return table.item(*place_of(table, name, title)).text()


def click_cell(qtbot, table, name, title):
    middle = table.visualItemRect(table.item(*place_of(table, name, title))).center()
    qtbot.mouseClick(table.viewport(), LEFT, pos=middle)


def test_numbers_as_counted_by_hand_and_a_click_on_them(panel, qtbot):
    assert panel.against.text() == NOTHING
    compare(qtbot, panel, [*depths(), corrected()], corrected())
    assert panel.against.text() == "Against Corrected, 4 nuclei"
    texts = {title: cell(panel.table, "Depth 2 · x02", title) for title in ("Nuclei", "Found", "Missed", "False")}
    assert texts == {"Nuclei": "5", "Found": "3", "Missed": "1", "False": "2"}
    assert cell(panel.table, "Depth 4 · x04", "Found") == "4"
    assert "too few" in panel.advice.text(), "four nuclei tell nothing"
    heard = []
    panel.chosen.connect(heard.append)
    panel.stepped.connect(heard.append)
    click_cell(qtbot, panel.table, "Depth 2 · x02", "Missed")
    name, items = heard
    assert name == "Depth 2 · x02"
    assert [(item.ids_a, tuple(item.box)) for item in items] == [((2,), TWO)]
    assert panel.said.text() == "Next and Back step through the 1 missed by Depth 2 · x02."
    heard.clear()
    click_cell(qtbot, panel.table, "Depth 4 · x04", "Missed")
    assert heard == ["Depth 4 · x04"], "nothing is behind a nought"
    check_the_full_table(panel, qtbot, heard)


def check_the_full_table(panel, qtbot, heard):
    """All columns in a window that leaves with the stage; heads explain themselves."""
    press(qtbot, panel.full_button)
    window = panel._window
    assert window.isVisible()
    assert cell(window.table, "Depth 2 · x02", "Split") == "1"
    assert cell(window.table, "Depth 2 · x02", "Joined") == "0"
    assert cell(window.table, "Depth 2 · x02", "F1@0.5").startswith("0.667"), "6 / (6 + 1 + 2)"
    pq = (1 + 1 + 0.6) / (3 + 0.5 + 1)
    assert cell(window.table, "Depth 2 · x02", "PQ").startswith(f"{pq:.3f}\n"), "and its interval below"
    shared, either = 400 + 240 + 160 + 400, 1600 + 100
    assert cell(window.table, "Depth 2 · x02", "IoU").startswith(f"{shared / either:.3f}")
    assert cell(window.table, "Depth 2 · x02", "ms /Mpx") == "–"
    heads = [window.table.horizontalHeaderItem(place).toolTip() for place in range(1, window.table.columnCount())]
    assert all(heads)
    assert "Nuclei of Corrected without a match" in heads[2]
    assert "Panoptic quality" in heads[9]
    heard.clear()
    click_cell(qtbot, window.table, "Depth 2 · x02", "Split")
    assert [(item.ids_a, len(item.ids_b)) for item in heard[1]] == [((3,), 2)]
    assert panel.table.selected == window.table.selected == "Depth 2 · x02"
    panel.hide()
    assert not window.isVisible()


def test_nobody_has_corrected_it(panel, qtbot, model):
    compare(qtbot, panel, depths(), None, model)
    assert panel.against.text().startswith("Against Depth 4 · x04, 4 nuclei: nobody has corrected")
    assert cell(panel.table, "Depth 4 · x04", "Found") == "–"
    assert cell(panel.table, "Depth 2 · x02", "Missed") == "1"
    points = {point.label: point for point in panel.chart.plot.points}
    assert points["depth 4"].y == 1.0
    assert 0 < points["depth 2"].x < points["depth 4"].x, "a smaller depth takes fewer operations"
    compare(qtbot, panel, depths()[:1], None, model)
    assert panel.against.text() == NOTHING
    assert not panel.table.isVisible()


def test_hover_and_click_on_the_plot(panel, qtbot, model):
    compare(qtbot, panel, [*depths(), corrected()], corrected(), model)
    plot, heard = panel.chart.plot, []
    panel.chosen.connect(heard.append)
    assert {point.row.name for point in plot.points} == {"Depth 4 · x04", "Depth 2 · x02"}, "Corrected has no speed"
    assert "GFLOP" in plot.across
    assert "not measured" in plot.across
    target = next(point for point in plot.points if point.label == "depth 2")
    at = plot.place(target)
    move = QMouseEvent(QEvent.Type.MouseMove, at, QPointF(plot.mapToGlobal(at.toPoint())), Qt.MouseButton.NoButton,
                       Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier)  # fmt: skip
    QApplication.sendEvent(plot, move)
    assert plot.hovered == "Depth 2 · x02"
    told = QToolTip.text()
    assert "against Corrected" in told
    assert "Missed: 1" in told
    assert "F1@0.5: 0.667" in told
    QToolTip.hideText()
    qtbot.mouseClick(plot, LEFT, pos=at.toPoint())
    assert heard == ["Depth 2 · x02"]
    assert panel.table.selected == plot.selected == "Depth 2 · x02"
    assert panel.export_fold.isVisible()
    assert panel.export.depth.currentData() == 2, "what is chosen is what is exported"
    qtbot.mouseClick(plot, LEFT, pos=QPoint(3, 3))
    assert len(heard) == 1, "there is no point"
    before = target.y
    panel.chart.quality.setCurrentText("Dice")
    after = next(point.y for point in plot.points if point.label == "depth 2")
    shared = 400 + 240 + 160 + 400
    assert after == pytest.approx(2 * shared / (1600 + 1300))
    assert after != before


def test_copied_for_a_document_and_a_spreadsheet(panel, qtbot):
    compare(qtbot, panel, [*depths(), corrected()], corrected())
    clipboard = QGuiApplication.clipboard()
    press(qtbot, panel.copy_buttons["CSV"])
    read = {row["candidate"]: row for row in csv.DictReader(io.StringIO(clipboard.text()))}
    assert (read["Depth 2 · x02"]["missed"], read["Depth 2 · x02"]["against"]) == ("1", "Corrected")
    assert panel.said.text() == "Copied as CSV: 3 rows, against Corrected, 4 nuclei."
    press(qtbot, panel.copy_buttons["Markdown"])
    lines = [line.strip("| \n").split(" | ") for line in clipboard.text().splitlines()]
    assert dict(zip(lines[0], lines[3], strict=True))["False"] == "2"
    assert "Markdown" in panel.said.text()


def test_speed_is_measured_here_and_can_be_cancelled(panel, qtbot, model):
    average = Candidate("Average of views", LOST, None, "mean", "small")
    compare(qtbot, panel, [*depths(), average, corrected()], corrected(), model)
    panel.speed.side = 512
    press(qtbot, panel.speed.button.button)
    qtbot.waitUntil(lambda: "measuring" in panel.speed.words.text(), timeout=PATIENCE)
    assert panel.speed.button.bar.isVisible()
    press(qtbot, panel.speed.button.button)
    qtbot.waitUntil(lambda: not panel.running, timeout=PATIENCE)
    assert panel.speed.button.button.text() == "Measure speed"
    assert not panel.speed.costs
    panel.speed.side = 32
    alive, timer = [], QTimer()
    timer.timeout.connect(lambda: alive.append(1))
    timer.start(0)
    press(qtbot, panel.speed.button.button)
    qtbot.waitUntil(lambda: not panel.running, timeout=PATIENCE)
    timer.stop()
    assert alive, "the window lives meanwhile"
    assert not panel.message.isVisible(), panel.message.text()
    assert panel.speed.words.text().startswith("Measured on CPU")
    rows = {row.name: row for row in panel.rows}
    assert all(row.ms_per_mpx > 0 for name, row in rows.items() if name != "Corrected")
    assert rows["Average of views"].ms_per_mpx == rows["Depth 4 · x04"].ms_per_mpx, "the same pass gives both"
    assert rows["Corrected"].ms_per_mpx is None
    assert panel.chart.plot.across.startswith("ms per Mpx")
    compare(qtbot, panel, [*depths(), corrected()], corrected(), model)
    assert panel.rows[1].ms_per_mpx == rows["Depth 2 · x02"].ms_per_mpx, "it is still known"


def test_a_device_that_is_not_there(panel, qtbot, model):
    compare(qtbot, panel, [*depths(), corrected()], corrected(), model, device="mps")
    press(qtbot, panel.speed.button.button)
    qtbot.waitUntil(lambda: not panel.running and panel.message.is_problem, timeout=PATIENCE)
    assert "mps" in panel.message.text().lower()
    assert panel.speed.button.button.isEnabled()


def test_a_report_on_disk_and_in_the_browser(panel, qtbot, monkeypatch, tmp_path):
    assert not panel.report.isVisible()
    compare(qtbot, panel, [*depths(), corrected()], corrected())
    asked, opened = [], []
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (asked.pop(), ""))
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()) or True)
    asked.append(str(tmp_path / "mine"))
    press(qtbot, panel.report.button)
    qtbot.waitUntil(lambda: not panel.running, timeout=PATIENCE)
    page = tmp_path / "mine.html"
    assert panel.report.words.text() == f"Written: {page}", panel.message.text()
    text = page.read_text(encoding="utf-8")
    assert "Depth 2 · x02: 3 found, 1 missed, 2 false" in text
    assert "field" in text
    press(qtbot, panel.report.open_button)
    assert opened == [str(page)]
    asked.append(str(tmp_path / "mine"))
    press(qtbot, panel.report.button)
    assert "exists already" in panel.message.text(), "nobody was asked about the name with its ending"
    asked.append(str(page / "inside.html"))
    press(qtbot, panel.report.button)
    qtbot.waitUntil(lambda: not panel.running and panel.message.is_problem, timeout=PATIENCE)
    assert not panel.report.open_button.isVisible()
    asked.append("")
    press(qtbot, panel.report.button)
    assert not panel.running, "the dialog was closed"


def test_the_newest_wish_wins(panel, qtbot):
    first, second = depths(), [Candidate("other", LOST), Candidate("mask.tif", TRUTH)]
    panel.show_candidates(first, corrected(), None, tissue)
    panel.show_candidates(second, corrected(), None, tissue)
    qtbot.waitUntil(lambda: not panel.running, timeout=PATIENCE)
    assert [row.name for row in panel.rows] == ["other", "mask.tif"]
    assert not panel.speed.isVisible(), "nobody computed these"
    assert not panel.export_fold.isVisible()
    panel.show_candidates(first, corrected(), None, tissue)
    panel.clear()
    qtbot.waitUntil(lambda: not panel.running, timeout=PATIENCE)
    assert panel.against.text() == NOTHING
    assert not panel.rows


def test_what_cannot_be_compared_is_said(panel, qtbot):
    said = []
    panel.problem.connect(said.append)
    same = [Candidate("twice", TRUTH), Candidate("twice", LOST)]
    compare(qtbot, panel, same, corrected())
    qtbot.waitUntil(lambda: bool(said), timeout=PATIENCE)
    assert "twice" in said[0]
    assert panel.against.text() == NOTHING


def test_two_units_do_not_share_an_axis():
    def row(node, gflop, milliseconds, score=0.5):
        return Row(node, node, "m", "Corrected", found=1, scores={"pq": score}, gflop_per_mpx=gflop,
                   ms_per_mpx=milliseconds)  # fmt: skip

    points, measured = points_of([row("x04", 900.0, 80.0), row("x01", 100.0, None)], "pq")
    assert not measured
    assert [point.x for point in points] == [900.0, 100.0]
    points, measured = points_of([row("x04", 900.0, 80.0), row("x01", 100.0, 9.0), row("", None, None)], "pq")
    assert measured
    assert [point.x for point in points] == [80.0, 9.0]
    assert points_of([row("x04", 900.0, 80.0, float("nan"))], "pq") == ([], False)


def test_labels_cover_nothing():
    rng, frame = np.random.default_rng(0), QRectF(0, 0, 300, 150)
    points = [QPointF(*rng.uniform((5, 5), (295, 145))) for _ in range(40)]
    taken = [QRectF(point.x() - 7, point.y() - 7, 14, 14) for point in points]
    placed = []
    for point in list(taken):
        box = free_place(point, (40.0, 12.0), taken, frame)
        if box is not None:
            assert frame.contains(box)
            assert not any(box.intersects(other) for other in taken)
            taken.append(box)
            placed.append(box)
    assert 5 < len(placed) < 40
