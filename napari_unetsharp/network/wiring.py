"""U-Net and its relatives as wirings of one grid: who reads whom, in which order, at which scale.

A wiring is plain data. Built from the same blocks by `napari_unetsharp.network.wired`, two networks differ in their
wiring and in nothing else. Nodes have the names of the grid in every wiring, ``x{row}{column}``: x00 to x40 are the
encoder, x04 is the result at full resolution. Nothing here needs torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from napari_unetsharp.errors import SettingsError
from napari_unetsharp.network.grid import BRANCHES, DEPTH, NODES, WIDTHS, branches_of_level, nodes_of_level

WIDE_WIDTHS = (35, 70, 140, 280, 560)
"""Channels per row of the wide U-Net (Zhou et al., *UNet++*): about as many parameters as UNet++ has."""

GATHERED = 64
"""Channels to which a decoder node of UNet3+ brings each of its five sources (Huang et al., *UNet 3+*)."""


@dataclass(frozen=True)
class Input:
    """One input of a node.

    Attributes
    ----------
    source : str
        Name of the node that is read.
    factor : float
        2, 4, 8, 16: its map is upsampled so many times; 1: taken as it is; 0.5, 0.25, 0.125: max-pooled.
    channels : int, optional
        It passes conv3x3-BN-ReLU to so many channels after the change of scale; by default it enters as it is.
    """

    source: str
    factor: float
    channels: int | None = None


@dataclass(frozen=True)
class WiredNode:
    """One node of a wiring.

    Attributes
    ----------
    name : str
        ``x{row}{column}``; row r works at 1 / 2**r of the image's resolution.
    channels : int
        Of its map.
    inputs : tuple of Input
        In the order of concatenation; empty for the node that reads the image.
    convolutions : int
        How often conv3x3-BN-ReLU is applied: 2, or 1 as in the decoder of UNet3+.
    """

    name: str
    channels: int
    inputs: tuple[Input, ...]
    convolutions: Literal[1, 2] = 2

    @property
    def row(self) -> int:
        """Depth: 0 is full resolution."""
        return int(self.name[1])


@dataclass(frozen=True)
class Head:
    """A supervised output: a convolution on a node, at the node's own scale.

    Attributes
    ----------
    node : str
    kernel : int
        Side of the convolution, 1 or 3.
    """

    node: str
    kernel: int


@dataclass(frozen=True)
class Wiring:
    """A network but for its weights.

    Attributes
    ----------
    name : str
        As in the papers' tables, such as ``UNet++``.
    nodes : tuple of WiredNode
        In an order of evaluation.
    heads : tuple of Head
        The last one is the network's result; with deep supervision there are more.

    Raises
    ------
    SettingsError
        If a node reads one that comes later, or at a scale that doesn't fit, or a head has no node.
    """

    name: str
    nodes: tuple[WiredNode, ...]
    heads: tuple[Head, ...]

    def __post_init__(self) -> None:
        known: dict[str, WiredNode] = {}
        for node in self.nodes:
            for item in node.inputs:
                source = known.get(item.source)
                if source is None or item.factor != 2.0 ** (source.row - node.row):
                    raise SettingsError(
                        f"{self.name}: {node.name} can't read {item.source} at a factor of {item.factor}; a source "
                        "comes earlier, and its factor is 2 for each row that it lies deeper (0.5 if higher)"
                    )
            known[node.name] = node
        missing = [head.node for head in self.heads if head.node not in known]
        if missing or not self.heads:
            raise SettingsError(f"{self.name}: heads need a node each; {missing or 'there is no head'}")

    @property
    def output(self) -> str:
        """Node whose head is the network's result."""
        return self.heads[-1].node

    def node(self, name: str) -> WiredNode:
        """Look up a node by its name."""
        return next(node for node in self.nodes if node.name == name)


def unet(widths: tuple[int, ...] = WIDTHS, name: str = "U-Net") -> Wiring:
    """U-Net (Ronneberger et al.): a decoder node reads the encoder of its row and the decoder below it.

    Parameters
    ----------
    widths : tuple of int
        Channels of rows 0 to 4.
    name : str

    Returns
    -------
    Wiring
        Nine nodes, one head.
    """
    decoder = tuple(
        WiredNode(f"x{row}{column}", widths[row], (_row(row, 0), _below(row, column)))
        for row, column in _decoder_places()
    )
    return Wiring(name, (*_encoder(widths), *decoder), (Head(f"x0{DEPTH}", 1),))


def unet_plus_plus(deep_supervision: bool = True, widths: tuple[int, ...] = WIDTHS) -> Wiring:
    """UNet++ (Zhou et al.): a node reads all earlier ones of its row and the one next below.

    Parameters
    ----------
    deep_supervision : bool
        Heads on x01 to x04, or on x04 alone.
    widths : tuple of int
        Channels of rows 0 to 4.

    Returns
    -------
    Wiring
        Fifteen nodes, four heads or one.
    """
    nodes = []
    for name in nodes_of_level(DEPTH):
        row, column = NODES[name].row, NODES[name].column
        same_row = tuple(_row(row, earlier) for earlier in range(column))
        nodes.append(_encoder(widths)[row] if column == 0
                     else WiredNode(name, widths[row], (*same_row, _below(row, column))))  # fmt: skip
    heads = tuple(Head(f"x0{column}", 1) for column in range(1 if deep_supervision else DEPTH, DEPTH + 1))
    return Wiring("UNet++", tuple(nodes), heads)


def unet_3_plus(deep_supervision: bool = True, widths: tuple[int, ...] = WIDTHS, gathered: int = GATHERED) -> Wiring:
    """UNet3+ (Huang et al.): a decoder node reads all five scales at once.

    Each source is max-pooled or upsampled to the node's scale and brought to `gathered` channels by conv3x3-BN-ReLU;
    five of them together are fused by one more. Sources are the encoder down to the node's row and the decoder
    below it. Heads are 3x3; with deep supervision all decoder nodes and x40 have one.

    Parameters
    ----------
    deep_supervision : bool
        Heads on x40, x31, x22, x13 and x04, or on x04 alone.
    widths : tuple of int
        Channels of the encoder's rows 0 to 4.
    gathered : int
        Channels per source; a decoder node has five times as many.

    Returns
    -------
    Wiring
        Nine nodes, five heads or one.
    """
    decoder = []
    for row, _ in _decoder_places():
        above = tuple(Input(f"x{source}0", 2.0 ** (source - row), gathered) for source in range(row + 1))
        below = tuple(
            Input(f"x{source}{DEPTH - source}", 2.0 ** (source - row), gathered) for source in range(row + 1, DEPTH + 1)
        )
        decoder.append(WiredNode(f"x{row}{DEPTH - row}", (DEPTH + 1) * gathered, (*above, *below), 1))
    supervised = range(DEPTH if deep_supervision else 0, -1, -1)
    heads = tuple(Head(f"x{row}{DEPTH - row}", 3) for row in supervised)
    return Wiring("UNet3+", (*_encoder(widths), *decoder), heads)


def unet_sharp(
    deep_supervision: bool = True,
    level: int = DEPTH,
    full_scale: Literal["concat", "conv"] = "concat",
    widths: tuple[int, ...] = WIDTHS,
) -> Wiring:
    """UNet# (Qian et al.), read off the grid that `UNetSharp` itself is built from.

    Parameters
    ----------
    deep_supervision : bool
        Heads on all branches of the level, or on x0L alone.
    level : int
        1 to 4: a network of that level alone (isolated training).
    full_scale : "concat" or "conv"
        Inputs from two or more rows below enter as they are, or through conv3x3-BN-ReLU (Eq. 1).
    widths : tuple of int
        Channels of rows 0 to 4.

    Returns
    -------
    Wiring
        3, 6, 10 or 15 nodes; the result x0L comes last among the heads.
    """
    nodes = []
    for name in nodes_of_level(level):
        node = NODES[name]
        inputs = tuple(
            Input(
                link.source,
                0.5 if node.column == 0 else float(link.factor),
                widths[node.row] if full_scale == "conv" and link.factor > 2 else None,
            )
            for link in node.inputs
        )
        nodes.append(WiredNode(name, widths[node.row], inputs))
    result = f"x0{level}"
    supervised = [name for name in branches_of_level(level) if name != result] if deep_supervision else []
    heads = tuple(Head(name, BRANCHES[name].kernel) for name in (*supervised, result))
    return Wiring("UNet#" if level == DEPTH else f"UNet# L{level}", tuple(nodes), heads)


def _encoder(widths: tuple[int, ...]) -> tuple[WiredNode, ...]:
    pooled = [WiredNode(f"x{row}0", widths[row], (Input(f"x{row - 1}0", 0.5),)) for row in range(1, DEPTH + 1)]
    return (WiredNode("x00", widths[0], ()), *pooled)


def _decoder_places() -> list[tuple[int, int]]:
    """Row and column of the U's right arm, from the deepest upwards."""
    return [(row, DEPTH - row) for row in range(DEPTH - 1, -1, -1)]


def _row(row: int, column: int) -> Input:
    return Input(f"x{row}{column}", 1.0)


def _below(row: int, column: int) -> Input:
    return Input(f"x{row + 1}{column - 1}", 2.0)
