"""Make docs/window.png from the real window: `python docs/make_pictures.py` with a display (Xvfb will do)."""

from pathlib import Path

import napari
from qtpy.QtCore import QTimer

from napari_unetsharp.widgets.dock import open_dock

WINDOW = Path(__file__).with_name("window.png")


def main() -> None:
    """Open the sample, find its nuclei, save the window, close it."""
    viewer = napari.Viewer(title="UNet#")
    viewer.window.resize(1280, 800)
    viewer.open_sample("napari-unetsharp", "immunohistochemistry")
    stage = open_dock(viewer).find
    stage.form.where.value = "whole image"

    def save() -> None:
        viewer.screenshot(str(WINDOW), canvas_only=False, flash=False)
        viewer.close()

    stage.finished.connect(lambda: QTimer.singleShot(4000, save))
    stage.run()
    napari.run()


if __name__ == "__main__":
    main()
