"""The plain forms of *Find*: what to run on, and how to read the maps."""

from __future__ import annotations

from typing import Any

from magicgui.widgets import CheckBox, ComboBox, Container, FloatSlider, FloatSpinBox, SpinBox, create_widget
from napari.layers import Image as ImageLayer

from napari_unetsharp.network.checkpoint import Checkpoint
from napari_unetsharp.network.grid import LEVELS
from napari_unetsharp.nuclei.instances import LabelSettings

SEE, DRAWN, WHOLE = "what I see", "drawn rectangle", "whole image"
THIS_PLANE, ALL_PLANES = "this plane", "all planes"
_DEPTHS = {"1 (fastest)": 1, "2": 2, "3": 3, "4 (fullest)": 4}
_LOOKS = {"once": (1, False), "average of all views": (1, True), "8 orientations": (8, False)}
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
        self.nucleus_size = FloatSpinBox(
            label="Nucleus size", value=0, min=0, max=2000, step=1,
            tooltip="Diameter of a typical nucleus; the image is brought to the model's scale by it. 0: estimated",
        )  # fmt: skip
        self.nucleus_size.native.setSpecialValueText("estimated")
        self.nucleus_size.native.setSuffix(" px")
        self.look = ComboBox(
            label="Look", choices=list(_LOOKS),
            tooltip="Once is fast; averages are a little better and slower (8 orientations: eight times)",
        )  # fmt: skip
        self.guided = CheckBox(
            label="Guided modules", value=False,
            tooltip="Clear regions where the model's guided modules see no nuclei at all",
        )  # fmt: skip
        super().__init__(
            widgets=[
                self.image, self.model, self.device, self.where, self.planes, self.depth, self.nucleus_size, self.look,
                self.guided,
            ]
        )  # fmt: skip
        self.margins = (0, 0, 0, 0)
        self.offer(None)

    @property
    def options(self) -> dict[str, Any]:
        """Test-time options, as `Predictor` takes them."""
        orientations, accurate = _LOOKS[self.look.value]
        return {"orientations": orientations, "accurate": accurate, "guided": bool(self.guided.value)}

    def offer(self, checkpoint: Checkpoint | None) -> None:
        """Show what a checkpoint has: depths with a head, a scale, guided modules. While none is loaded, all depths."""
        config = None if checkpoint is None else checkpoint.config
        self.nucleus_size.enabled = checkpoint is None or checkpoint.metadata.nucleus_size is not None
        has_guides = config is not None and config.guided
        self.guided.visible = has_guides
        if not has_guides:
            self.guided.value = False
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
