"""Review, Teach and Compare inside a slide, with real clicks and keys in one window."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QPushButton
from review_window import LEFT, Hands

from napari_unetsharp.images.drawn import draw_fluorescence
from napari_unetsharp.images.slide_open import open_slide
from napari_unetsharp.nuclei.label_settings import LabelSettings
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.states import State
from napari_unetsharp.slides.about import RunAbout
from napari_unetsharp.slides.store import SlideStore
from napari_unetsharp.widgets import slide_giving, slide_region
from napari_unetsharp.widgets.compare_sources import OF_SLIDE
from napari_unetsharp.widgets.dock import open_dock
from napari_unetsharp.widgets.slide_find_place import slide_root
from napari_unetsharp.widgets.slide_region_layer import region_of

SIDES = (500, 700)


@pytest.fixture(scope="module")
def drawn():
    """Nuclei in the middle of empty glass."""
    field, mask = draw_fluorescence(seed=5, height=300, width=400, nuclei=60)
    pixels, whole = np.zeros(SIDES, np.uint8), np.zeros(SIDES, np.int32)
    pixels[100:400, 150:550], whole[100:400, 150:550] = field, mask
    return pixels, whole


@pytest.fixture
def slide_file(drawn, tmp_path):
    """A pyramid of two sizes over which a run has been; its maps are the exact mask."""
    pixels, mask = drawn
    path = tmp_path / "case 7.tif"
    options = {"tile": (64, 64), "photometric": "minisblack", "compression": "zlib"}
    with tifffile.TiffWriter(path) as file:
        file.write(pixels, subifds=1, resolution=(20000, 20000), resolutionunit="CENTIMETER", **options)
        file.write(pixels[::2, ::2], subfiletype=1, **options)
    with open_slide(path) as slide:
        about = RunAbout(
            slide.name, str(path), slide.identity, SIDES, um_per_pixel=(0.5, 0.5), checkpoint="drawn",
            checkpoint_sha256="ab" * 32, level=2, side=256, margin=32, maps=("x02",),
        )  # fmt: skip
        with SlideStore.create(slide_root(slide) / "run", about, LabelSettings(smallest=4)) as store:
            for row, column in store.grid:
                values = 220 * (mask[store.grid.window(row, column).slices] > 0)
                store.put_maps(row, column, {"x02": values.astype(np.uint8)})
                store.paint(row, column)
            store.finish()
    return path


class SlideHands(Hands):
    """Real clicks while a slide is open."""

    @property
    def bar(self):
        return self.dock.cases.region_bar

    @property
    def regions(self):
        return self.stage.regions

    def look_at(self, box):
        """Bring pixels of the slide on screen, and not much more."""
        layer, camera = self.regions.slide_layer, self.viewer.scene.camera
        low, high = (np.asarray(layer.data_to_world(corner))[-2:] for corner in (box[:2], box[2:]))
        camera.center = (camera.center[0], *((low + high) / 2))
        camera.zoom = float(np.min(np.asarray(self.viewer.canvas.size) / (high - low)))
        self.qtbot.waitUntil(lambda: not self.regions._settled.isActive())

    def at(self, row, column):
        """Where a pixel of the slide is on the canvas."""
        world = np.asarray(self.regions.slide_layer.data_to_world((row, column)))[-2:]
        camera = self.viewer.scene.camera
        y, x = (world - np.asarray(camera.center)[-2:]) * camera.zoom + np.asarray(self.viewer.canvas.size) / 2
        return QPoint(round(x), round(y))

    def wait_for_region(self):
        self.qtbot.waitUntil(lambda: self.regions.region is not None and self.regions._cutting is None, timeout=30_000)
        self.wait_until_prepared()

    def wait_until_given(self):
        self.qtbot.waitUntil(lambda: not self.regions.running, timeout=30_000)

    @property
    def store(self):
        return self.dock.find.store_of(self.regions.slide_layer)


@pytest.fixture
def on_slide(make_napari_viewer, qtbot, slide_file, tmp_path, monkeypatch):
    """The slide is open with its results; stage Find is on screen."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(slide_giving, "AUTOSAVE", 100)
    monkeypatch.setattr(slide_region, "LONGEST", 480)
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.resize(1280, 800)
    dock = open_dock(viewer)
    dock.find.open_image(str(slide_file))
    hands = SlideHands(viewer, dock, qtbot)
    qtbot.waitUntil(lambda: hands.store is not None, timeout=30_000)
    yield hands
    hands.wait_until_given()
    dock.review.close_review()
    hands.wait_until_given()
    qtbot.waitUntil(lambda: not dock.find.running and not dock.teach.reader.running, timeout=30_000)


def _button(panel, text):
    return next(made for made in panel.findChildren(QPushButton) if made.text() == text)


def test_a_region_of_a_slide_is_reviewed_taught_and_compared_as_any_picture(on_slide, drawn, qtbot):
    hands, slide_layer = on_slide, on_slide.regions.slide_layer
    hands.viewer.fit_to_view()
    hands.press(hands.dock.buttons["Review"])
    offer = hands.stage.region_offer
    assert (offer.isVisible(), offer.button.isEnabled(), hands.bar.view_button.isEnabled()) == (True, False, False)
    assert "zoom in" in offer.label.text()
    assert "zoom in" in hands.bar.label.text()

    hands.look_at((150, 200, 350, 400))
    assert offer.button.isEnabled(), offer.label.text()
    hands.press(offer.button)
    hands.wait_for_region()
    region, layer = hands.regions.region, hands.dock.find.layer
    assert region.box.union(Box(150, 200, 350, 400)) == region.box
    assert np.array_equal(np.asarray(layer.data), drawn[0][region.box.slices]), "full resolution"
    corner = np.asarray(slide_layer.data_to_world(region.box[:2]))
    assert np.allclose(layer.data_to_world((0, 0)), corner), "in its place"
    assert np.allclose(hands.desk.canvas.states.data_to_world((0, 0)), corner)
    assert hands.session.material.source == "nuclei of the slide, depth 2"
    assert np.array_equal(hands.review.labels > 0, (hands.store.read_labels(region.box) > 0) & ~hands.review.ignored)

    first, before = hands.session.current, hands.store.count
    mask = hands.review.labels == first
    hands.key(Qt.Key.Key_Space)
    wrong = hands.session.current
    gone = hands.review.labels == wrong
    hands.key(Qt.Key.Key_D)
    assert (hands.state(first), hands.state(wrong)) == (State.RIGHT, State.NOT)
    hands.wait_until_given()
    shown = hands.store.read_labels(region.box)
    accepted = {nucleus.id for nucleus in hands.store.nuclei() if nucleus.state == "accepted"}
    assert accepted == set(np.unique(shown[mask]).tolist())
    assert not shown[gone].any()
    assert hands.store.count == before - 1
    assert "2 of your answers" in hands.bar.label.text()

    hands.press(_button(hands.stage.work, "Save"))
    qtbot.waitUntil(lambda: not hands.desk.saver.running, timeout=30_000)
    record = json.loads((hands.desk.subject.folder / "review.json").read_text(encoding="utf-8"))
    assert record["region"] == region.as_dict(), "coordinates can be brought back to the slide"

    hands.press(hands.dock.buttons["Teach"])
    qtbot.waitUntil(lambda: not hands.dock.teach.reader.running, timeout=30_000)
    (entry,) = hands.dock.teach.reader.entries
    assert entry.name == f"case 7 y{region.box.top} x{region.box.left}"
    assert entry.words().startswith("1 nucleus"), entry.words()

    hands.press(hands.dock.buttons["Compare"])
    qtbot.waitUntil(lambda: "corrected" in hands.dock.compare.sources.known, timeout=30_000)
    assert OF_SLIDE not in hands.dock.compare.sources.known, "it holds a person's own answers"
    hands.press(hands.bar.back_button)
    assert (hands.dock.find.layer, hands.session) == (slide_layer, None)
    assert layer not in hands.viewer.layers
    assert "region by region" in hands.dock.compare.empty.text()


def test_earlier_regions_drawn_regions_and_the_next_image(on_slide, tmp_path, qtbot):
    hands = on_slide
    hands.press(hands.dock.buttons["Review"])
    hands.look_at((150, 200, 350, 400))
    hands.press(hands.bar.view_button)
    hands.wait_for_region()
    region, first = hands.regions.region, hands.session.current
    hands.key(Qt.Key.Key_Space)
    hands.press(hands.bar.back_button)
    hands.wait_until_given()
    assert hands.stage.region_offer.isVisible()
    assert not hands.bar.back_button.isVisible()

    hands.bar.fill_menu()
    (action,) = hands.bar.menu.actions()
    assert action.text() == f"{region.place} · {region.size}"
    action.trigger()
    hands.wait_for_region()
    assert "Go on where you stopped?" in hands.stage.start_panel.found.text()
    hands.press(hands.stage.start_panel.go_on_button)
    assert hands.state(first) is State.RIGHT
    assert hands.session.material.of_slide
    assert not hands.stage.message.is_problem
    assert hands.session.queue.deck is not None
    second = hands.session.current
    row, column = np.add(hands.middle(second), region.box[:2]).tolist()
    hands.key(Qt.Key.Key_Space)
    assert hands.state(second) is State.RIGHT
    hands.press(hands.bar.back_button)

    for awaited in (True, False, True):  # a second press takes it back
        hands.press(hands.bar.drawn_button)
        assert hands.regions.drawing.running is awaited
    box = row - 90, column - 130, row + 90, column + 130
    hands.look_at(np.add(box, (-30, -30, 30, 30)))
    hands.drag([box[:2], box[2:]])
    hands.wait_for_region()
    drawn = hands.regions.region
    assert np.abs(np.subtract(drawn.box, box)).max() <= 2
    assert "UNet# region" not in hands.viewer.layers
    assert "answered last counts" in hands.bar.label.text()
    here = hands.review.labels[row - drawn.box.top, column - drawn.box.left]
    assert hands.state(here) is State.RIGHT, "what was said there a moment ago holds here"

    (tmp_path / "folder").mkdir()
    for name in ("a.tif", "b.tif"):
        tifffile.imwrite(tmp_path / "folder" / name, np.full((64, 64), 9, np.uint8))
    journal = hands.desk.subject.folder / "journal"
    hands.dock.cases.open_folder(str(tmp_path / "folder"))
    assert hands.dock.find.layer.name == "a"
    assert journal.exists()
    assert not [layer for layer in hands.viewer.layers if region_of(layer) is not None]
    qtbot.mouseClick(hands.dock.cases.next_button, LEFT)
    assert hands.dock.find.layer.name == "b"
    assert not hands.bar.isVisible()
