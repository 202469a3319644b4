"""How long a review of 20,000 nuclei takes to save, load and export, and whether kill -9 ever leaves a torn one.

Give ``python benchmarks/review_folder.py [--kills 200]`` on Linux or macOS.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from napari_unetsharp.images.drawn import draw_fluorescence
from napari_unetsharp.images.image import Image
from napari_unetsharp.nuclei import answers
from napari_unetsharp.nuclei.filling import fill_outlines
from napari_unetsharp.nuclei.identity import identify
from napari_unetsharp.nuclei.outlines import outlines
from napari_unetsharp.nuclei.review import Review
from napari_unetsharp.nuclei.review_folder import load_review, save_review
from napari_unetsharp.nuclei.review_pieces import Pieces, measure_pieces
from napari_unetsharp.nuclei.states import State


def field(side: int = 4096, pitch: int = 29) -> np.ndarray[Any, Any]:
    """Label ellipses of 14 to 26 px on a grid: 19,881 of them, a third of the pixels."""
    dice, half = np.random.default_rng(0), pitch // 2
    rows, columns = np.mgrid[-half : half + 1, -half : half + 1]
    labels = np.zeros((side, side), np.int32)
    for number, (top, left) in enumerate(np.ndindex(side // pitch, side // pitch), start=1):
        height, width = dice.uniform(7, 13, 2)
        inside = (rows / height) ** 2 + (columns / width) ** 2 <= 1
        labels[top * pitch :, left * pitch :][:pitch, :pitch][inside] = number
    return labels


def measured() -> dict[str, Any]:
    """Seconds of this process for each part, and whether what was loaded is what was saved."""
    labels = field()
    pixels = np.random.default_rng(1).integers(0, 256, (*labels.shape, 3), dtype=np.uint8)
    image = Image(pixels, "YXC", (0.25, 0.25), ("micrometer",) * 2, "field")
    review = Review.start(None, identify(pixels, "YXC"), labels, "somebody")
    review.apply(answers.answered, list(range(1, 2000)), State.NOT, how="bulk")
    found: dict[str, Any] = {"nuclei": len(review.nuclei)}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        begin = time.process_time()
        result = work()
        found[name] = round(time.process_time() - begin, 2)
        return result

    pieces = timed("copy", lambda: Pieces.of(review))
    timed("measure", lambda: measure_pieces(pieces, pixels, (0.25, 0.25)))
    polygons = timed("trace outlines", lambda: list(outlines(pieces.labels)))
    filled = timed("fill outlines", lambda: fill_outlines(labels.shape, polygons).labels)
    with tempfile.TemporaryDirectory() as folder:
        timed("save", lambda: save_review(folder, pieces, image))
        loaded = timed("load", lambda: load_review(folder))
        found["megabytes"] = round(sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6, 1)
    same = np.array_equal(filled, pieces.labels) and np.array_equal(loaded.labels, pieces.labels)
    return found | {"bit for bit": same and loaded.nuclei == pieces.nuclei}


def killed(times: int, seed: int = 1) -> dict[str, Any]:
    """Kill a process that saves without end, at random moments; fails where a set is neither old nor new."""
    picture, labels = draw_fluorescence(1, 256, 256, 60)
    image, identity = Image(picture, "YX"), identify(picture, "YX")

    def save(folder: Path, version: int) -> None:
        shifted = np.roll(labels, version % 200, axis=1)
        save_review(folder, Review.start(None, identity, shifted, str(version)), image)

    folder, dice, unfinished, last = Path(tempfile.mkdtemp()) / "review", random.Random(seed), 0, 0
    save(folder, last)
    for _ in range(times):
        ours, theirs = os.pipe()
        child = os.fork()
        if not child:
            for version in range(last + 1, 10**9):
                save(folder, version)
                os.write(theirs, f"{version}\n".encode())
        os.close(theirs)
        time.sleep(dice.uniform(0, 0.5))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with open(ours, "rb") as told:
            saved = [last, *map(int, told.read().split())][-1]
        unfinished += any(path.name.endswith(".new") for path in folder.iterdir())
        loaded = load_review(folder)
        last = int(loaded.record["who"])
        if last not in (saved, saved + 1) or not np.array_equal(loaded.labels, np.roll(labels, last % 200, axis=1)):
            raise AssertionError(f"told {saved}, found {last}")
    shutil.rmtree(folder.parent)
    return {"kills": times, "in the middle of a save": unfinished, "saves": last, "torn": 0}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=0)
    wanted = parser.parse_args()
    print(json.dumps(killed(wanted.kills) if wanted.kills else measured(), indent=1))
