"""UNet#: find nuclei, look at eight branches and four depths, correct the masks, inside napari.

The names below are loaded when first used, so that ``import napari_unetsharp`` stays instant and free of torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PLACES = {
    "UNetSharp": "network.unet_sharp",
    "UNetSharpConfig": "network.unet_sharp",
    "Checkpoint": "network.checkpoint",
    "load_checkpoint": "network.checkpoint",
    "prune": "network.pruning",
    "Predictor": "inference.predictor",
}

__all__ = ["Checkpoint", "Predictor", "UNetSharp", "UNetSharpConfig", "load_checkpoint", "prune"]

if TYPE_CHECKING:
    from napari_unetsharp.inference.predictor import Predictor
    from napari_unetsharp.network.checkpoint import Checkpoint, load_checkpoint
    from napari_unetsharp.network.pruning import prune
    from napari_unetsharp.network.unet_sharp import UNetSharp, UNetSharpConfig


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
