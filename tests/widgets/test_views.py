"""The drawing: clicks switch layers, layers switch the drawing."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_unetsharp.network.grid import BRANCHES, NODES
from napari_unetsharp.widgets.drawing import GridDrawing


@pytest.fixture
def done(ready, find):
    viewer, stage, image = ready
    find(stage)
    return viewer, stage, image


def click(qtbot, drawing, node, modifier=Qt.KeyboardModifier.NoModifier):
    qtbot.mouseClick(drawing, Qt.MouseButton.LeftButton, modifier, drawing.centre(node).toPoint())


def visible(viewer):
    titles = {branch.title: node for node, branch in BRANCHES.items()}
    return {titles[layer.name] for layer in viewer.layers if layer.visible and layer.name in titles}


@pytest.mark.parametrize("node", list(BRANCHES))
def test_click_shows_a_view_alone(done, qtbot, node):
    viewer, stage, _ = done
    other = "x22" if node != "x22" else "x01"
    click(qtbot, stage.views.drawing, other)
    click(qtbot, stage.views.drawing, node)
    assert visible(viewer) == {node}
    click(qtbot, stage.views.drawing, node)
    assert visible(viewer) == set()


def test_shift_click_adds_a_view(done, qtbot):
    viewer, stage, _ = done
    click(qtbot, stage.views.drawing, "x04")
    click(qtbot, stage.views.drawing, "x40", Qt.KeyboardModifier.ShiftModifier)
    assert visible(viewer) == {"x04", "x40"}
    click(qtbot, stage.views.drawing, "x04", Qt.KeyboardModifier.ShiftModifier)
    assert visible(viewer) == {"x40"}


def test_the_drawing_follows_the_layer_list(done):
    viewer, stage, _ = done
    viewer.layers["1/4 · x22"].visible = True
    assert stage.views.drawing._shown == {"x22"}
    viewer.layers["doubt"].visible = True
    assert stage.views.doubt_button.isChecked()
    viewer.layers.remove(viewer.layers["1/4 · x22"])
    assert "x22" in stage.views.drawing._unavailable


def test_pruned_and_missing_views_say_why(ready, qtbot, find):
    viewer, stage, _ = ready
    stage.form.depth.value = 2
    find(stage)
    unavailable = stage.views.drawing._unavailable
    assert set(unavailable) == set(BRANCHES) - {"x01", "x02"}
    assert unavailable["x03"] == "Needs depth 3: choose it, then press Find nuclei."
    assert "depth 4" in unavailable["x40"]
    click(qtbot, stage.views.drawing, "x40")
    assert visible(viewer) == set()


def test_thumbnails_show_the_maps(done):
    viewer, stage, _ = done
    small = stage.views.drawing._thumbnails["x04"]
    plane = np.asarray(viewer.layers["L4 · x04"].data, np.float32)
    step = -(-max(plane.shape) // 46)
    assert (small.height(), small.width()) == plane[::step, ::step].shape
    assert small.pixelColor(0, 0).red() == int(plane[0, 0] * 255)


def test_nodes_do_not_overlap_and_stay_inside(qtbot):
    drawing = GridDrawing()
    qtbot.addWidget(drawing)
    for width in (280, 330, 500):
        drawing.resize(width, drawing.sizeHint().height())
        centres = [drawing.centre(node) for node in NODES]
        for first, one in enumerate(centres):
            assert drawing.rect().contains(one.toPoint() + QPoint(20, 20))
            assert drawing.rect().contains(one.toPoint() - QPoint(20, 20))
            for other in centres[first + 1 :]:
                assert abs(one.x() - other.x()) > 47 or abs(one.y() - other.y()) > 47


def test_a_node_is_found_where_it_is_drawn(qtbot):
    drawing = GridDrawing()
    qtbot.addWidget(drawing)
    for node in BRANCHES:
        assert drawing.node_at(drawing.centre(node)) == node
    assert drawing.node_at(drawing.centre("x11")) is None
