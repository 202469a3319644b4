"""Taking layers out of a viewer with the canvas's own GL context at hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

from qtpy.compat import isalive

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer

_DEPTHS: WeakKeyDictionary[Any, int] = WeakKeyDictionary()


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


@contextmanager
def removing_many(viewer: Viewer) -> Iterator[None]:
    """Let napari clean up once for all layers that are removed within.

    It collects the garbage of the whole program at each removal, and at the end of each of its own batches, also of
    one inside another; this takes a fifth of a second and more.

    Parameters
    ----------
    viewer : napari.Viewer
    """
    depth = _DEPTHS.get(viewer, 0)
    _DEPTHS[viewer] = depth + 1
    if not depth:
        viewer.layers.events.begin_batch()
    try:
        yield
    finally:
        _DEPTHS[viewer] = depth
        if not depth:
            viewer.layers.events.end_batch()
