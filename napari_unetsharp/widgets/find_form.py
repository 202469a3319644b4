"""The plain forms of *Find*: what to run on, and how to read the maps."""

from __future__ import annotations

from magicgui.widgets import CheckBox, ComboBox, Container, FloatSlider, SpinBox, create_widget
from napari.layers import Image as ImageLayer

from napari_unetsharp.network.grid import LEVELS
from napari_unetsharp.network.unet_sharp import UNetSharpConfig
from napari_unetsharp.nuclei.instances import LabelSettings

SEE, DRAWN, WHOLE = "what I see", "drawn rectangle", "whole image"
THIS_PLANE, ALL_PLANES = "this plane", "all planes"
_DEPTHS = {"1 (fastest)": 1, "2": 2, "3": 3, "4 (fullest)": 4}
_DEVICES = {"auto": "auto", "GPU (CUDA)": "cuda", "Apple GPU": "mps", "CPU": "cpu"}


class FindForm(Container):
    """Image, model, device, where, planes and depth, as one value each."""

    def __init__(self) -> None:
        self.image = create_widget(annotation=ImageLayer, label="Image", options={"nullable": True})
        self.model = ComboBox(label="Model", choices=[], tooltip="Which checkpoint to run", nullable=True)
        self.device = ComboBox(label="Device", choices=list(_DEVICES.items()), tooltip="Auto: CUDA, then MPS, then CPU")
        self.where = ComboBox(label="Where", choices=[SEE, DRAWN, WHOLE], tooltip="Which part of the image to run on")
        self.planes = ComboBox(
            label="Planes", choices=[THIS_PLANE, ALL_PLANES], tooltip="A stack is run plane by plane"
        )
        self.depth = ComboBox(
            label="Depth", choices=list(_DEPTHS.items()), value=4,
            tooltip="Depth 4 computes all eight views; a smaller depth is faster and computes fewer",
        )  # fmt: skip
        super().__init__(widgets=[self.image, self.model, self.device, self.where, self.planes, self.depth])
        self.margins = (0, 0, 0, 0)

    def offer_depths(self, config: UNetSharpConfig | None) -> None:
        """Choices that a checkpoint has heads for; all four while none is loaded."""
        offered = [(label, level) for label, level in _DEPTHS.items() if config is None or f"x0{level}" in config.heads]
        current, levels = self.depth.value, [level for _, level in offered]
        if list(self.depth.choices) != levels:
            self.depth.choices = offered
            self.depth.value = current if current in levels else levels[-1]


class LabelForm(Container):
    """More or fewer, smallest size, splitting: they act at once, without the network."""

    def __init__(self) -> None:
        self.threshold = FloatSlider(
            label="More / fewer", value=0.5, min=0.05, max=0.95, step=0.01,
            tooltip="Probability from which a pixel is a nucleus: left gives more, right fewer",
        )  # fmt: skip
        self.smallest = SpinBox(
            label="Smallest (px)", value=20, min=0, max=100_000, tooltip="Nuclei of fewer pixels are left out"
        )
        self.split = CheckBox(label="Split touching nuclei", value=True)
        self.shown = ComboBox(
            label="Show", choices=[(f"depth {level}", level) for level in LEVELS], value=4,
            tooltip="Whose nuclei are drawn",
        )  # fmt: skip
        super().__init__(widgets=[self.threshold, self.smallest, self.split, self.shown])
        self.margins = (0, 0, 0, 0)

    @property
    def settings(self) -> LabelSettings:
        """The three settings as one value."""
        return LabelSettings(float(self.threshold.value), int(self.smallest.value), bool(self.split.value))
