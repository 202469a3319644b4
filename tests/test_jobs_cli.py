"""`unetsharp segment` on many inputs: what is printed, how it ends, and that it can be stopped."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from small_networks import discs, one_thread, seeing_brightness  # noqa: F401

from napari_unetsharp.images.image import Image
from napari_unetsharp.images.tiff import write_tiff
from napari_unetsharp.launch import main

ROOT = Path(__file__).parents[1]
PICTURE = discs((50, 70), [(15, 15), (30, 50)], 7)


@pytest.fixture
def unetsharp(monkeypatch, capsys):
    def typed(*words):
        monkeypatch.setattr(sys, "argv", ["unetsharp", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err.strip()

    return typed


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Pictures, something that is none, a manifest, and a model, in the working folder."""
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for name in ("a", "b"):
        Pillow.fromarray(PICTURE).save(f"in/{name}.png")
    Path("in/c.png").write_text("no picture")
    stack = np.stack([PICTURE] * 400)
    write_tiff("film.tif", stack, Image(stack, "TYX"))
    Path("list.csv").write_text("path,name,plane\nin/a.png,first,\nfilm.tif,third plane,2\n")
    seeing_brightness().save("model.safetensors")
    return tmp_path


COMMON = ("-o", "out", "-c", "model.safetensors", "--level", 1)


def test_a_summary_and_the_reasons_of_failures(unetsharp, study):
    code, out, err = unetsharp("segment", "in", *COMMON)
    assert code == 2
    assert err.startswith("1 of 3 failed: ")
    assert re.search(r"done +2 +4 ", out)
    assert re.search(r"failed +1 +0 ", out)
    assert "c.png can't be read as a picture" in out
    code, out, _ = unetsharp("segment", "in/*.png", *COMMON)
    assert code == 2
    assert re.search(r"skipped +2 +4 ", out)
    assert "in/a.png: 2 nuclei at L1 (done before, " in out
    Path("in/c.png").unlink()
    code, out, err = unetsharp("segment", "in", *COMMON)
    assert (code, err) == (0, "")


@pytest.mark.skipif(sys.platform != "linux", reason="other file systems have no such names")
def test_a_name_that_is_not_utf_8_is_printed(study):
    odd = os.fsdecode(b"in/caf\xe9.png")
    Path("in/a.png").rename(odd)
    command = [sys.executable, "-m", "napari_unetsharp", "segment", odd, *map(str, COMMON)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip().splitlines()[1:]) == (0, [])
    assert "in/caf\\udce9.png: 2 nuclei at L1" in done.stdout


def test_a_manifest_is_run_and_described(unetsharp, study):
    code, said, _ = unetsharp("segment", "list.csv", *COMMON, "--json")
    rows = json.loads(said)["images"]
    assert code == 0
    assert [(row["name"], row["axes"], row["nuclei"]) for row in rows] == [
        ("first", "YX", {"L1": 2}), ("third plane", "YX", {"L1": 2}),
    ]  # fmt: skip
    assert Path("out/third plane_L1.tif").exists()
    _, said, _ = unetsharp("segment", "--help")
    for column in ("path", "name", "plane", "um_per_pixel", "nucleus_size", "channel"):
        assert re.search(rf"\b{column}\b", said)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_command_keeps_all_and_says_how_to_go_on(number, unetsharp, study):
    def stop():
        while not list(Path("out/.jobs").glob("film.planes/about.json")):
            time.sleep(0.005)
        os.kill(os.getpid(), number)

    before = signal.getsignal(signal.SIGTERM)
    threading.Thread(target=stop).start()
    code, _, err = unetsharp("segment", "in/a.png", "film.tif", *COMMON)
    assert (code, err) == (130, "Stopped with 1 of 2 done; give the same command to go on.")
    assert signal.getsignal(signal.SIGTERM) is before
    assert not list(Path("out/.jobs").glob("*.lock"))
    assert Path("out/a_L1.tif").exists()
    assert not Path("out/film_L1.tif").exists()
    assert [row["name"] for row in json.loads(Path("out/report.json").read_text())["images"]] == ["a"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("in", "--um-per-pixel", "wide"), "--um-per-pixel: um_per_pixel 'wide' isn't a number"),
        (("in", "--channel", "0"), "--channel: there is no channel 0"),
        (("nowhere.csv",), "the manifest nowhere.csv can't be read"),
        (("in", "--dask", "tcp://nowhere"), "no Dask scheduler answers at tcp://nowhere"),
    ],
)
def test_mistakes_start_nothing(words, said, unetsharp, study, monkeypatch):
    if "--dask" in words:
        pytest.importorskip("distributed")
        monkeypatch.setattr("napari_unetsharp.jobs.dask_crew._PATIENCE", 1)
    code, out, err = unetsharp("segment", *words, *COMMON)
    assert (code, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == 1
    assert not Path("out").exists()


def test_the_worked_examples_are_python():
    text = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        compile(block, "cluster.md", "exec")
    assert text.count("(untested here)") == 2
