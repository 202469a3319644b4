"""One dock per viewer, however it is opened."""

from __future__ import annotations

import pytest
from qtpy.QtWidgets import QDockWidget

from napari_unetsharp.widgets.dock import UNetSharpDock, find_nuclei, open_dock


def docks(viewer):
    window = viewer.window._qt_window
    return [dock for dock in window.findChildren(QDockWidget) if isinstance(dock.widget(), UNetSharpDock)]


def test_opening_twice_gives_the_same(make_napari_viewer):
    viewer = make_napari_viewer()
    first = open_dock(viewer)
    find_nuclei(viewer)
    assert open_dock(viewer) is first
    assert len(docks(viewer)) == 1


def test_menu_and_code_share_one_dock(make_napari_viewer):
    viewer = make_napari_viewer()
    own = open_dock(viewer)
    _, widget = viewer.window.add_plugin_dock_widget("napari-unetsharp", "UNet#")
    assert widget is own
    assert len(docks(viewer)) == 1
    assert docks(viewer)[0].widget() is own


def test_the_menus_open_it(make_napari_viewer):
    from napari._app_model import get_app_model

    viewer = make_napari_viewer()
    for command, stage in (("find", "Find"), ("review", "Review"), ("teach", "Teach"), ("compare", "Compare")):
        get_app_model().commands.execute_command(f"napari-unetsharp.{command}").result()
        assert len(docks(viewer)) == 1
        assert open_dock(viewer).stage == stage
        assert [name for name, made in open_dock(viewer).buttons.items() if made.isChecked()] == [stage]


def test_closed_with_its_button_it_comes_back_as_it_was(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    first = open_dock(viewer)
    first.find.label_form.smallest.value = 77
    docks(viewer)[0].title.close_button.click()
    again = open_dock(viewer)
    assert again.find.label_form.smallest.value == 77
    assert len(docks(viewer)) == 1
    qtbot.waitUntil(again.isVisible, timeout=5_000)


def test_two_windows_have_a_dock_each(make_napari_viewer):
    one, two = make_napari_viewer(), make_napari_viewer()
    assert open_dock(one) is not open_dock(two)


def test_it_fits_the_width_it_asks_for(make_napari_viewer):
    viewer = make_napari_viewer()
    dock = open_dock(viewer)
    assert dock.find.minimumSizeHint().width() <= dock.sizeHint().width()


@pytest.mark.parametrize("ending", ["tif", "safetensors"])
def test_a_dropped_file_is_opened(make_napari_viewer, qtbot, tmp_path, small_checkpoint, ending):
    import numpy as np
    import tifffile
    from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
    from qtpy.QtGui import QDropEvent

    viewer = make_napari_viewer()
    dock = open_dock(viewer)
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((20, 30), np.uint8))
    path = str(tmp_path / "a.tif") if ending == "tif" else small_checkpoint
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(path)])
    place = QPointF(5, 5)
    event = QDropEvent(
        place if hasattr(QDropEvent, "position") else place.toPoint(), Qt.DropAction.CopyAction, mime,
        Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier,
    )  # fmt: skip
    dock.dropEvent(event)
    if ending == "tif":
        assert [layer.name for layer in viewer.layers] == ["a"]
    else:
        assert dock.find.form.model.value == small_checkpoint


def test_layers_go_in_the_gl_context_of_the_canvas(make_napari_viewer, qtbot):
    """In another one, Mesa's software GL crashes a few frames later (see `removal`)."""
    import numpy as np
    from qtpy.QtGui import QOpenGLContext

    viewer = make_napari_viewer(show=True)
    open_dock(viewer)
    layer = viewer.add_image(np.zeros((20, 30), np.uint8))
    qtbot.wait(50)
    native, contexts = viewer.window._qt_viewer.canvas.native, []
    native.doneCurrent()
    viewer.layers.events.removing.connect(
        lambda event: contexts.append(QOpenGLContext.currentContext()), position="last"
    )
    viewer.layers.remove(layer)
    assert contexts == [native.context()]
