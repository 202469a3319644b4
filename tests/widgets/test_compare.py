"""Stage Compare by clicks and keys in the real window: choose, see, step, compute, hand on, leave."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QAbstractButton, QApplication, QComboBox, QWidget

from napari_unetsharp.comparison.candidate import AVERAGE
from napari_unetsharp.comparison.difference import Kind
from napari_unetsharp.nuclei.instances import LabelSettings, label_nuclei
from napari_unetsharp.widgets.compare_colours import PANE_COLOURS
from napari_unetsharp.widgets.compare_panes import DIFFERENCE, FLICKER, SIDE, SWIPE
from napari_unetsharp.widgets.compare_sources import CORRECTED, RUN, Choice
from napari_unetsharp.widgets.dock import compare_levels, open_dock

LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
PATIENCE = 60_000


class Eyes:
    """A person in front of stage Compare."""

    def __init__(self, viewer, dock, qtbot):
        self.viewer, self.dock, self.qtbot, self.stage = viewer, dock, qtbot, dock.compare

    @property
    def native(self):
        return self.viewer.window._qt_viewer.canvas.native

    @property
    def panes(self):
        return self.stage.canvas.panes

    def press(self, button):
        self.qtbot.mouseClick(button, LEFT)
        self.qtbot.wait(1)

    def enter(self):
        self.press(self.dock.buttons["Compare"])
        self.settle()

    def settle(self):
        """Everything that was asked for is drawn and counted."""
        self.qtbot.wait(20)
        for _ in range(3):  # what ends may begin something else
            self.qtbot.waitUntil(self.is_idle, timeout=PATIENCE)
            self.qtbot.wait(5)

    def is_idle(self):
        stage = self.stage
        timers = stage._redraw.isActive() or stage._soon.isActive()
        return not (stage.prepared.running or stage.results.running or stage.computing.running or timers)

    def choose(self, letter, title, node=""):
        """Pick from the combo boxes of a letter, as a click on their lists does."""
        combo = self.stage.choice.source_combo(letter)
        titles = [combo.itemText(place) for place in range(combo.count())]
        combo.setCurrentIndex(titles.index(title))
        combo.activated.emit(combo.currentIndex())
        if node:
            combo = self.stage.choice.node_combo(letter)
            combo.setCurrentIndex(combo.findData(node))
            combo.activated.emit(combo.currentIndex())
        self.settle()

    def key(self, key, modifier=NONE, widget=None):
        self.qtbot.keyClick(widget or self.native, key, modifier)
        self.qtbot.wait(1)

    def drawn(self, letter):
        """Where nuclei are drawn in a pane."""
        return np.asarray(self.panes.labels[letter].data) > 0

    def colours(self):
        """Pixels of the canvas, (Y, X, 3)."""
        self.qtbot.wait(60)
        return np.asarray(self.viewer.screenshot(canvas_only=True, flash=False))[..., :3].astype(int)

    def move(self, x, y, buttons=Qt.MouseButton.NoButton, widget=None):
        widget = widget or self.native
        place, globally = QPointF(x, y), QPointF(widget.mapToGlobal(QPoint(round(x), round(y))))
        event = QMouseEvent(QEvent.Type.MouseMove, place, globally, Qt.MouseButton.NoButton, buttons, NONE)
        QApplication.sendEvent(widget, event)
        self.qtbot.wait(10)


def near(picture, colour, off=40):
    """Which pixels of a picture have a colour."""
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return (np.abs(picture - wanted) < off).all(axis=-1)


def disc(shape, row, column, radius):
    rows, columns = np.indices(shape)
    return np.hypot(rows - row, columns - column) <= radius


SHAPE = (120, 160)


@pytest.fixture(scope="module")
def by_hand():
    """Two sets of nuclei: one in both, one only in each, one that B splits, two that B joins."""
    a, b = np.zeros(SHAPE, np.int32), np.zeros(SHAPE, np.int32)
    a[disc(SHAPE, 20, 20, 9)] = b[disc(SHAPE, 20, 21, 9)] = 3
    a[disc(SHAPE, 20, 60, 9)] = 7
    b[disc(SHAPE, 20, 140, 9)] = 5
    a[80:100, 20:50] = 11
    b[80:100, 20:34], b[80:100, 36:50] = 1, 2
    a[80:100, 100:114], a[80:100, 116:130] = 21, 22
    b[80:100, 100:130] = 9
    return a, b


@pytest.fixture
def eyes(make_napari_viewer, qtbot, monkeypatch, tmp_path):
    """A window of 1280 x 800 with the dock, and nothing open."""
    for name in ("DATA", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.resize(1280, 800)
    eyes = Eyes(viewer, open_dock(viewer), qtbot)
    yield eyes
    eyes.stage.computing.quit()
    eyes.settle()
    qtbot.waitUntil(lambda: not eyes.dock.find.running, timeout=PATIENCE)


@pytest.fixture
def two(eyes, by_hand):
    """The two sets as layers over an image with a scale of its own; Compare is on screen."""
    rng = np.random.default_rng(1)
    place = {"scale": (0.5, 0.25), "translate": (10, 20), "units": ("um", "um")}
    eyes.image = eyes.viewer.add_image(
        rng.integers(0, 60, SHAPE, np.uint8), name="field", contrast_limits=(0, 255), **place
    )
    for name, labels in zip(("mine", "theirs"), by_hand, strict=True):
        eyes.viewer.add_labels(labels.copy(), name=name, **place)
    eyes.viewer.layers["theirs"].visible = False
    compare_levels(eyes.viewer)
    eyes.settle()
    return eyes


def state_of(viewer):
    """Everything about the window that Compare has to put back."""
    grid = viewer.canvas.grid
    return {
        "layers": [(layer.name, layer.visible, layer.opacity, layer.metadata) for layer in viewer.layers],
        "pixels": [np.asarray(layer.data).tobytes() for layer in viewer.layers],
        "camera": (viewer.scene.camera.zoom, tuple(viewer.scene.camera.center)),
        "grid": (grid.enabled, grid.stride, grid.shape, grid.spacing),
        "active": viewer.layers.selection.active,
        "left": [not dock.isHidden() for dock in (viewer.window._qt_viewer.dockLayerList,)],
    }


def test_each_stage_says_what_is_missing(eyes):
    stage = eyes.stage
    eyes.enter()
    assert "Open an image" in stage.empty.text()
    assert stage.empty.isVisible()
    assert not stage.work.isVisible()
    eyes.viewer.add_image(np.zeros(SHAPE, np.uint8))
    eyes.settle()
    assert "Find nuclei first" in stage.empty.text()
    eyes.press(stage.find_button)
    assert eyes.dock.stage == "Find"
    eyes.viewer.dims.ndisplay = 3
    eyes.enter()
    assert "2-D" in stage.empty.text()
    eyes.viewer.dims.ndisplay = 2
    eyes.viewer.add_labels(np.eye(*SHAPE, dtype=np.int32), name="mask")
    eyes.settle()
    assert stage.work.isVisible()
    assert not stage.empty.isVisible()
    assert stage.choice.choices["A"].node == ""
    assert eyes.drawn("A").sum() == min(SHAPE)


def test_layers_side_by_side_and_back(two):
    """Each pane is a cell with the tissue under it; leaving, everything is as it was."""
    eyes, viewer, stage = two, two.viewer, two.stage
    eyes.press(eyes.dock.buttons["Find"])
    before = state_of(viewer)
    eyes.enter()
    assert stage.choice.letters == "AB"
    grid = viewer.canvas.grid
    cells = [[viewer.layers[place] for place in places] for _, places in grid.iter_viewboxes(viewer.layers)]
    shown = [[layer for layer in cell if layer.visible] for cell in cells]
    assert grid.enabled
    assert [[type(layer).__name__ for layer in cell] for cell in shown] == [["Image", "Labels"]] * 2
    assert [cell[1] for cell in shown] == [eyes.panes.labels[letter] for letter in "AB"]
    for tissue, labels in shown:
        assert np.shares_memory(tissue.data, eyes.image.data)
        for layer in (tissue, labels):
            np.testing.assert_array_equal(layer.extent.world, eyes.image.extent.world)
            assert layer.units == eyes.image.units
    np.testing.assert_array_equal(eyes.drawn("A"), viewer.layers["mine"].data > 0)
    np.testing.assert_array_equal(eyes.drawn("B"), viewer.layers["theirs"].data > 0)
    views = viewer.window._qt_viewer.canvas.grid_views
    places = [QPoint(*(round(float(side)) for side in view.transform.translate[:2])) for view in views]
    assert [pane.pos() for pane in stage.canvas.marks.panes] == places
    assert [pane.titles[0][0] for pane in stage.canvas.marks.panes] == ["A", "B"]
    assert "mine" in stage.canvas.marks.panes[0].titles[0][1]
    for button in (stage.modes[SWIPE], stage.modes[DIFFERENCE], stage.modes[FLICKER], stage.choice.add_button):
        eyes.press(button)
    eyes.settle()
    viewer.scene.camera.zoom *= 3
    eyes.press(eyes.dock.buttons["Find"])
    assert state_of(viewer) == before
    assert not eyes.native.findChildren(type(stage.canvas.marks))
    assert not [child for child in eyes.native.children() if type(child).__name__ in {"PaneMarks", "Divider"}]


def test_differences_are_counted_and_walked(two):
    """One in both, one only in each, one split, two joined: as they were drawn by hand."""
    eyes, stage = two, two.stage
    assert stage.choice.source_combo("A").currentText() == "layer mine"
    texts = {kind: made.text() for kind, made in stage.legend.buttons.items()}
    assert texts == {
        Kind.ONLY_A: "only in A: 1", Kind.ONLY_B: "only in B: 1", Kind.BOTH: "in both: 1", Kind.SPLIT: "split in B: 1",
        Kind.JOINED: "joined in B: 1",
    }  # fmt: skip
    assert stage.steps.where.text() == "4 differences"
    eyes.press(stage.modes[DIFFERENCE])
    codes = np.asarray(eyes.panes.difference.data) % 8
    assert {codes[20, 62], codes[20, 142], codes[90, 25], codes[90, 105]} == {
        Kind.ONLY_A, Kind.ONLY_B, Kind.SPLIT, Kind.JOINED,
    }  # fmt: skip
    words, middles = [], []
    for _ in range(4):
        eyes.key(Qt.Key.Key_N)
        words.append(stage.steps.reason.text())
        centre = np.asarray(eyes.viewer.scene.camera.center)[-2:]
        middles.append(tuple(np.round(eyes.image.world_to_data(centre))))
        pane = stage.canvas.marks.panes[0]
        assert pane.frame.contains(QPointF(pane.width() / 2, pane.height() / 2))
    assert set(words) == {
        "Only layer mine sees this.", "Only layer theirs sees this.", "One nucleus in layer mine, 2 in layer theirs.",
        "2 nuclei in layer mine, one in layer theirs.",
    }  # fmt: skip
    assert set(middles) == {(20.0, 60.0), (20.0, 140.0), (90.0, 34.0), (90.0, 114.0)}
    assert stage.steps.where.text() == "4 of 4"
    eyes.key(Qt.Key.Key_N, Qt.KeyboardModifier.ShiftModifier)
    assert stage.steps.where.text() == "3 of 4"
    for kind in (Kind.ONLY_A, Kind.SPLIT):
        eyes.press(stage.legend.buttons[kind])
    assert {item.kind for item in stage.steps.items} == {Kind.ONLY_B, Kind.JOINED}
    colours = eyes.panes.difference.colormap
    assert colours.map(Kind.SPLIT)[3] == 0
    assert colours.map(Kind.JOINED)[3] > 0


def test_swipe_is_dragged_and_cuts_at_the_line(two):
    eyes, stage = two, two.stage
    eyes.press(stage.modes[SWIPE])
    eyes.press(stage.filled)
    divider = stage.canvas.swipe.divider
    assert abs(divider.geometry().center().x() - eyes.native.width() / 2) <= 2
    line = None
    for share in (0.3, 0.7):
        eyes.qtbot.mousePress(divider, LEFT, NONE, QPoint(11, 300))
        for step in np.linspace(divider.x(), share * eyes.native.width(), 4):
            eyes.move(step - divider.x(), 300, LEFT, divider)
        eyes.qtbot.mouseRelease(divider, LEFT, NONE, QPoint(11, 300))
        line = divider.geometry().center().x()
        assert abs(line - share * eyes.native.width()) < 3
        picture = eyes.colours()
        ratio = picture.shape[1] / eyes.native.width()
        a, b = near(picture, PANE_COLOURS["A"]), near(picture, PANE_COLOURS["B"])
        edge = round(line * ratio)
        assert a[:, : edge - 8].sum() > 100
        assert b[:, edge + 8 :].sum() > 100
        assert not a[:, edge + 8 :].any()
        assert not b[:, : edge - 8].any()
    eyes.press(stage.modes[SIDE])
    assert stage.canvas.swipe.divider is None
    assert near(eyes.colours(), PANE_COLOURS["A"]).any()


def test_one_pointer_in_every_pane(two):
    eyes, stage = two, two.stage
    eyes.press(stage.choice.add_button)
    eyes.settle()
    assert stage.choice.letters == "ABC"
    marks = stage.canvas.marks.panes
    assert len(marks) == 3
    for here in marks:
        at = here.pos() + QPoint(70, 90)
        eyes.move(at.x(), at.y())
        assert [pane.cursor_at for pane in marks] == [None if pane is here else QPointF(70, 90) for pane in marks]
    points = []
    for pane in marks:
        eyes.move(pane.x() + 70, pane.y() + 90)
        points.append(tuple(eyes.viewer.cursor.position))
    a_pixel = 1.01 / eyes.viewer.scene.camera.zoom  # panes may begin between two pixels
    np.testing.assert_allclose(points, [points[0]] * len(points), atol=a_pixel)
    QApplication.sendEvent(eyes.native, QEvent(QEvent.Type.Leave))
    assert [pane.cursor_at for pane in marks] == [None] * len(marks)


def test_keys_work_after_every_click(two):
    """Flicker while K is down, image only while Q is; no control keeps the keyboard."""
    eyes, stage = two, two.stage
    clicked = [*stage.modes.values(), *stage.legend.buttons.values(), stage.steps.next_button, stage.filled,
               stage.choice.add_button, stage.choice.remove_button("C"), stage.results.full_button]  # fmt: skip
    for button in clicked[:-1]:
        eyes.press(button)
        assert QApplication.focusWidget() in {None, eyes.native}  # none where no window manager gives it
    takes = [w for w in stage.findChildren(QWidget) if w.focusPolicy() & Qt.FocusPolicy.ClickFocus and w.isEnabled()]
    assert not [w for w in takes if isinstance(w, QAbstractButton | QComboBox)]
    eyes.settle()
    for button in stage.legend.buttons.values():
        button.setChecked(True)
    stage._kinds_changed()
    eyes.press(stage.modes[SIDE])
    a, b = (eyes.panes.labels[letter] for letter in "AB")
    eyes.qtbot.keyPress(eyes.native, Qt.Key.Key_K)
    seen = set()
    for _ in range(60):
        assert not eyes.viewer.canvas.grid.enabled
        seen.add((a.opacity, b.opacity))
        if len(seen) == 2:
            break
        eyes.qtbot.wait(20)
    assert seen == {(1.0, 0.0), (0.0, 1.0)}
    eyes.qtbot.keyRelease(eyes.native, Qt.Key.Key_K)
    assert eyes.viewer.canvas.grid.enabled
    assert (a.opacity, b.opacity) == (1.0, 1.0)
    assert stage.modes[SIDE].isChecked()
    eyes.qtbot.keyPress(eyes.native, Qt.Key.Key_Q)
    assert (a.opacity, b.opacity) == (0.0, 0.0)
    eyes.qtbot.keyRelease(eyes.native, Qt.Key.Key_Q)
    assert (a.opacity, b.opacity) == (1.0, 1.0)
    eyes.press(eyes.dock.buttons["Find"])
    place = stage.steps.place
    eyes.key(Qt.Key.Key_N)
    assert stage.steps.place == place


def test_what_a_run_found_is_there_at_once(found, qtbot):
    """All depths, views and their average; depth by key; numbers; nothing is run for it."""
    eyes = Eyes(found.viewer, found.dock, qtbot)
    stage, results = eyes.stage, eyes.dock.find.found.results
    eyes.enter()
    assert stage.choice.choices == {"A": Choice(RUN, "x04"), "B": Choice(RUN, "x02")}
    assert not stage.computing.isVisible()
    for letter, level in (("A", 4), ("B", 2)):
        np.testing.assert_array_equal(eyes.drawn(letter), results.labels[level] > 0)
    eyes.key(Qt.Key.Key_Comma)
    eyes.settle()
    np.testing.assert_array_equal(eyes.drawn("B"), results.labels[1] > 0)
    assert stage.choice.node_combo("B").currentText() == "Depth 1 · x01"
    for node in ("x31", AVERAGE):
        eyes.choose("B", stage.choice.source_combo("B").currentText(), node)
        maps = [results.maps[node]] if node != AVERAGE else list(results.maps.values())
        mean = np.mean([values.astype(np.float32) for values in maps], axis=0)
        np.testing.assert_array_equal(eyes.drawn("B"), label_nuclei(mean, LabelSettings(0.5, 20, True)) > 0)
    rows = {row.name: row for row in stage.results.rows}
    assert {"Depth 4 · x04", "Depth 3 · x03", "Depth 2 · x02", "Depth 1 · x01"} < set(rows)
    row = rows["Depth 1 · x01"]
    assert row.against == "Depth 4 · x04"
    assert row.found + row.missed == rows["Depth 4 · x04"].nuclei
    eyes.press(stage.network.title)
    drawing = stage.views.drawing
    qtbot.mouseClick(drawing, LEFT, Qt.KeyboardModifier.ShiftModifier, drawing.centre("x03").toPoint())
    qtbot.mouseClick(drawing, LEFT, NONE, drawing.centre("x22").toPoint())
    assert stage.choice.choices == {"A": Choice(RUN, "x03"), "B": Choice(RUN, "x22")}


def test_a_clicked_number_is_walked_through(found, qtbot):
    eyes = Eyes(found.viewer, found.dock, qtbot)
    stage = eyes.stage
    eyes.enter()
    row = next(row for row in stage.results.rows if row.name == "Depth 1 · x01")
    story = list(row.stories["found"])
    stage.results.chosen.emit(row.name)
    stage.results.stepped.emit(story)
    eyes.settle()
    assert stage.choice.choices["B"] == Choice(RUN, "x01")
    assert stage.steps.items == story
    assert stage.steps.current is story[0]
    eyes.press(stage.steps.next_button)
    assert stage.steps.where.text() == f"2 of {len(story):,}"
    eyes.choose("B", "drawn", "x02")
    assert stage.steps.reason.text() == "Depth 4 · x04 and Depth 2 · x02 have the same nuclei."
    assert not stage.steps.hand_button.isEnabled()


def test_differences_are_handed_to_review(found, qtbot):
    """Review serves the nuclei that differ and no others, and everything again when that is chosen away."""
    eyes = Eyes(found.viewer, found.dock, qtbot)
    stage, results = eyes.stage, eyes.dock.find.found.results
    eyes.enter()
    eyes.choose("B", "drawn", "x31")
    assert {item.kind for item in stage.steps.items} >= {Kind.ONLY_A, Kind.JOINED}
    a, b = results.labels[4], label_nuclei(results.maps["x31"], LabelSettings(0.5, 20, True))
    differing = np.isin(a, [id_ for item in stage.steps.items for id_ in item.ids_a])
    differing |= np.isin(b, [id_ for item in stage.steps.items for id_ in item.ids_b])
    eyes.press(stage.steps.hand_button)
    found.wait_until_prepared()
    assert eyes.dock.stage == "Review"
    queue = found.session.queue
    middles = [queue.box(number) for number in queue.numbers]
    assert middles
    assert all(differing[(box.top + box.bottom - 1) // 2, (box.left + box.right - 1) // 2] for box in middles)
    alone = {item.ids_a[0] for item in stage.steps.items if item.kind is Kind.ONLY_A}
    round_ones = {id_ for id_ in alone if differing[_middle(a == id_)]}
    assert round_ones
    assert round_ones <= set(queue.numbers)
    assert found.session.current == queue.numbers[0]
    panel = found.stage.work
    assert "differ" in found.stage.message.text()
    panel.region.setCurrentText("anywhere")
    assert len(found.session.queue.numbers) > len(middles)
    panel.region.refill()
    eyes.press(eyes.dock.buttons["Compare"])
    eyes.settle()
    assert CORRECTED in stage.sources.known
    eyes.choose("A", "Corrected")
    np.testing.assert_array_equal(eyes.drawn("A"), found.stage.reviewed.review.labels > 0)
    assert "Corrected" in stage.results.against.text()
    states = found.desk.canvas.states
    assert not states.visible
    eyes.press(eyes.dock.buttons["Review"])
    assert states.visible


def _middle(mask):
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (rows[0] + rows[-1]) // 2, (columns[0] + columns[-1]) // 2


def test_what_is_missing_is_computed_by_one_click(ready, find, qtbot, small_checkpoint):
    """A depth that wasn't computed, another model, and a pass that is cancelled."""
    viewer, stage, _ = ready
    eyes = Eyes(viewer, open_dock(viewer), qtbot)
    stage.form.depth.value = 2
    find(stage)
    eyes.enter()
    computing, choice = eyes.stage.computing, eyes.stage.choice
    assert choice.choices == {"A": Choice(RUN, "x02"), "B": Choice(RUN, "x01")}
    assert "needs a pass" in choice.node_combo("B").itemText(choice.node_combo("B").findData("x03"))
    eyes.choose("B", "small", "x03")
    assert not computing.isHidden()
    assert "B: small · depth 3 · x03 needs a pass, about " in computing.text.text()
    eyes.press(computing.run_button.button)
    eyes.settle()
    assert computing.isHidden()
    own = eyes.stage.sources.passes[RUN]
    np.testing.assert_array_equal(eyes.drawn("B"), label_nuclei(own.maps["x03"]) > 0)
    assert eyes.stage.sources.known[RUN].ready >= {"x04", "x40", AVERAGE}
    assert set(stage.found.results.maps) == {"x01", "x02"}
    eyes.choose("B", "nuclei", "x02")
    assert "nuclei · depth 2 · x02" in computing.text.text()
    eyes.press(computing.run_button.button)
    assert computing.run_button.button.text() == "Cancel"
    eyes.settle()
    assert eyes.drawn("B").any()
    assert "nuclei · depth 2" in eyes.panes.labels["B"].name
    assert "small · depth 2" in eyes.panes.labels["A"].name
    eyes.press(eyes.dock.buttons["Find"])
    find(stage)
    assert not eyes.stage.sources.passes


def test_a_cancelled_pass_leaves_nothing(eyes, small_checkpoint):
    """A strip of several tiles; cancelled after the first."""
    image = np.random.default_rng(2).integers(0, 255, (48, 1500), np.uint8)
    eyes.viewer.add_image(image)
    eyes.viewer.add_labels(np.eye(48, 1500, dtype=np.int32), name="mask")
    eyes.dock.find.open_model(small_checkpoint)
    eyes.enter()
    stage = eyes.stage
    eyes.choose("B", "small", "x04")
    stage.computing.run_button.step.connect(lambda step: stage.computing.run_button.cancel())
    eyes.press(stage.computing.run_button.button)
    eyes.settle()
    assert "Stopped" in stage.message.text()
    assert not stage.sources.passes
    assert not stage.computing.isHidden()
    assert not eyes.drawn("B").any()


def test_channels_stacks_and_closed_images(eyes):
    """Every visible channel is under each pane; the sliders choose the plane; a closed image takes all with it."""
    viewer, stage = eyes.viewer, eyes.stage
    stack = np.random.default_rng(0).integers(0, 99, (3, *SHAPE), np.uint8)
    viewer.add_image(stack, name="one", scale=(2, 0.5, 0.5))
    viewer.add_image(stack[::-1], name="two", scale=(2, 0.5, 0.5), blending="additive", colormap="green")
    labels = np.zeros_like(stack, np.int32)
    for plane in range(3):
        labels[plane, 10 : 20 + 10 * plane, 10:30] = 4
    viewer.add_labels(labels, name="mask", scale=(2, 0.5, 0.5))
    viewer.dims.set_current_step(0, 1)
    eyes.enter()
    copies = eyes.panes._copies["A"]
    assert [copy.name for copy in copies] == ["A · one", "A · two"]
    assert [
        np.shares_memory(copy.data, viewer.layers[name].data) for copy, name in zip(copies, ("one", "two"), strict=True)
    ]
    np.testing.assert_array_equal(copies[1].data, stack[::-1][1])
    np.testing.assert_array_equal(eyes.drawn("A"), labels[1] > 0)
    viewer.dims.set_current_step(0, 2)
    eyes.qtbot.wait(200)
    eyes.settle()
    np.testing.assert_array_equal(eyes.drawn("A"), labels[2] > 0)
    viewer.add_points(np.zeros((1, 3)), name="dots")
    eyes.settle()
    cells = [{viewer.layers[at] for at in places} for _, places in viewer.canvas.grid.iter_viewboxes(viewer.layers)]
    for letter, cell in zip("AB", cells, strict=True):
        assert {*eyes.panes._copies[letter], eyes.panes.labels[letter]} <= cell
    for name in ("one", "two"):
        viewer.layers.remove(name)
    eyes.settle()
    assert [layer.name for layer in viewer.layers] == ["mask", "dots"]
    assert not viewer.canvas.grid.enabled
    assert "Open an image" in stage.empty.text()
