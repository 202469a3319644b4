"""Whether an exported file computes what our network computes: if not, it isn't written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unetsharp.errors import SaveError
from napari_unetsharp.images.drawn import draw_fluorescence
from napari_unetsharp.network.checkpoint import Checkpoint
from napari_unetsharp.network.unet_sharp import probabilities

TOLERANCE = 1e-4
"""A probability may differ by no more."""

SHAPES = ((1, 48, 80), (2, 112, 48), (3, 80, 48), (1, 144, 176))
"""Images, rows and columns that are tried: odd and even multiples of 16, flat and tall."""

Maps = Mapping[str, NDArray[np.float32]]


def checked(
    run: Callable[[NDArray[np.float32]], Maps],
    checkpoint: Checkpoint,
    heads: tuple[str, ...] | None = None,
    shapes: Sequence[tuple[int, int, int]] = SHAPES,
) -> Iterator[str]:
    """Compare an exported file with the network, one shape after the other.

    Parameters
    ----------
    run : callable
        The exported file: (B, C, H, W) float32 to outputs by name.
    checkpoint : Checkpoint
        From `cut`.
    heads : tuple of str, optional
        The only views that the file holds; by default all, and the guided modules.
    shapes : sequence of (B, H, W)

    Yields
    ------
    str
        What is checked.

    Raises
    ------
    SaveError
        If an output is missing or differs by more than `TOLERANCE`.
    """
    for shape in shapes:
        yield f"Checking {shape[0]} × {shape[1]} × {shape[2]} px against the model"
        image = example(checkpoint, shape)
        wanted = expected(checkpoint, image)
        compare(run(image), {name: wanted[name] for name in heads or wanted}, shape)


def example(checkpoint: Checkpoint, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Drawn nuclei, scaled as the checkpoint wants them: (B, C, H, W)."""
    count, height, width = shape
    intensity, channels = checkpoint.metadata.intensity, checkpoint.config.in_channels
    planes = []
    for seed in range(count):
        picture, _ = draw_fluorescence(seed, height, width, nuclei=height * width // 1000)
        plane = np.repeat(picture[..., None], channels, axis=2)
        planes.append(intensity.apply(plane, intensity.limits(plane)).transpose(2, 0, 1))
    return np.ascontiguousarray(planes)


@torch.inference_mode()
def expected(checkpoint: Checkpoint, image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """What our network gives: probabilities by view, and presence by guided view."""
    network, level = checkpoint.network, checkpoint.config.level
    maps = network.features(torch.from_numpy(image), level)
    found = {name: probabilities(logits).numpy() for name, logits in network.head_logits(maps, level).items()}
    for name, logits in network.presence_logits(maps, level).items():
        found[f"{name}_presence"] = torch.softmax(logits, 1)[:, 1].numpy()
    return found


def compare(found: Maps, wanted: Maps, shape: tuple[int, ...]) -> None:
    """Raise `SaveError` where outputs differ by more than `TOLERANCE`."""
    where = " × ".join(str(side) for side in shape)
    for name, values in wanted.items():
        if name not in found or found[name].shape != values.shape:
            got = found[name].shape if name in found else "nothing"
            raise SaveError(
                f"the exported {name} has shape {got} instead of {values.shape} on {where} px, so nothing was written; "
                "choose another format, and tell the makers of this plugin"
            )
        difference = float(np.abs(found[name] - values).max())
        if not difference <= TOLERANCE:
            raise SaveError(
                f"the exported {name} differs from the model by {difference:.2g} on {where} px (at most {TOLERANCE:g} "
                "is let through), so nothing was written; choose another format, and tell the makers of this plugin"
            )
