"""Small networks for tests: one whose answer is known, and one with drawn weights that looks at everything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from napari_unetsharp.images.intensity import PUBLISHED, Intensity
from napari_unetsharp.network.checkpoint import Checkpoint
from napari_unetsharp.network.metadata import CheckpointMetadata
from napari_unetsharp.network.unet_sharp import UNetSharp, UNetSharpConfig

SHARED = Path(__file__).parents[2] / "shared"
TRAINED = SHARED / "golden" / "nuclei96_published_layout.pth"
PLAIN = Intensity("range", mean=(0.0,), deviation=(1.0,))
SMALL = (4, 8, 8, 16, 16)
STEEP = 40.0


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Small networks gain nothing by threads, and threads that wait for a busy core cost tenfold (measured)."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def seeing_brightness(limits=None, guided_from=None, intensity=PLAIN, **settings):
    """A network that is perfect: bright (from `limits` on, by branch; 0.5 of 0..1 by default) is a nucleus.

    Every node hands on its first channel, so the top row sees the brightness of the first channel and the deep
    branches its max-pooling. With `guided_from`, modules say "target" where the mean brightness of what they see
    is larger than that.
    """
    network = UNetSharp(UNetSharpConfig(**{"widths": SMALL, "guided": guided_from is not None} | settings))
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                module.weight.zero_()
                module.bias.zero_()
        for block in network.nodes.values():
            block.conv1.weight[0, 0, 1, 1] = block.conv2.weight[0, 0, 1, 1] = 1
        for name, head in network.heads.items():
            middle = head.kernel_size[0] // 2
            head.weight[:, 0, middle, middle] = STEEP
            head.bias[:] = -STEEP * (limits or {}).get(name, 0.5)
        for guide in network.guides.values():
            *hidden, last = [layer for layer in guide.layers if isinstance(layer, nn.Linear)]
            for layer in hidden:
                layer.weight[0, 0] = 1
            last.weight[1, 0], last.bias[1] = STEEP, -STEEP * guided_from
    metadata = CheckpointMetadata(
        "bright", intensity, tuple(f"class {index}" for index in range(network.config.classes)), crop=32
    )
    return Checkpoint(network.eval(), metadata)


def seeded(picture, seed=0, covered=0.2, intensity=PUBLISHED, **settings):
    """Drawn weights; the statistics of batch norm and the heads' biases are those of `picture`, (Y, X, 3) uint8.

    Every branch is then above 0.5 on about a share `covered` of it.
    """
    torch.manual_seed(seed)
    network = UNetSharp(UNetSharpConfig(**{"widths": SMALL} | settings))
    pixels = intensity.apply(picture[: picture.shape[0] // 16 * 16, : picture.shape[1] // 16 * 16], (0.0, 255.0))
    image = torch.from_numpy(pixels[..., : network.config.in_channels]).permute(2, 0, 1)[None]
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train().presence_logits(network.features(image), network.config.level)
        network.eval()
        for name, logits in network(image).items():
            network.heads[name].bias -= torch.quantile(logits.flatten(), 1 - covered)
    return Checkpoint(network, CheckpointMetadata(f"seeded {seed}", intensity, crop=32))


def discs(shape, centres, radius):
    """A picture of uint8, (Y, X): 230 inside, 10 outside."""
    rows, columns = np.indices(shape)
    inside = np.zeros(shape, bool)
    for y, x in centres:
        inside |= np.hypot(rows - y, columns - x) <= radius
    return np.where(inside, 230, 10).astype(np.uint8)
