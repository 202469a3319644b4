"""Pixels in, labels out: how long it takes, how much memory, and which stage takes it.

    python benchmarks/pipeline.py [--sizes 512 1024 2048 4096] [--levels 1 2 4] [--device cpu] [--threads 2]
                                  [--clock wall|cpu] [--monai]

The picture is stained tissue of scikit-image, mirrored to the side wanted; the model is the shipped one, at its own
scale. With ``--monai`` (pip install monai) the plain network at L4 in MONAI's SlidingWindowInferer, and MONAI's
BasicUNetPlusPlus in the same, are measured up to 4096 px too: probabilities only, without labels. Rows are added to
benchmarks/pipeline.json one by one, and those that are there are not measured again: stop it and start it as you like.
Also writes benchmarks/pipeline.md.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from network import Meter, Plain, drawn, machine
from numpy.typing import NDArray
from skimage.data import immunohistochemistry

import napari_unetsharp
from napari_unetsharp.inference.engine import Engine
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.inference.tiling import mirrored
from napari_unetsharp.network.checkpoint import load_checkpoint
from napari_unetsharp.network.device import choose_device
from napari_unetsharp.nuclei.instances import count_nuclei, label_nuclei

HERE = Path(__file__).parent
MODEL = Path(napari_unetsharp.__file__).parent / "models" / "nuclei.safetensors"
WINDOW = 256
"""Side of the windows that MONAI slides, with a quarter of overlap, its default."""


def picture(side: int) -> NDArray[np.uint8]:
    """Tissue, mirrored until it is large enough."""
    tissue = immunohistochemistry()
    rows, columns = (mirrored(0, side, length) for length in tissue.shape[:2])
    return np.ascontiguousarray(tissue[rows[:, None], columns[None, :]])


def ours(meter: Meter, side: int, level: int) -> dict[str, Any]:
    """One pass of the predictor and its labels, with the seconds of each stage."""
    checkpoint, plane, stages = load_checkpoint(MODEL), picture(side), Counter[str]()
    predictor = Predictor(checkpoint, meter.device.kind, level, (f"x0{level}",))
    evaluate, found = Engine.logits, []

    def timed(engine: Engine, *given: Any) -> dict[str, torch.Tensor]:
        kept: list[dict[str, torch.Tensor]] = []
        stages["network"] += meter.seconds(lambda: kept.append(evaluate(engine, *given)))
        return kept[0]

    def run() -> None:
        prediction = predictor.predict(plane, nucleus_size=checkpoint.metadata.nucleus_size)
        core = prediction.cores.get(f"x0{level}")
        stages["labels"] = meter.seconds(lambda: found.append(label_nuclei(prediction.full[f"x0{level}"], core=core)))

    Engine.logits = timed  # type: ignore[method-assign]
    try:
        total: list[float] = []
        peak = meter.peak_mb(lambda: total.append(meter.seconds(run)))
    finally:
        Engine.logits = evaluate  # type: ignore[method-assign]
    stages["rest"] = total[0] - stages["network"] - stages["labels"]
    return {"seconds": total[0], "stages": dict(stages), "peak_mb": peak, "nuclei": count_nuclei(found[0])}


def sliding(meter: Meter, side: int, network: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, Any]:
    """A network in MONAI's sliding windows."""
    from monai.inferers import SlidingWindowInferer

    inferer = SlidingWindowInferer((WINDOW, WINDOW), sw_batch_size=1)
    image = torch.from_numpy(picture(side)).permute(2, 0, 1)[None].float().to(meter.device.torch) / 255
    total: list[float] = []

    @torch.inference_mode()
    def run() -> None:
        torch.sigmoid(inferer(image, network))

    peak = meter.peak_mb(lambda: total.append(meter.seconds(run)))
    return {"seconds": total[0], "peak_mb": peak}


def compared(meter: Meter) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
    """What MONAI's inferer is put around."""
    from monai.networks.nets import BasicUNetPlusPlus

    plain = Plain(drawn(meter.device))
    other = BasicUNetPlusPlus(spatial_dims=2, in_channels=3, out_channels=1, features=(32, 64, 128, 256, 512, 32))
    other = other.eval().to(meter.device.torch)

    def run_plain(part: torch.Tensor) -> torch.Tensor:
        return plain(part.contiguous(memory_format=torch.channels_last))["x04"]

    return {"plain network, MONAI windows": run_plain, "BasicUNetPlusPlus, MONAI windows": lambda part: other(part)[-1]}


def page(rows: list[dict[str, Any]]) -> str:
    lines = [
        "# Pixels in, labels out", "",
        "Written by `python benchmarks/pipeline.py`, which says what is done. One pass each; the rest is reading, "
        "scaling of brightness, and stitching.", "",
        "| px | way | s | Mpx/s | network | labels | rest | rest, s/Mpx | peak MB | nuclei | threads, clock, load |",
        "|---:|---|" + "---:|" * 8 + "---|",
    ]  # fmt: skip
    for row in sorted(rows, key=lambda row: (row["side"], row["way"])):
        area, stages = row["side"] ** 2 / 1e6, row.get("stages", {})
        shares = [f"{stages[name] / row['seconds']:.0%}" if stages else "" for name in ("network", "labels", "rest")]
        rest = f"{(stages['labels'] + stages['rest']) / area:.2f}" if stages else ""
        peak = "" if row["peak_mb"] is None else f"{row['peak_mb']:.0f}"
        named = row["machine"]
        cells = [row["side"], row["way"], f"{row['seconds']:.2f}", f"{area / row['seconds']:.3f}", *shares, rest, peak,
                 row.get("nuclei", ""), f"{named['threads']}, {named['clock']}, {named['load']}"]  # fmt: skip
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    machines = sorted({f"{row['machine']['processor']}; {row['machine']['device']}" for row in rows})
    return "\n".join([*lines, "", '"Rest, s/Mpx" counts labels too. Machine: ' + "; ".join(machines) + ".", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024, 2048, 4096])
    parser.add_argument("--levels", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--monai", action="store_true")
    parser.add_argument("--out", type=Path, default=HERE / "pipeline.json")
    given = parser.parse_args()
    if given.threads or given.clock == "cpu":
        torch.set_num_threads(1 if given.clock == "cpu" else given.threads)
    meter = Meter(choose_device(given.device), given.clock)
    rows = json.loads(given.out.read_text(encoding="utf-8")) if given.out.is_file() else []
    others = compared(meter) if given.monai else {}
    for side in given.sizes:
        ways = {f"L{level}": partial(ours, meter, side, level) for level in given.levels}
        if side <= 4096:
            ways |= {name: partial(sliding, meter, side, network) for name, network in others.items()}
        for way, run in ways.items():
            named = machine(meter.device, given.clock)
            same = [row for row in rows if (row["side"], row["way"]) == (side, way)
                    and row["machine"] | {"load": ""} == named | {"load": ""}]  # fmt: skip
            if same:
                continue
            rows.append({"side": side, "way": way, "machine": named} | run())
            print(side, way, f"{rows[-1]['seconds']:.2f} s", flush=True)
            given.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
            given.out.with_suffix(".md").write_text(page(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
