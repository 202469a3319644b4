"""Measure the network against its plain form: upsample, concatenate, convolve.

    python benchmarks/network.py [--sizes 256 512 1024] [--levels 1 2 3 4] [--repeats 3] [--device cpu]
                                 [--threads 2] [--clock wall|cpu] [--parts floor inference training]

The plain form is what the published code does, channels-last. Ours is what the predictor runs (batch norm folded, no
upsampled map) and, for the training step, the network itself. Both are called in turn; a ratio is the median over the
turns. On a machine that others use as well, ``--clock cpu`` counts one thread's own seconds. Writes
benchmarks/network.json and .md; parts that are not asked for are kept from the last run.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import measured_on
import torch
from network_page import page
from torch import Tensor, nn
from torch.nn import functional

from napari_unetsharp.inference.engine import Engine, half_of
from napari_unetsharp.network.device import Device, choose_device
from napari_unetsharp.network.grid import NODES, branches_of_level, nodes_of_level
from napari_unetsharp.network.unet_sharp import UNetSharp
from napari_unetsharp.network.upconv import Window

HERE = Path(__file__).parent
PARTS = ("floor", "inference", "training")
PLAIN_TILE = 256
"""Side at which the plain form is fastest on a CPU: what is in work fits the caches."""

Run = Callable[[], object]


class Plain(nn.Module):
    """The same weights, evaluated as the published code does."""

    def __init__(self, network: UNetSharp) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, level: int = 4) -> dict[str, Tensor]:
        maps: dict[str, Tensor] = {}
        for name in nodes_of_level(level):
            node, block = NODES[name], self.network.nodes[name]
            if not node.inputs:
                entering = image
            elif node.column == 0:
                entering = functional.max_pool2d(maps[node.inputs[0].source], 2)
            else:
                entering = torch.cat([_larger(maps[link.source], link.factor) for link in node.inputs], 1)
            first = torch.relu(block.bn1(block.conv1(entering)))
            maps[name] = torch.relu(block.bn2(block.conv2(first)))
        return self.network.head_logits(maps, level)


def _larger(values: Tensor, factor: int) -> Tensor:
    if factor == 1:
        return values
    return functional.interpolate(values, scale_factor=factor, mode="bilinear", align_corners=True)


def drawn(device: Device) -> UNetSharp:
    """The whole network with drawn weights; its statistics are those of a drawn picture."""
    torch.manual_seed(1)
    network = UNetSharp()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.randn(1, 3, 96, 96))
    for norm in norms:
        norm.momentum = 0.1
    return network.eval().to(device.torch, memory_format=torch.channels_last)


def multiply_adds(level: int, identity: bool) -> float:
    """Of all 3 x 3 convolutions, per pixel of the image; upsampling and heads are not counted."""
    widths, total = (32, 64, 128, 256, 512), 0.0
    for name in nodes_of_level(level):
        node = NODES[name]
        width, share = widths[node.row], 1 / node.scale**2
        total += 9 * width * width * share
        for link in node.inputs:
            pixels = share / link.factor**2 if identity else share
            total += 9 * widths[NODES[link.source].row] * width * pixels
        if not node.inputs:
            total += 9 * 3 * width
    return total


class Meter:
    """Seconds and peak memory of calls."""

    def __init__(self, device: Device, clock: str) -> None:
        self.device = device
        self._clock = time.process_time if clock == "cpu" else time.perf_counter

    def seconds(self, run: Run) -> float:
        self._wait()
        started = self._clock()
        run()
        self._wait()
        return self._clock() - started

    def in_turn(
        self, runs: dict[str, Run], repeats: int, forget: Run = lambda: None
    ) -> tuple[dict[str, list[float]], dict[str, float | None]]:
        """Seconds and peak memory; every run once per turn, so that all of them see the same neighbours."""
        times: dict[str, list[float]] = {name: [] for name in runs}
        peaks: dict[str, float | None] = {}
        for turn in range(repeats):
            for name, run in runs.items():
                if turn:
                    times[name].append(self.seconds(run))
                else:
                    forget()
                    peaks[name] = self.peak_mb(lambda: times[name].append(self.seconds(run)))  # noqa: B023
        return times, peaks

    def peak_mb(self, run: Run) -> float | None:
        """Memory of one call above what was there before; None where the system can't tell."""
        gc.collect()
        if self.device.kind == "cuda":
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            run()
            return (torch.cuda.max_memory_allocated() - before) / 1e6
        try:
            ctypes.CDLL("libc.so.6").malloc_trim(0)
            Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
        except OSError:
            run()
            return None
        before = _status("VmRSS")
        run()
        return (_status("VmHWM") - before) / 1e3

    def _wait(self) -> None:
        if self.device.kind == "cuda":
            torch.cuda.synchronize()


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))


def measure_floor(meter: Meter, repeats: int) -> dict[str, Any]:
    """Rate of plain convolutions of the grid's own shapes, GFLOP/s."""
    rates: dict[str, float] = {}
    half = half_of(meter.device.kind)
    for dtype in (torch.float32, *([half] if half else [])):
        found = []
        for row, width in enumerate((32, 64, 128, 256)):
            side = 256 // 2**row
            image = torch.randn(1, width, side, side, device=meter.device.torch).to(dtype)
            weight = torch.randn(width, width, 3, 3, device=meter.device.torch).to(dtype)
            image, weight = (x.contiguous(memory_format=torch.channels_last) for x in (image, weight))

            def run(image: Tensor = image, weight: Tensor = weight) -> None:
                for _ in range(4):
                    functional.conv2d(image, weight, padding=1)

            run()
            work = 4 * 2 * 9 * width**2 * side**2 / 1e9
            found.append(work / median(meter.seconds(run) for _ in range(max(5, repeats))))
        rates[_name(dtype)] = median(found)
    return {
        "gflops": rates,
        "multiply_adds": {
            f"L{level}": {"plain": multiply_adds(level, False), "ours": multiply_adds(level, True)}
            for level in (1, 2, 3, 4)
        },
    }


@torch.inference_mode()
def measure_inference(meter: Meter, sizes: list[int], levels: list[int], repeats: int) -> list[dict[str, Any]]:
    """Ours and the plain form, each in float32 and half."""
    network, rows = drawn(meter.device), []
    half = half_of(meter.device.kind)
    dtypes = [torch.float32, *([half] if half else [])]
    forms = {dtype: (Plain(drawn(meter.device).to(dtype)), Engine(network, meter.device, dtype)) for dtype in dtypes}
    for side in sizes:
        image = torch.randn(1, 3, side, side, device=meter.device.torch)
        for level in levels:
            runs: dict[str, Run] = {}
            for dtype, (plain, engine) in forms.items():
                entering = image.to(dtype).contiguous(memory_format=torch.channels_last)
                runs |= _ways(plain, engine, entering, level)

            def forget() -> None:
                for _, engine in forms.values():
                    engine.release()

            times, peaks = meter.in_turn(runs, repeats if side < 1024 else max(1, repeats // 2), forget)
            forget()
            row = {"side": side, "level": level, "seconds": times, "peak_mb": peaks}
            rows.append(row)
            print({name: round(median(values), 3) for name, values in times.items()}, side, level, flush=True)
    return rows


def _ways(plain: Plain, engine: Engine, image: Tensor, level: int) -> dict[str, Run]:
    side, name = image.shape[-1], _name(image.dtype)
    branches = branches_of_level(level)

    def tiled() -> None:
        for top in range(0, side, PLAIN_TILE):
            for left in range(0, side, PLAIN_TILE):
                part = image[..., top : top + PLAIN_TILE, left : left + PLAIN_TILE]
                plain(part.contiguous(memory_format=torch.channels_last), level)

    ways: dict[str, Run] = {
        f"plain {name}": lambda: plain(image, level),
        f"ours {name}": lambda: engine.logits(image, Window.whole(side, side), branches),
    }
    if side > PLAIN_TILE and engine.device.kind == "cpu":
        ways[f"plain in tiles {name}"] = tiled
    return ways


def measure_training(meter: Meter, repeats: int) -> list[dict[str, Any]]:
    """Forward and backward over all branches; the optimiser's step, the same for both, is left out."""
    ours = drawn(meter.device).train()
    plain = Plain(drawn(meter.device)).train()
    rows = []
    for side in (96, 128):
        image = torch.randn(8, 3, side, side, device=meter.device.torch)
        image = image.contiguous(memory_format=torch.channels_last)

        def step(network: nn.Module, image: Tensor = image) -> None:
            network.zero_grad(set_to_none=True)
            losses = [
                functional.binary_cross_entropy_with_logits(logits, torch.zeros_like(logits))
                for logits in network(image).values()
            ]
            torch.stack(losses).mean().backward()

        runs: dict[str, Run] = {"plain float32": lambda: step(plain), "ours float32": lambda: step(ours)}
        times, peaks = meter.in_turn(runs, repeats)
        rows.append({"side": side, "crops": 8, "seconds": times, "peak_mb": peaks})
        print({name: round(median(values), 3) for name, values in times.items()}, side, flush=True)
    return rows


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def machine(device: Device, clock: str) -> dict[str, Any]:
    return {
        "processor": measured_on.machine(),
        "commit": measured_on.commit(),
        "device": f"{device.kind}: {device.name}",
        "threads": torch.get_num_threads(),
        "clock": clock,
        "torch": torch.__version__,
        "load": measured_on.load(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--levels", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--out", type=Path, default=HERE / "network.json")
    given = parser.parse_args()
    threads = 1 if given.clock == "cpu" else given.threads
    if threads:
        torch.set_num_threads(threads)
    device = choose_device(given.device)
    meter = Meter(device, given.clock)
    result = json.loads(given.out.read_text()) if given.out.is_file() else {}
    for part in given.parts:
        named = machine(device, given.clock)
        if part == "floor":
            rows: Any = measure_floor(meter, given.repeats)
        elif part == "inference":
            rows = measure_inference(meter, given.sizes, given.levels, given.repeats)
        else:
            rows = measure_training(meter, given.repeats)
        result[part] = {"machine": named, "rows": rows}
        given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        given.out.with_suffix(".md").write_text(page(result), encoding="utf-8")


if __name__ == "__main__":
    main()
