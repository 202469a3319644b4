"""Classification-guided modules: whether a crop holds any target.

UNet#, Sec. 2.4. The text repeats a ReLU after the last linear layer, which would clip the logits of the
softmax; it is left out here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_unetsharp.network.grid import BRANCHES, NODES

DROPOUT = 0.5
_WITH_HIDDEN_LAYER = ("x40", "x31")


class GuidedModule(nn.Module):
    """Presence of a target from one branch's features.

    Parameters
    ----------
    channels : int
        Channels of the node.
    hidden : bool
        Whether there is a hidden linear layer (x40 and x31) or not (the other six).
    """

    def __init__(self, channels: int, hidden: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = 2 * channels
        if hidden:
            layers += [nn.BatchNorm1d(width), nn.Dropout(DROPOUT), nn.Linear(width, channels), nn.ReLU()]
            width = channels
        layers += [nn.BatchNorm1d(width), nn.Dropout(DROPOUT), nn.Linear(width, 2)]
        self.layers = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w) features -> (B, 2) logits: column 1 is "holds a target".

        A batch of one uses the running statistics: one value per channel has no variance.
        """
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1)
        for layer in self.layers:
            if isinstance(layer, nn.BatchNorm1d) and pooled.shape[0] == 1:
                pooled = nn.functional.batch_norm(
                    pooled, layer.running_mean, layer.running_var, layer.weight, layer.bias, eps=layer.eps
                )
            else:
                pooled = layer(pooled)
        return pooled


def guided_modules(widths: tuple[int, ...]) -> nn.ModuleDict:
    """One module per branch, by node name."""
    return nn.ModuleDict({name: GuidedModule(widths[NODES[name].row], name in _WITH_HIDDEN_LAYER) for name in BRANCHES})
