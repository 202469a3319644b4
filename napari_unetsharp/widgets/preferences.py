"""The plugin's settings in napari's preferences."""

from __future__ import annotations

from dataclasses import dataclass

from napari_unetsharp.network.device import WISHES
from napari_unetsharp.network.grid import LEVELS


@dataclass(frozen=True)
class Preferences:
    """Defaults of a window that opens; see ``napari.yaml``."""

    device: str = "auto"
    depth: int = 4
    threshold: float = 0.5
    smallest: int = 20


def preferences() -> Preferences:
    """What the person set, or the defaults where the plugin isn't installed (a bare checkout)."""
    from napari.settings import get_plugin_settings

    try:
        kept = get_plugin_settings("napari-unetsharp").find
    except (KeyError, AttributeError, ValueError):
        return Preferences()
    device = kept.device if kept.device in WISHES else "auto"
    depth = kept.depth if kept.depth in LEVELS else max(LEVELS)
    return Preferences(device, depth, float(kept.threshold), int(kept.smallest))


def review_keys() -> dict[str, str]:
    """Keys of Review that the person changed, by action; those of `keys.KEYS` where nothing is set."""
    from napari.settings import get_plugin_settings

    try:
        kept = get_plugin_settings("napari-unetsharp").keys.model_dump()
    except (KeyError, AttributeError, ValueError, TypeError):
        return {}
    # the prefix: napari makes an event of each name, and "add" and some others are taken there
    return {
        str(name).removeprefix("key_"): key.strip()
        for name, key in kept.items()
        if isinstance(key, str) and key.strip()
    }
