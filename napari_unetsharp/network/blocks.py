"""Convolution blocks of the grid."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from napari_unetsharp.network.upconv import Window, convolve_upsampled, form_of, upsample


class UpsampledConvolution(nn.Module):
    """The paper's f: upsample, then conv3x3-BN-ReLU (Eq. 1, k >= 2; ``full_scale="conv"`` only).

    Parameters
    ----------
    source_channels, channels : int
        Channels of the deeper row and of this row.
    """

    def __init__(self, source_channels: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(source_channels, channels, 3, padding=1)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, coarse: Tensor, factor: int, window: Window, scale: int) -> Tensor:
        """(B, source_channels, h, w) -> (B, channels, factor * h, factor * w)."""
        fine = convolve_upsampled(coarse, self.conv.weight, factor, window, scale)
        assert self.conv.bias is not None
        return torch.relu(self.bn(fine + self.conv.bias.to(fine.dtype)[:, None, None]))


class Block(nn.Module):
    """conv3x3-BN-ReLU twice, over several inputs that are concatenated without being copied.

    The first convolution is linear in its input, so it is applied to the maps of this row together and
    to each upsampled map by itself, and the results are added: the concatenated tensor is never built.

    Parameters
    ----------
    in_channels : int
        Channels of all inputs together.
    channels : int
        Channels of the row.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, inputs: Sequence[tuple[Tensor, int]], window: Window, scale: int) -> Tensor:
        """Evaluate the node.

        Parameters
        ----------
        inputs : sequence of (Tensor (B, C, h, w), factor)
            In the order of concatenation; ``factor * h`` is the same for all of them.
        window : Window
            Where the tile lies in the whole image.
        scale : int
            Image pixels per pixel of this row.

        Returns
        -------
        Tensor, (B, channels, H, W)
        """
        near: list[Tensor] = []
        kept: list[Tensor] = []
        far: list[tuple[Tensor, Tensor, int]] = []
        parts = torch.split(self.conv1.weight, [tensor.shape[1] for tensor, _ in inputs], dim=1)
        for (tensor, factor), part in zip(inputs, parts, strict=True):
            if factor == 1 or form_of(tensor, factor, scale) == "upsample":
                near.append(upsample(tensor, factor, window, scale))
                kept.append(part)
            else:
                far.append((tensor, part, factor))
        total = nn.functional.conv2d(_joined(near), _joined(kept), self.conv1.bias, padding=1)
        for tensor, part, factor in far:
            total = total + convolve_upsampled(tensor, part, factor, window, scale)
        first = torch.relu(self.bn1(total))
        return torch.relu(self.bn2(self.conv2(first)))


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
