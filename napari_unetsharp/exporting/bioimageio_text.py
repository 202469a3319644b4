"""A bioimage.io model description, as plain values, and its model card."""

from __future__ import annotations

import json
import re
from typing import Any

import torch

from napari_unetsharp import __version__
from napari_unetsharp.exporting.about import AUTHORS, DOI, PAPER, channel_names, intensity_words
from napari_unetsharp.exporting.depth import licence_of
from napari_unetsharp.exporting.onnx_graph import OPSET
from napari_unetsharp.exporting.plain_form import description
from napari_unetsharp.images.intensity import Intensity
from napari_unetsharp.inference.tiling import MARGINS
from napari_unetsharp.network.checkpoint import Checkpoint
from napari_unetsharp.network.grid import STRIDE

CARD, COVER, FACTS = "README.md", "cover.png", "unetsharp.json"
INPUT, OUTPUT = "test_input.npy", "test_output.npy"
ONNX, STATE, NETWORK = "weights.onnx", "weights.pt", "unetsharp_network.py"
"""Files of a package."""


def smallest_side(level: int) -> int:
    """Smallest side in pixels that leaves something once the margins are dropped; a multiple of 16."""
    return int(2 * MARGINS[level] + STRIDE)


def description_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """Describe a depth, with its one view of full resolution, for `bioimageio.spec`.

    Parameters
    ----------
    checkpoint : Checkpoint
        From `cut`.

    Returns
    -------
    dict
        A model description of format 0.5; files are named relative to the package.
    """
    metadata, level = checkpoint.metadata, checkpoint.config.level
    licence = licence_of(metadata)
    return {
        "type": "model",
        "format_version": "0.5.3",
        "name": shown_name(checkpoint),
        "description": f"Nuclei by UNet# at depth {level} of 4: a probability per pixel. "
        f"Written by napari-unetsharp {__version__}; the model card says how to use it.",
        "documentation": CARD,
        "covers": [COVER],
        "attachments": [{"source": FACTS}],
        "cite": [{"text": f"{AUTHORS}: {PAPER}", "doi": DOI}],
        "tags": ["nuclei", "segmentation", "semantic-segmentation", "unet", "unetsharp", "2d", "pytorch", "onnx"],
        "inputs": [_input(checkpoint)],
        "outputs": [_output(checkpoint)],
        "weights": _weights(checkpoint),
    } | ({"license": licence} if licence else {})


def shown_name(checkpoint: Checkpoint) -> str:
    """Name with letters that bioimage.io takes."""
    return re.sub(r"[^A-Za-z0-9_+\- ()]+", "-", f"UNet-sharp {checkpoint.metadata.name}")[:64]


def preprocessing(intensity: Intensity) -> list[dict[str, Any]]:
    """Our scaling in the steps that bioimage.io knows."""
    steps: list[dict[str, Any]]
    if intensity.kind == "range":
        steps = [{"id": "scale_linear", "kwargs": {"gain": 1 / 255, "offset": 0.0}}]
    else:
        axes = ["channel", "y", "x"]
        limits = {"min_percentile": intensity.low, "max_percentile": max(intensity.high, 1.01)}
        steps = [
            {"id": "scale_range", "kwargs": {"axes": axes, "eps": 1e-6} | limits},
            {"id": "clip", "kwargs": {"min": -0.5, "max": 2.0}},
        ]
    mean, deviation = list(intensity.mean), list(intensity.deviation)
    kwargs = {"mean": mean[0], "std": deviation[0]} if len(mean) == 1 else {
        "mean": mean, "std": deviation, "axis": "channel"
    }  # fmt: skip
    return [*steps, {"id": "fixed_zero_mean_unit_variance", "kwargs": kwargs}]


def _input(checkpoint: Checkpoint) -> dict[str, Any]:
    channels = checkpoint.config.in_channels
    names = ["red", "green", "blue"] if channels == 3 else [f"channel {place + 1}" for place in range(channels)]
    size = {"min": smallest_side(checkpoint.config.level), "step": STRIDE}
    return {
        "id": "image",
        "description": "The picture as it was taken; grey ones with their one channel repeated.",
        "axes": [
            {"type": "batch"}, {"type": "channel", "channel_names": names},
            *({"type": "space", "id": name, "size": size} | _spacing(checkpoint) for name in "yx"),
        ],
        "data": {"type": "float32"},
        "test_tensor": {"source": INPUT},
        "preprocessing": preprocessing(checkpoint.metadata.intensity),
    }  # fmt: skip


def _output(checkpoint: Checkpoint) -> dict[str, Any]:
    level = checkpoint.config.level
    return {
        "id": "probabilities",
        "description": f"Probability of each channel by itself (view x0{level}).",
        "axes": [
            {"type": "batch"}, {"type": "channel", "channel_names": channel_names(checkpoint)},
            *(
                {"type": "space", "id": name, "size": {"tensor_id": "image", "axis_id": name}, "halo": MARGINS[level]}
                | _spacing(checkpoint)
                for name in "yx"
            ),
        ],
        "data": {"type": "float32", "range": [0.0, 1.0]},
        "test_tensor": {"source": OUTPUT},
    }  # fmt: skip


def _spacing(checkpoint: Checkpoint) -> dict[str, Any]:
    size = checkpoint.metadata.pixel_size
    return {"scale": size, "unit": "micrometer"} if size else {}


def _weights(checkpoint: Checkpoint) -> dict[str, Any]:
    head = f"x0{checkpoint.config.level}"
    architecture = {
        "source": NETWORK,
        "callable": "OneView",
        "kwargs": json.loads(json.dumps(description(checkpoint.network, (head,), guided=False))),
    }
    version = torch.__version__.split("+")[0]
    return {
        "pytorch_state_dict": {"source": STATE, "architecture": architecture, "pytorch_version": version},
        "onnx": {"source": ONNX, "opset_version": OPSET, "parent": "pytorch_state_dict"},
    }


def card(checkpoint: Checkpoint) -> str:
    """The model card of a package, in Markdown."""
    metadata, level = checkpoint.metadata, checkpoint.config.level
    classes = ", ".join(channel_names(checkpoint))
    size = metadata.nucleus_size
    margin = MARGINS[level]
    lines = [
        f"# Model card: {shown_name(checkpoint)}", "",
        f"UNet# cut to depth {level} of 4 (1 is fastest, 4 fullest), in its plain form: 3 x 3 convolutions, bilinear "
        "upsampling and concatenation, batch norm folded in. For every pixel it gives a probability of each of: "
        f"{classes}. It is a research tool, not a medical device: check what it finds.",
        "", "## How to use it", "",
        f"- Sides must be multiples of {STRIDE}, from {smallest_side(level)} px on; mirror an image to fill them.",
        f"- Nuclei should be {f'about {size:g} px across' if size else 'as large as in its training images'}; "
        "magnify other images first. napari-unetsharp does that by itself.",
        f"- Tiles: read {margin} px more on every side and drop them. Upsampling aligns the corners of the whole tile, "
        "so tiles agree closely, not to the last bit; in napari-unetsharp they do to the last bit.",
        "- A pixel of 0.5 or more counts as nucleus. Nuclei that touch still have to be cut apart; napari-unetsharp "
        "does so from the same map.",
        "", "## How pixels are scaled", "",
        f"As trained: {intensity_words(metadata.intensity)}.", "", *_differences(metadata.intensity),
        "", "## Validation", "",
        *_measured(metadata.metrics, level),
        "Measure it on your own images with masks: `unetsharp evaluate FOLDER`. The test tensors are drawn nuclei; "
        "that weights give the test output says that they run, not that they fit your images.",
        "", "## Origin", "",
        f"- Cut from: {metadata.recipe.get('cut_from', {}).get('name', metadata.name)}, SHA-256 `{metadata.parent}`",
        f"- Licence of the weights: {licence_of(metadata) or 'not stated; ask whoever trained them before sharing'}",
        f"- Method: {AUTHORS}, {PAPER}, doi:{DOI}",
        f"- Everything the model knows about itself (training, course, measurements): {FACTS}",
        f"- Written by napari-unetsharp {__version__}", "",
    ]  # fmt: skip
    return "\n".join(lines)


def _differences(intensity: Intensity) -> list[str]:
    """Where bioimage.io's steps are not quite ours."""
    if intensity.kind == "range":
        return ["In this package: the same for pixels of 0 to 255; scale others to that range first."]
    return [
        "In this package: the same steps, with two differences. Percentiles are those of what a program hands over at "
        "once (ours: of the whole image, so that every tile is scaled alike; hand over whole images where you can). "
        "A nearly constant picture is stretched to the full range (ours holds it back, so that noise doesn't look like "
        "tissue)."
    ]


def _measured(metrics: dict[str, Any], level: int) -> list[str]:
    pooled = metrics.get("iou_pooled", {}).get("all", {}).get(f"x0{level}")
    verdict = metrics.get("verdict", {}).get("words")
    lines = [f"IoU of pixels on its validation images: {pooled:.3f}."] if isinstance(pooled, float) else []
    lines += [f"When it was tuned: {verdict}"] if isinstance(verdict, str) else []
    return [*lines, ""] if lines else []
