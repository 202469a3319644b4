"""Keys of stage *Compare*: a few of those of Review, with the same meaning."""

from __future__ import annotations

from qtpy.QtGui import QKeyEvent

from napari_unetsharp.widgets.keys import KeyFilter

HEARD = frozenset({"next", "back", "flicker", "image_only", "filled", "shallower", "deeper"})
"""Actions of `keys.KEYS` that Compare does; all other keys are napari's."""


class CompareKeys(KeyFilter):
    """Hears these keys while Compare is on screen."""

    def action_of(self, event: QKeyEvent) -> str:
        """Name of the action of a key; empty for none of ours."""
        name = super().action_of(event)
        return name if name in HEARD else ""
