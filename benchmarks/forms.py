"""Measure the forms of the same arithmetic, and write the table by which the network chooses among them.

    python benchmarks/forms.py [--repeats 3] [--parts links strips]

Links: a map from a row below is upsampled and convolved, or its nine taps are applied first and spread by one matrix
(dense) or by blocks (banded); forward and backward, as in training, of 33,000 pixels or more. Strips: the size of the
rectangles in which the predictor evaluates the grid on a CPU. Counted are the seconds of one thread, so that other
work on the machine hardly matters. Writes napari_unetsharp/network/forms.json, which is committed: at run time nothing
is timed, and the same input gives the same bits.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measured_on
import torch

from napari_unetsharp.network import forms
from napari_unetsharp.network.folding import folded
from napari_unetsharp.network.forms import Form, StripForm
from napari_unetsharp.network.grid import BRANCHES, NODES, WIDTHS
from napari_unetsharp.network.strips import StripPass
from napari_unetsharp.network.unet_sharp import UNetSharp
from napari_unetsharp.network.upconv import Window, convolve_upsampled

TARGET = Path(forms.__file__).with_name(forms.TABLE)
SIDES = (64, 96, 128, 256, 512)
PIXELS = 2 * 128**2
HOPELESS = 2.5
"""A form that took so many times the best is not measured at longer sides."""
RECTANGLES = ((32, 256), (64, 256), (64, 128), (32, 512))
LINKS = sorted({(node.scale, link.factor) for node in NODES.values() for link in node.inputs if link.factor > 1})


def seconds(run: Callable[[], object], repeats: int) -> float:
    """Least of several calls after one that isn't counted."""
    run()
    times = []
    for _ in range(repeats):
        started = time.process_time()
        run()
        times.append(time.process_time() - started)
    return min(times)


def link_times(scale: int, factor: int, side: int, repeats: int, among: list[Form]) -> dict[Form, float]:
    """Milliseconds of each form at an image of this side."""
    row = scale.bit_length() - 1
    channels, outputs = WIDTHS[row + factor.bit_length() - 1], WIDTHS[row]
    low, batch = side // scale // factor, max(1, PIXELS // side**2)
    coarse = torch.randn(batch, channels, low, low).contiguous(memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(outputs, channels, 3, 3).contiguous(memory_format=torch.channels_last).requires_grad_()
    pull = torch.randn(batch, outputs, low * factor, low * factor).contiguous(memory_format=torch.channels_last)
    window, found = Window.whole(side, side), {}
    for form in among:

        def run(form: Form = form) -> None:
            fine = convolve_upsampled(coarse, weight, factor, window, scale, form)
            torch.autograd.grad(fine, (coarse, weight), pull)

        found[form] = round(1000 * seconds(run, repeats), 3)
    return found


def measure_links(repeats: int) -> list[dict[str, Any]]:
    rows = []
    for scale, factor in LINKS:
        among: list[Form] = ["upsample", "dense", "banded"]
        for side in SIDES:
            if side % (scale * factor) or side // scale // factor < 2:
                continue
            times = link_times(scale, factor, side, repeats, among)
            among = [form for form, time in times.items() if time < HOPELESS * min(times.values())]
            row = {"device": "cpu", "dtype": "float32", "scale": scale, "factor": factor, "side": side // scale}
            rows.append(row | {"form": min(times, key=times.__getitem__), "ms": times})
            print(rows[-1], flush=True)
        # beyond the longest: the better of those whose cost per pixel doesn't grow with the side
        lasting = {form: time for form, time in rows[-1]["ms"].items() if form != "dense"} or {"banded": 0}
        longer = {"side": 2 * rows[-1]["side"], "form": min(lasting, key=lasting.__getitem__), "ms": {}}
        rows.append(rows[-1] | longer)
    return rows


@torch.inference_mode()
def measure_strips(repeats: int) -> list[dict[str, Any]]:
    torch.manual_seed(1)
    network, window = folded(UNetSharp()), Window.whole(256, 512)
    image, rows = torch.randn(1, 3, 256, 512), []
    for dtype in (torch.float32, torch.bfloat16):
        times: dict[StripForm, float] = {}
        for height, width in RECTANGLES:
            for pairs in (False, True):
                task, entering = StripPass(network, dtype, StripForm(height, width, pairs)), image.to(dtype)

                def run(task: StripPass = task, entering: torch.Tensor = entering) -> None:
                    task.logits(entering, window, tuple(BRANCHES))

                times[StripForm(height, width, pairs)] = seconds(run, repeats)
                print(dtype, height, width, pairs, times[StripForm(height, width, pairs)], flush=True)
        best = min(times, key=times.__getitem__)
        rows.append({
            "dtype": str(dtype).removeprefix("torch."), "rows": best.rows, "columns": best.columns, "pairs": best.pairs,
            "seconds": {f"{form.rows} x {form.columns}{', pairs' if form.pairs else ''}": round(value, 3)
                        for form, value in times.items()},
        })  # fmt: skip
    return rows


def machine() -> str:
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{measured_on.machine()}, {capability}, one thread, torch {torch.__version__}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--parts", nargs="+", choices=("links", "strips"), default=["links", "strips"])
    given = parser.parse_args()
    torch.set_num_threads(1)
    table = json.loads(TARGET.read_text(encoding="utf-8"))
    table["written by"], table["machine"] = "benchmarks/forms.py", machine()
    for part, measure in (("links", measure_links), ("strips", measure_strips)):
        if part in given.parts:
            table[part] = measure(given.repeats)
            lines = ",\n  ".join(json.dumps(row) for row in table[part])
            print(f"{part}: {len(table[part])} rows\n  {lines}")
    rows = {part: "[\n  " + ",\n  ".join(map(json.dumps, table[part])) + "\n ]" for part in ("links", "strips")}
    head = {key: value for key, value in table.items() if key not in rows}
    text = json.dumps(head, indent=1)[:-2] + "".join(f',\n "{part}": {lines}' for part, lines in rows.items()) + "\n}\n"
    json.loads(text)
    TARGET.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
