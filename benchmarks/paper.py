"""U-Net, wide U-Net, UNet++, UNet3+ and UNet# side by side, in the UNet# paper's protocol and in ours.

    python benchmarks/paper.py ../shared/data/dsb2018 --steps 60 --batch 4
    python benchmarks/paper.py ../shared/data/dsb2018 --epochs 100 --batch 128 --device cuda --seeds 1 2 3
    python benchmarks/paper.py --report

Each finished row is appended to paper.jsonl as one line, and paper.md is written from it. A row that is there is not
run again; an interrupted one goes on from its last state in ``--cache``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

import torch
from paper_measures import measure, pooled_iou
from paper_report import page
from paper_rows import PROTOCOLS, ROWS, Protocol, Row
from paper_samples import Batches, Picture, load, share_with_neighbour, split
from paper_training import Schedule, train
from paper_yardstick import yardsticks

import napari_unetsharp
from napari_unetsharp.network.wired import WiredNetwork

HERE = Path(__file__).parent
RECORD, PAGE = HERE / "paper.jsonl", HERE / "paper.md"
KEY = ("row", "protocol", "seed", "schedule", "device")


def main() -> None:
    """Run what was asked for and is not there yet; write the page."""
    wanted = _arguments()
    if not wanted.report:
        torch.set_num_threads(wanted.threads)
        end = time.monotonic() + 60 * wanted.minutes
        run(wanted, lambda: time.monotonic() > end)
    PAGE.write_text(page(read_record(wanted.record)), encoding="utf-8")


def run(wanted: argparse.Namespace, stop: Callable[[], bool]) -> None:
    """Run rows in order of importance until all are done or `stop` says so."""
    _code()
    _note_split(wanted.dataset, wanted.record)
    for name in wanted.protocols:
        protocol = PROTOCOLS[name]
        training, validation = (
            load(samples, protocol, wanted.size, wanted.cache) for samples in split(wanted.dataset, protocol)
        )
        schedule = _schedule(wanted, len(training))
        _note_yardsticks(protocol, schedule, validation[:: schedule.every], wanted.record)
        for seed in wanted.seeds:
            for row in ROWS.values():
                if any(fnmatch(row.name, pattern) for pattern in wanted.rows) and not stop():
                    one_row(row, protocol, schedule, seed, training, validation[:: schedule.every], wanted, stop)


def one_row(
    row: Row, protocol: Protocol, schedule: Schedule, seed: int, training: list[Picture], validation: list[Picture],
    wanted: argparse.Namespace, stop: Callable[[], bool],
) -> None:  # fmt: skip
    """Train and measure one row and append it, unless the record has it."""
    key = dict(zip(KEY, (row.name, protocol.name, seed, schedule.as_dict(), wanted.device), strict=True))
    if any(all(entry.get(part) == key[part] for part in KEY) for entry in read_record(wanted.record)):
        print(f"{row.title} ({protocol.name}, seed {seed}) is done", flush=True)
        return
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    state = wanted.cache / f"{name}.pt"

    def follow(network: WiredNetwork) -> float:
        return pooled_iou(network, validation, protocol, wanted.device)

    batches = Batches(training, protocol, schedule.batch, schedule.size, seed)
    network, course = train(row, batches, schedule, state, follow, stop, wanted.device)
    if course.step < schedule.steps:
        print(f"{row.title} ({protocol.name}, seed {seed}) stopped at step {course.step}", flush=True)
        return
    started = time.monotonic()
    measured = measure(network, validation, protocol, wanted.device)
    entry = key | {
        "kind": "row", "title": row.title, "supervised": row.supervised, "parameters": row.parameters(schedule.width),
        "output": network.wiring.output, "images": [len(training), len(validation)],
        "seconds": round(course.seconds, 1), "cpu_seconds": round(course.cpu_seconds, 1),
        "measuring_seconds": round(time.monotonic() - started, 1), "batches_checksum": course.checksum,
        "last_loss": course.losses[-1], "curve": course.curve, "measured": measured, **circumstances(),
    }  # fmt: skip
    append(wanted.record, entry)
    state.unlink(missing_ok=True)
    iou = measured[network.wiring.output]["iou_pooled"]
    print(f"{row.title} ({protocol.name}, seed {seed}): IoU {iou:.4f} after {course.seconds:.0f} s", flush=True)


def circumstances() -> dict[str, Any]:
    """What a number may depend on besides its settings."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"), "commit": _commit(), "code": _code(),
        "machine": _machine(), "torch": torch.__version__, "threads": torch.get_num_threads(),
    }  # fmt: skip


def read_record(record: Path) -> list[dict[str, Any]]:
    """All lines; a last one that was cut short by a crash is left out."""
    entries = []
    for line in record.read_text(encoding="utf-8").splitlines() if record.is_file() else []:
        try:
            entries.append(json.loads(line))
        except json.JSONDecodeError:
            print(f"{record}: a damaged line is left out", flush=True)
    return entries


def append(record: Path, entry: dict[str, Any]) -> None:
    """Add one line, on a line of its own even where the last one was cut short."""
    whole = not record.is_file() or not record.stat().st_size or record.read_bytes().endswith(b"\n")
    with record.open("a", encoding="utf-8") as file:
        file.write(("" if whole else "\n") + json.dumps(entry) + "\n")


def _note_split(dataset: Path, record: Path) -> None:
    if any(entry["kind"] == "split" for entry in read_record(record)):
        return
    groups = {part: split(dataset, PROTOCOLS["paper"])[index] for index, part in enumerate(("train", "val"))}
    images = {part: len(samples) for part, samples in groups.items()}
    append(record, {"kind": "split", "images": images, "share_with_neighbour": round(share_with_neighbour(dataset), 3)})


def _note_yardsticks(protocol: Protocol, schedule: Schedule, pictures: list[Picture], record: Path) -> None:
    key = {"kind": "yardstick", "protocol": protocol.name, "size": schedule.size, "every": schedule.every}
    if not any(key.items() <= entry.items() for entry in read_record(record)):
        append(record, key | {"images": len(pictures), "measured": yardsticks(pictures)})


def _schedule(wanted: argparse.Namespace, images: int) -> Schedule:
    steps = wanted.steps or max(1, round(wanted.epochs * images / wanted.batch))
    return Schedule(
        steps, wanted.batch, wanted.size, wanted.rate, wanted.decay, wanted.width, wanted.every, wanted.evaluations
    )


def _commit() -> str:
    """The commit, with a plus where files of the package or the benchmarks differ from it."""

    def git(*words: str) -> str:
        found = subprocess.run(["git", *words], cwd=HERE, capture_output=True, text=True, check=False)
        return found.stdout.strip()

    changed = git("status", "--porcelain", "--", "../napari_unetsharp", "*.py")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + ("+" if changed else "")


@cache
def _code() -> str:
    """Hash of everything that a result depends on, as it is at the start: rows of one table must agree in it."""
    package = Path(napari_unetsharp.__file__).parent
    files = [package / "network" / f"{name}.py" for name in (
        "wiring", "wired", "blocks", "upconv", "bands", "forms", "strips", "classification"
    )] + [package / "network" / "forms.json"]  # fmt: skip
    files += [package / "training" / f"{name}.py" for name in ("losses", "targets")]
    files += [
        package / "nuclei" / f"{name}.py"
        for name in ("instances", "label_cut", "label_window", "label_holes", "matching", "metrics")
    ]
    files += [HERE / f"paper_{name}.py" for name in ("rows", "samples", "training", "measures")]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


def _machine() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text(encoding="utf-8").splitlines() if listing.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.processor() or platform.machine()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("dataset", type=Path, nargs="?", help="folder with train/ and val/")
    add("--rows", nargs="+", default=["*"], help=f"names or patterns among {', '.join(ROWS)}")
    add("--protocols", nargs="+", default=["paper"], choices=list(PROTOCOLS))
    add("--seeds", nargs="+", type=int, default=[1])
    add("--steps", type=int, default=0, help="instead of --epochs")
    add("--epochs", type=float, default=100.0)
    add("--batch", type=int, default=16)
    add("--size", type=int, default=96, help="side of a sample in pixels")
    add("--rate", type=float, default=1e-3)
    add("--decay", type=float, default=1e-4)
    add("--width", type=float, default=1.0, help="share of the published widths")
    add("--every", type=int, default=1, help="measure every n-th validation image only")
    add("--evaluations", type=int, default=1, help="how often to follow the IoU, the end included")
    add("--minutes", type=float, default=1e9, help="stop after this time; the row at work goes on next time")
    add("--device", default="cpu")
    add("--threads", type=int, default=1)
    add("--record", type=Path, default=RECORD)
    add("--cache", type=Path, default=HERE.parent / "out" / "paper", help="resized images and states of rows at work")
    add("--report", action="store_true", help="only write the page")
    wanted = parser.parse_args()
    if not wanted.report and wanted.dataset is None:
        parser.error("give the dataset, or --report")
    return wanted


if __name__ == "__main__":
    main()
