"""The plain form as an ONNX graph, written node by node: few kinds of operation, and names a person can follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from napari_unetsharp.exporting.plain import PlainUNetSharp
from napari_unetsharp.network.grid import BRANCHES

if TYPE_CHECKING:
    import onnx

OPSET = 17
IR_VERSION = 8
"""What goes with this opset: ONNX Runtime 1.13 (2022) and later read it."""

IMAGE = "image"


def graph_of(plain: PlainUNetSharp, channels: int) -> onnx.ModelProto:
    """Write a plain network as ONNX.

    Parameters
    ----------
    plain : PlainUNetSharp
    channels : int
        Of the image.

    Returns
    -------
    onnx.ModelProto
        Input ``image`` (batch, channels, height, width), float32; outputs by view, and ``VIEW_presence`` (batch,).
        Batch, height and width are free; height and width must be divisible by 16.
    """
    from onnx import TensorProto, helper

    writer = _Writer()
    for name, reads in plain.reads.items():
        entering = [writer.entering(plain, source, name, factor) for source, factor, _ in reads]
        writer.block(name, plain.nodes[name], entering or [IMAGE])
    for name, head in plain.heads.items():
        writer.add("Sigmoid", [writer.convolution(f"{name}.head", head, f"{name}.map")], name)
    for name, guide in plain.guides.items():
        writer.presence(name, guide)
    shapes: dict[str, list[str | int]] = {IMAGE: ["batch", channels, "height", "width"]}
    shapes |= {name: _shape(name, head) for name, head in plain.heads.items()}
    shapes |= {f"{name}_presence": ["batch"] for name in plain.guides}
    image, *outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    graph = helper.make_graph(writer.nodes, "unetsharp", [image], outputs, initializer=writer.weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def _shape(name: str, head: nn.Module) -> list[str | int]:
    assert isinstance(head, nn.Conv2d)
    scale = BRANCHES[name].scale
    sides = ["height", "width"] if scale == 1 else [f"height/{scale}", f"width/{scale}"]
    return ["batch", head.out_channels, *sides]


class _Writer:
    """Operations and weights so far; values are called as their node is, with what they are behind a dot."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Append an operation; gives its output."""
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"{output}:{kind}", **attributes))
        return output

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """Append a weight; gives its name."""
        from onnx import numpy_helper

        self.weights.append(numpy_helper.from_array(np.asarray(values, order="C"), name))
        return name

    def convolution(self, name: str, layer: nn.Module, source: str) -> str:
        """A convolution that keeps the sides."""
        assert isinstance(layer, nn.Conv2d)
        side = layer.kernel_size[0]
        return self.add(
            "Conv", [source, *self._parameters(name, layer)], name, kernel_shape=[side, side], pads=[side // 2] * 4
        )

    def entering(self, plain: PlainUNetSharp, source: str, node: str, factor: int) -> str:
        """What a node reads of another: pooled, as it is, or upsampled, through a convolution where there is one."""
        name, value = f"{source}_{node}", f"{source}.map"
        if factor == 0:
            return self.add("MaxPool", [value], f"{name}.pooled", kernel_shape=[2, 2], strides=[2, 2])
        if factor > 1:
            scales = self.constant(f"{name}.scales", np.array([1, 1, factor, factor], np.float32))
            value = self.add(
                "Resize", [value, "", scales], f"{name}.upsampled", mode="linear",
                coordinate_transformation_mode="align_corners",
            )  # fmt: skip
        if name in plain.links:
            value = self.add("Relu", [self.convolution(f"{name}.conv", plain.links[name], value)], f"{name}.map")
        return value

    def block(self, name: str, layers: nn.Module, entering: list[str]) -> str:
        """conv3x3-ReLU twice."""
        assert isinstance(layers, nn.Sequential)
        value = self.add("Concat", entering, f"{name}.read", axis=1) if len(entering) > 1 else entering[0]
        value = self.add("Relu", [self.convolution(f"{name}.conv1", layers[0], value)], f"{name}.first")
        return self.add("Relu", [self.convolution(f"{name}.conv2", layers[2], value)], f"{name}.map")

    def presence(self, name: str, layers: nn.Module) -> str:
        """A guided module: probability that the image holds a target."""
        assert isinstance(layers, nn.Sequential)
        means = self.add("GlobalAveragePool", [f"{name}.map"], f"{name}.means")
        tops = self.add("GlobalMaxPool", [f"{name}.map"], f"{name}.tops")
        value = self.add("Concat", [means, tops], f"{name}.pooled", axis=1)
        value = self.add("Flatten", [value], f"{name}.flat", axis=1)
        for place, layer in enumerate(layers):
            label = f"{name}.guide{place}"
            if isinstance(layer, nn.Linear):
                value = self.add("Gemm", [value, *self._parameters(label, layer)], label, transB=1)
            else:
                value = self.add("Relu", [value], label)
        value = self.add("Softmax", [value], f"{name}.shares", axis=1)
        return self.add("Gather", [value, self.constant(f"{name}.column", np.array(1))], f"{name}_presence", axis=1)

    def _parameters(self, name: str, layer: nn.Conv2d | nn.Linear) -> list[str]:
        assert layer.bias is not None
        return [
            self.constant(f"{name}.weight", layer.weight.numpy()),
            self.constant(f"{name}.bias", layer.bias.numpy()),
        ]
