"""The command line as a person types it: files, reports, sentences and exit codes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image as Pillow
from small_networks import discs, one_thread, seeing_brightness  # noqa: F401
from torch import nn

from napari_unetsharp import __version__, load_checkpoint
from napari_unetsharp.images.drawn import draw_fluorescence
from napari_unetsharp.images.image import Image
from napari_unetsharp.images.intensity import PUBLISHED, Intensity
from napari_unetsharp.images.tiff import read_tiff, write_tiff
from napari_unetsharp.launch import main
from napari_unetsharp.network.grid import branches_of_level
from napari_unetsharp.network.unet_sharp import count_parameters

ROOT = Path(__file__).parents[1]
PICTURE = discs((50, 70), [(15, 15), (30, 50)], 7)
COLOUR = np.repeat(PICTURE[..., np.newaxis], 3, axis=2)
REPORTS = {"report.json", "report.csv"}


@pytest.fixture
def unetsharp(monkeypatch, capsys):
    """Type a command; gives exit code, standard output and standard error, without empty lines around it."""

    def typed(*words):
        monkeypatch.setattr(sys, "argv", ["unetsharp", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err.strip()

    return typed


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "bright.safetensors"
    seeing_brightness().save(path)
    return path


def saved(path, pixels=COLOUR):
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(pixels).save(path)
    return path


def seen(folder):
    """Names in a folder that aren't hidden."""
    return {name for name in os.listdir(folder) if not name.startswith(".")}


def one_sentence(text):
    """Whether something was said in one line, without a traceback."""
    return len(text.strip().splitlines()) == 1 and "Traceback" not in text


# segment -----------------------------------------------------------------------------------------------


def test_pictures_of_every_kind(unetsharp, model, tmp_path):
    opaque = np.dstack([COLOUR, np.full(PICTURE.shape, 255, np.uint8)])
    stack = np.stack([PICTURE, np.zeros_like(PICTURE), PICTURE])
    deep = PICTURE.astype(np.uint16) * 257
    saved(tmp_path / "png.png"), saved(tmp_path / "rgba.png", opaque), saved(tmp_path / "grey.png", PICTURE)
    saved(tmp_path / "deep.png", deep), saved(tmp_path / "small.png", COLOUR[10:17, 10:15])
    saved(tmp_path / "black.png", COLOUR * 0)
    tifffile.imwrite(tmp_path / "colour.tif", COLOUR, photometric="rgb")
    tifffile.imwrite(tmp_path / "float.tif", (PICTURE / 255).astype(np.float32))
    write_tiff(tmp_path / "stack.tif", stack, Image(stack, "ZYX", (2.0, 0.5, 0.5), ("micrometer",) * 3))
    names = sorted(os.listdir(tmp_path))
    code, out, err = unetsharp("segment", *(tmp_path / name for name in names), "-o", tmp_path / "out", "-c", model)
    assert (code, err) == (0, "")
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    entries = {Path(entry["input"]).name: entry for entry in report["images"]}
    assert list(entries) == names
    for name, entry in entries.items():
        stem = name.split(".")[0]
        expected = {"stack": stack, "small": PICTURE[10:17, 10:15], "black": PICTURE * 0}.get(stem, PICTURE)
        labels = tifffile.imread(tmp_path / "out" / f"{stem}_L4.tif")
        np.testing.assert_array_equal(labels > 0, expected > 100, err_msg=name)
        assert labels.dtype == np.uint16
        assert entry["shape"] == list(expected.shape)
        assert entry["nuclei"] == {"L4": {"stack": 4, "small": 1, "black": 0}.get(stem, 2)}
        assert f"{name}: {entry['nuclei']['L4']} nuclei at L4" in out
    assert "transparency" in entries["rgba.png"]["warnings"][0]
    for name in ("grey.png", "deep.png", "float.tif", "stack.tif"):
        assert entries[name]["warnings"] == ["The one channel was repeated for the 3 that this model takes."]
    assert entries["png.png"]["warnings"] == entries["colour.tif"]["warnings"] == []
    stacked = read_tiff(tmp_path / "out" / "stack_L4.tif")
    assert (stacked.axes, stacked.scale, stacked.units) == ("ZYX", (2.0, 0.5, 0.5), ("micrometer",) * 3)


def test_json_is_the_report_and_nothing_else(unetsharp, model, tmp_path):
    images = [saved(tmp_path / "a.png", PICTURE), tmp_path / "missing.png"]
    code, out, err = unetsharp("segment", *images, "--out", tmp_path / "out", "--checkpoint", model, "--json")
    assert code == 2
    assert one_sentence(err)
    printed = json.loads(out)
    assert printed == json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert printed["version"] == __version__
    assert printed["checkpoint"]["name"] == "bright"
    assert re.fullmatch("[0-9a-f]{64}", printed["checkpoint"]["sha256"])
    for entry in printed["images"]:
        assert set(entry) >= {"input", "files", "nuclei", "seconds", "warnings"}


def test_a_missing_file_is_one_sentence_and_the_others_are_done(unetsharp, model, tmp_path):
    images = [saved(tmp_path / "a.png"), tmp_path / "missing.png", saved(tmp_path / "b.png")]
    code, out, err = unetsharp("segment", *images, "-o", tmp_path / "out", "-c", model)
    assert code == 2
    assert one_sentence(err)
    assert "1 of 3 failed" in err
    assert "missing.png" in err
    assert {"a_L4.tif", "b_L4.tif", *REPORTS} == seen(tmp_path / "out")
    assert out.count("nuclei") == 2


def test_two_inputs_of_one_name_have_files_of_their_own(unetsharp, model, tmp_path):
    images = [saved(tmp_path / "one" / "a.png"), saved(tmp_path / "two" / "a.png", COLOUR * 0)]
    unetsharp("segment", *images, "-o", tmp_path / "out", "-c", model)
    assert tifffile.imread(tmp_path / "out" / "a_L4.tif").max() == 2
    assert tifffile.imread(tmp_path / "out" / "a-2_L4.tif").max() == 0


def test_levels_and_branches(unetsharp, model, tmp_path):
    image = saved(tmp_path / "a.png")
    code, out, _ = unetsharp("segment", image, "-o", tmp_path / "2", "-c", model, "--level", 2)
    assert code == 0
    assert seen(tmp_path / "2") == {"a_L2.tif", *REPORTS}
    code, out, _ = unetsharp("segment", image, "-o", tmp_path / "4", "-c", model, "--all-levels", "--branches")
    assert code == 0
    names = {f"a_L{level}.tif" for level in (1, 2, 3, 4)} | {f"a_{name}.tif" for name in branches_of_level(4)}
    assert seen(tmp_path / "4") == names | REPORTS
    assert "2 nuclei at L1" in out
    for name in branches_of_level(4):
        values = tifffile.imread(tmp_path / "4" / f"a_{name}.tif")
        assert (values.dtype, values.shape) == (np.float16, PICTURE.shape)
        assert 0 <= values.min() < 0.01
        assert 0.99 < values.max() <= 1


def test_threshold_size_and_splitting(unetsharp, model, tmp_path):
    image = saved(tmp_path / "a.png", np.repeat(discs((60, 90), [(30, 30), (30, 52)], 12)[..., None], 3, 2))
    for options, count in (([], 2), (["--no-split"], 1), (["--smallest", 600], 0), (["--threshold", 0.01], 2)):
        code, out, _ = unetsharp("segment", image, "-o", tmp_path / "out", "-c", model, "--json", *options)
        assert code == 0
        assert json.loads(out)["images"][0]["nuclei"] == {"L4": count}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-c", "nowhere.pth"], "no checkpoint at nowhere.pth"),
        (["--device", "tpu"], "device 'tpu' is unknown"),
        (["--threshold", "2"], "between 0 and 1"),
        (["--smallest", "-1"], "at 0 or above"),
        (["-o", "a.png"], "nothing can be written to a.png"),
    ],
)
def test_mistakes_are_one_sentence_and_code_2(options, words, unetsharp, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "a.png")
    code, out, err = unetsharp("segment", "a.png", "-c", model, "-o", "out", *options)
    assert (code, out) == (2, "")
    assert one_sentence(err)
    assert err.startswith("unetsharp: ")
    assert words in err


def test_a_depth_without_a_head_is_refused(unetsharp, tmp_path):
    seeing_brightness(deep_supervision=False).save(tmp_path / "one.safetensors")
    image = saved(tmp_path / "a.png")
    code, _, err = unetsharp("segment", image, "-o", tmp_path / "out", "-c", tmp_path / "one.safetensors", "--level", 2)
    assert code == 2
    assert one_sentence(err)
    assert "depth 2 has no head" in err
    code, _, _ = unetsharp("segment", image, "-o", tmp_path / "out", "-c", tmp_path / "one.safetensors", "--all-levels")
    assert code == 0
    assert seen(tmp_path / "out") == {"a_L4.tif", *REPORTS}


@pytest.mark.parametrize("words", [["segment", "a.png", "-o", "out", "--level", "7"], ["segment", "a.png"], ["segmnt"]])
def test_commands_that_are_none(words, unetsharp):
    code, out, err = unetsharp(*words)
    assert (code, out) == (2, "")
    assert "Usage" in err


def test_the_commands_are_those_of_the_readme(unetsharp):
    code, out, _ = unetsharp("--help")
    assert code == 0
    for command in ("segment", "describe", "convert", "train", "doctor", "gui"):
        assert re.search(rf"\b{command}\b", out)


def test_in_a_process_of_its_own(model, tmp_path):
    image = saved(tmp_path / "a.png", PICTURE)
    command = [sys.executable, "-m", "napari_unetsharp", "segment", str(image), str(tmp_path / "b.png"), "-o",
               str(tmp_path / "out"), "-c", str(model), "--json"]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert json.loads(done.stdout)["images"][0]["nuclei"] == {"L4": 2}
    assert one_sentence(done.stderr)


# describe and convert ----------------------------------------------------------------------------------


def test_describe_says_what_a_checkpoint_is(unetsharp, model):
    code, out, err = unetsharp("describe", model, "--json")
    assert (code, err) == (0, "")
    facts = json.loads(out)
    network = load_checkpoint(model).network
    assert facts["parameters"] == count_parameters(network)
    assert list(facts["parameters_per_level"]) == ["L1", "L2", "L3", "L4"]
    assert sorted(facts["parameters_per_level"].values()) == list(facts["parameters_per_level"].values())
    assert facts["heads"] == list(branches_of_level(4))
    assert (facts["name"], facts["layout"], facts["crop"]) == ("bright", "ours", 32)
    assert facts["config"]["widths"] == list(network.config.widths)
    assert facts["intensity"]["kind"] == "range"
    code, out, _ = unetsharp("describe", model)
    assert code == 0
    for key in facts:
        assert re.search(rf"^{key}: ", out, re.MULTILINE)


def test_the_shipped_model_has_a_name(unetsharp):
    code, out, _ = unetsharp("describe", "nuclei", "--json")
    assert code == 0
    assert json.loads(out)["config"]["in_channels"] == 3


def published(path, checkpoint):
    """Write a network of ours as the published code would."""
    heads = {"x01": "final1", "x02": "final2", "x03": "final3", "x04": "final4",
             "x40": "final5", "x31": "final6", "x22": "final7", "x13": "final8"}  # fmt: skip
    state = {}
    for key, value in checkpoint.network.state_dict().items():
        kind, name, rest = key.split(".", 2)
        state[f"conv{name[1]}_{name[2]}.{rest}" if kind == "nodes" else f"{heads[name]}.{rest}"] = value
    torch.save({"state_dict": state}, path)
    return path


def test_convert_remembers_what_is_known(unetsharp, tmp_path):
    source, target = published(tmp_path / "a.pth", seeing_brightness()), tmp_path / "b.safetensors"
    assert load_checkpoint(source).metadata.intensity == PUBLISHED
    code, out, err = unetsharp("convert", source, target, "--normalisation", "zero-one", "--nucleus-size", 12,
                               "--pixel-size", 0.25)  # fmt: skip
    assert (code, err) == (0, "")
    assert str(target) in out
    loaded, before = load_checkpoint(target), load_checkpoint(source)
    assert loaded.metadata.intensity == Intensity("range", mean=(0.0,), deviation=(1.0,))
    assert (loaded.metadata.nucleus_size, loaded.metadata.pixel_size) == (12, 0.25)
    assert (loaded.metadata.name, loaded.metadata.parent) == ("b", before.metadata.sha256)
    for ours, theirs in zip(loaded.network.parameters(), before.network.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    code, out, _ = unetsharp("segment", saved(tmp_path / "a.png"), "-o", tmp_path / "out", "-c", target, "--json")
    assert code == 0
    assert json.loads(out)["images"][0]["nuclei"] == {"L4": 2}


def test_convert_without_words_keeps_what_the_file_says(unetsharp, tmp_path):
    source = published(tmp_path / "a.pth", seeing_brightness())
    unetsharp("convert", source, tmp_path / "b.safetensors")
    assert load_checkpoint(tmp_path / "b.safetensors").metadata.intensity == PUBLISHED


def test_convert_prunes_and_halves(unetsharp, model, tmp_path):
    target = tmp_path / "l2.safetensors"
    code, _, _ = unetsharp("convert", model, target, "--level", 2, "--half")
    assert code == 0
    loaded = load_checkpoint(target)
    assert (loaded.config.level, loaded.config.heads) == (2, ("x02",))
    assert loaded.metadata.parent == load_checkpoint(model).metadata.sha256
    unetsharp("convert", model, tmp_path / "whole.safetensors", "--level", 2)
    assert target.stat().st_size < (tmp_path / "whole.safetensors").stat().st_size


def test_convert_overwrites_nothing(unetsharp, model, tmp_path):
    target = tmp_path / "b.safetensors"
    target.write_text("mine")
    code, _, err = unetsharp("convert", model, target)
    assert code == 2
    assert one_sentence(err)
    assert "already exists" in err
    assert target.read_text() == "mine"


@pytest.mark.parametrize(
    ("target", "options", "words"),
    [
        ("b.pth", [], "ends in .safetensors"),
        ("b.safetensors", ["--normalisation", "magic"], "choose one of imagenet, zero-one"),
        ("b.safetensors", ["--nucleus-size", "-3"], "above 0"),
        ("b.safetensors", ["--pixel-size", "nan"], "above 0"),
    ],
)
def test_conversions_that_make_no_sense(target, options, words, unetsharp, model, tmp_path):
    code, _, err = unetsharp("convert", model, tmp_path / target, *options)
    assert code == 2
    assert one_sentence(err)
    assert words in err
    assert os.listdir(tmp_path) == []


def test_a_damaged_checkpoint_is_one_sentence(unetsharp, tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    for command in (["describe", tmp_path / "a.safetensors"],
                    ["convert", tmp_path / "a.safetensors", tmp_path / "b.safetensors"]):  # fmt: skip
        code, out, err = unetsharp(*command)
        assert (code, out) == (2, "")
        assert one_sentence(err)
        assert "a.safetensors" in err


# doctor ------------------------------------------------------------------------------------------------


def test_doctor_has_a_fact_and_advice_for_each(unetsharp):
    code, out, err = unetsharp("doctor")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    facts = dict(line.split(": ", 1) for line in lines[::2])
    assert {"Python", "torch", "GPU", "Qt", "napari"} <= set(facts)
    assert all(facts.values())
    assert facts["torch"] == torch.__version__
    assert facts["Python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")
    for advice in lines[1::2]:
        assert advice.startswith("    ")
        assert advice.strip()
    if not torch.cuda.is_available():
        assert facts["GPU"].startswith("none: ")


@pytest.mark.parametrize(
    ("installed", "fact", "advice"),
    [
        ([], "none", "napari-unetsharp[pyqt6]"),
        (["PyQt5"], "PyQt5 1.0", "giving up PyQt5"),
        (["PyQt6"], "PyQt6 1.0", "Fine."),
        (["PySide6", "PyQt5"], "PySide6 1.0, PyQt5 1.0", "QT_API chooses (now pyside6)"),
    ],
)
def test_doctor_knows_the_windows_needs(installed, fact, advice, unetsharp, monkeypatch):
    import importlib.metadata

    real = importlib.metadata.version

    def version(package):
        if package in ("PyQt5", "PyQt6", "PySide6"):
            if package in installed:
                return "1.0"
            raise importlib.metadata.PackageNotFoundError(package)
        return real(package)

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("QT_API", "pyside6")
    _, out, _ = unetsharp("doctor")
    lines = out.splitlines()
    place = lines.index(f"Qt: {fact}")
    assert advice in lines[place + 1]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux is ever headless")
def test_doctor_sees_that_there_is_no_screen(unetsharp, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert "There is no screen" in unetsharp("doctor")[1]


# train -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    for seed in range(2):
        picture, mask = draw_fluorescence(seed, 48, 48, 6)
        saved(folder / "images" / f"{seed}.png", picture)
        (folder / "labels").mkdir(exist_ok=True)
        tifffile.imwrite(folder / "labels" / f"{seed}.tif", mask.astype(np.uint16))
    return folder


QUICK = ["--level", 1, "--crop", 32, "--batch", 2, "--crops", 2, "--device", "cpu"]


def test_train_writes_a_checkpoint_that_segments(unetsharp, dataset, tmp_path):
    out = tmp_path / "mine.safetensors"
    code, said, err = unetsharp("train", dataset, "--out", out, "--epochs", 1, *QUICK)
    assert (code, err) == (0, "")
    assert "1 images to train on, 1 to select by" in said
    assert re.search(r"epoch 1/1 · loss \d+\.\d+ \(x01 .*validation IoU x01 0\.\d+ · best", said)
    assert os.listdir(tmp_path) == ["mine.safetensors"]
    loaded = load_checkpoint(out)
    assert (loaded.metadata.name, loaded.metadata.crop, len(loaded.metadata.history)) == ("mine", 32, 1)
    assert loaded.config.level == 1
    image = dataset / "images" / "0.png"
    code, said, _ = unetsharp("segment", image, "-o", tmp_path / "out", "-c", out, "--json")
    assert code == 0
    assert list(json.loads(said)["images"][0]["nuclei"]) == ["L1"]
    code, _, err = unetsharp("train", dataset, "--out", out, "--epochs", 1, *QUICK)
    assert code == 2
    assert one_sentence(err)
    assert "already exists" in err


def test_the_same_command_goes_on_after_a_stop(unetsharp, dataset, tmp_path, monkeypatch):
    out, real = tmp_path / "mine.safetensors", nn.functional.conv2d

    def convolve(*arguments, **options):
        if (tmp_path / "mine.safetensors.resume").exists():  # Ctrl+C in the second epoch
            raise KeyboardInterrupt
        return real(*arguments, **options)

    command = ["train", dataset, "--out", out, "--epochs", 2, *QUICK]
    monkeypatch.setattr(nn.functional, "conv2d", convolve)
    code, said, _ = unetsharp(*command)
    assert code == 0
    assert "epoch 1/2" in said
    assert "give the same command to go on" in said
    monkeypatch.setattr(nn.functional, "conv2d", real)
    code, said, err = unetsharp(*command)
    assert (code, err) == (0, "")
    assert "epoch 1/2" not in said
    assert "epoch 2/2" in said
    assert os.listdir(tmp_path) == ["mine.safetensors"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--out", "mine.pth"], "doesn't end in .safetensors"),
        (["--crop", "40"], "divisible by 16"),
        (["--validation", "nowhere"], "nowhere is not a folder"),
        (["--rate", "0"], "learning rate above 0"),
        (["--precision", "17"], "precision='17'"),
    ],
)
def test_trainings_that_cannot_start(options, words, unetsharp, dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = unetsharp("train", dataset, "--out", "mine.safetensors", *QUICK, *options)
    assert code == 2
    assert one_sentence(err)
    assert words in err
    assert os.listdir(tmp_path) == []
