"""``unetsharp evaluate`` as a person types it."""

from __future__ import annotations

import json
import sys

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile
from small_networks import discs, one_thread, seeing_brightness  # noqa: F401

from napari_unetsharp import __version__
from napari_unetsharp.launch import main
from napari_unetsharp.network.grid import BRANCHES
from napari_unetsharp.nuclei.metrics import METRICS

SHAPE = (48, 60)
CENTRES = [(12, 12), (32, 40)]


@pytest.fixture
def unetsharp(monkeypatch, capsys):
    """Type a command; gives exit code, standard output and standard error."""

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


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Two images: all found, and one of two missed; nothing says their modality."""
    folder = tmp_path_factory.mktemp("data")
    truth = sum((discs(SHAPE, [centre], 7) > 100) * np.uint16(label) for label, centre in enumerate(CENTRES, start=1))
    for name, shown in (("a", CENTRES), ("b", CENTRES[:1])):
        for part in ("images", "labels"):
            (folder / part).mkdir(exist_ok=True)
        imageio.imwrite(folder / "images" / f"{name}.png", discs(SHAPE, shown, 7))
        tifffile.imwrite(folder / "labels" / f"{name}.tif", truth)
    return folder


def one_sentence(text):
    return len(text.splitlines()) == 1 and "Traceback" not in text


def test_json_alone_on_standard_output(unetsharp, dataset, model):
    code, out, err = unetsharp("evaluate", dataset, "--checkpoint", model, "--json", "--device", "cpu")
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert result["version"] == __version__
    assert (result["checkpoint"]["name"], result["device"]["kind"], result["node"]) == ("bright", "cpu", "x04")
    assert result["settings"] == {
        "threshold": 0.5, "smallest": 20, "split": True, "nucleus_size": None, "orientations": 1, "accurate": False,
        "guided": False, "precision": "float32",
    }  # fmt: skip
    assert result["overall"] == result["groups"]["all"]["x04"] == result["nodes"]["x04"]
    assert list(result["groups"]["all"]) == list(BRANCHES)
    for row in result["groups"]["all"].values():
        assert all(0 <= row[name] <= 1 and 0 <= row[f"{name}_pooled"] <= 1 for name in METRICS)
    overall = result["overall"]
    assert overall["pq"] == pytest.approx((1 + 2 / 3) / 2)
    assert overall["pq_pooled"] == pytest.approx(3 / 3.5)
    assert overall["ap_90"] == overall["iou"] == 0.75
    counts = {"images": 2, "left_out": 0, "nuclei": 4, "found": 3, "missed": 1, "false": 0, "split": 0, "merged": 0}
    assert {name: overall[name] for name in counts} == counts


@pytest.mark.parametrize(("options", "node"), [(["--level", 2], "x02"), (["--branch", "x40"], "x40")])
def test_a_level_or_branch_alone(options, node, unetsharp, dataset, model):
    code, out, _ = unetsharp("evaluate", dataset, "-c", model, "--json", *options)
    result = json.loads(out)
    assert (code, result["node"], list(result["groups"]["all"])) == (0, node, [node])
    assert result["overall"] == result["groups"]["all"][node]


def test_the_labels_follow_the_options(unetsharp, dataset, model):
    _, out, _ = unetsharp("evaluate", dataset, "-c", model, "--json", "--smallest", 10_000)
    assert json.loads(out)["overall"]["found"] == 0


def test_tables_for_people(unetsharp, dataset, model):
    code, out, err = unetsharp("evaluate", dataset, "-c", model, "--level", 4)
    assert (code, err) == (0, "")
    for word in ("PQ", "AJI", "F1@.5", "AP@.9", "IoU", "Dice", "missed", "merged", "seconds", "x04", "0.833", "0.857"):
        assert word in out
    assert "2 images, 4 nuclei" in out.replace("\n", " ")


def test_nothing_to_find_and_nothing_found_is_null(unetsharp, model, tmp_path):
    for part, write, ending in (("images", imageio.imwrite, "png"), ("labels", tifffile.imwrite, "tif")):
        (tmp_path / part).mkdir()
        write(tmp_path / part / f"a.{ending}", np.zeros(SHAPE, np.uint8))
    code, out, _ = unetsharp("evaluate", tmp_path, "-c", model, "--json", "--level", 1)
    overall = json.loads(out)["overall"]
    assert (code, overall["pq"], overall["images"], overall["left_out"]) == (0, None, 1, 1)
    code, out, _ = unetsharp("evaluate", tmp_path, "-c", model, "--level", 1)
    assert (code, out.count("–") > 5, "nan" in out) == (0, True, False)


def test_a_folder_of_parts_says_which_is_measured(unetsharp, dataset, model, tmp_path):
    (tmp_path / "val").symlink_to(dataset)
    (tmp_path / "train").mkdir()
    code, out, err = unetsharp("evaluate", tmp_path, "-c", model, "--json", "--level", 1)
    assert code == 0
    assert one_sentence(err)
    assert json.loads(out)["dataset"] == str(tmp_path / "val")
    assert f"{tmp_path / 'val'} is measured" in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--branch", "x14"], "there is no branch 'x14'"),
        (["--level", 1, "--branch", "x02"], "depth 1 doesn't compute x02"),
        (["--threshold", 2], "threshold lies between 0 and 1"),
        (["--device", "abacus"], "device 'abacus' is unknown"),
        (["--checkpoint", "missing.safetensors"], "no checkpoint at missing.safetensors"),
    ],
)
def test_measurements_that_cannot_start(options, words, unetsharp, dataset, model):
    code, out, err = unetsharp("evaluate", dataset, "-c", model, "--json", *options)
    assert (code, out) == (2, "")
    assert one_sentence(err)
    assert words in err


def test_datasets_that_cannot_be_measured(unetsharp, model, tmp_path):
    (tmp_path / "empty").mkdir()
    for part in ("images", "labels"):
        (tmp_path / "broken" / part).mkdir(parents=True)
        (tmp_path / "broken" / part / "a.png").write_bytes(b"nothing")
    for folder, words in (("missing", "is not a folder"), ("empty", "holds no samples"), ("broken", "sample a: ")):
        code, out, err = unetsharp("evaluate", tmp_path / folder, "-c", model, "--json")
        assert (code, out) == (2, "")
        assert one_sentence(err)
        assert words in err
