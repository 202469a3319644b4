"""Taking layers out of a viewer with the canvas's own GL context at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import ref

from qtpy.compat import isalive

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer


def free_in_own_context(viewer: Viewer) -> None:
    """From now on, make the canvas's GL context current before any layer goes, whoever removes it.

    napari deletes a removed layer's shader programs and textures at once, in whatever GL context is current; between
    two frames that is the one in which Qt puts the window together. Mesa's software GL (remote desktops, virtual
    displays) then unbinds the vertex shader in the canvas's context without noting it, and crashes at the next frame
    that draws with the same program as the last.

    Parameters
    ----------
    viewer : napari.Viewer
    """
    canvas = ref(viewer.window._qt_viewer.canvas)

    def make_current(event: Any = None) -> None:
        drawn = canvas()
        if drawn is not None and isalive(drawn.native):  # layers can be removed after the window was closed
            drawn.native.makeCurrent()

    viewer.layers.events.removing.connect(make_current)  # at `removed`, napari's own callbacks come first


def remove_layer(viewer: Viewer, layer: Layer) -> None:
    """Remove a layer, if it is there.

    Parameters
    ----------
    viewer : napari.Viewer
    layer : Layer
    """
    if layer in viewer.layers:
        viewer.layers.remove(layer)
