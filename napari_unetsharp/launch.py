"""The console script: the commands of `cli`, and `gui`, which alone opens napari."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_unetsharp.cli import app
from napari_unetsharp.errors import UNetSharpError

if TYPE_CHECKING:
    from napari import Viewer


@app.command()
def gui(
    image: Annotated[Path | None, typer.Argument(help="A picture to open; without one, sample tissue.")] = None,
    sample: Annotated[str, typer.Option(help="Sample to open without IMAGE, by its key.")] = "immunohistochemistry",
    find: Annotated[bool, typer.Option("--find", help="Find its nuclei at once.")] = False,
    screenshot: Annotated[Path | None, typer.Option(help="Save a picture of the window when ready, and end.")] = None,
) -> None:
    """Open the window with the UNet# dock; without IMAGE, a sample that is segmented at once."""
    import napari

    from napari_unetsharp.widgets.dock import open_dock

    viewer = napari.Viewer(title="UNet#")
    viewer.window.resize(1280, 800)
    dock = open_dock(viewer)
    if image is None:
        viewer.open_sample("napari-unetsharp", sample)
        dock.find.reset_choices()
    else:
        dock.find.open_image(str(image))
    if screenshot is not None:
        dock.find.finished.connect(lambda: _save_and_close(viewer, screenshot))
    if find or image is None:
        dock.find.form.where.value = "whole image"
        dock.find.run()
    if screenshot is not None and not dock.find.running:
        _save_and_close(viewer, screenshot)
    napari.run()


def _save_and_close(viewer: Viewer, path: Path) -> None:
    """Give napari a moment to draw, then save the window."""
    from qtpy.QtCore import QTimer

    def save() -> None:
        viewer.screenshot(str(path), canvas_only=False, flash=False)
        viewer.close()

    QTimer.singleShot(3000, save)


def main() -> None:
    """Run a command; our own errors become one sentence on standard error and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files may not be what the terminal can show
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except UNetSharpError as error:
        print(f"unetsharp: {error}", file=sys.stderr)
        sys.exit(2)
