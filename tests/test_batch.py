"""Files in, a folder out: what is written, what is reported, and that one failure stops nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow
from small_networks import discs, one_thread, seeing_brightness  # noqa: F401

from napari_unetsharp import __version__
from napari_unetsharp.errors import SettingsError
from napari_unetsharp.images.image import Image
from napari_unetsharp.images.tiff import read_tiff, write_tiff
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.jobs.inputs import find_sources
from napari_unetsharp.jobs.segment import JobList, segment
from napari_unetsharp.jobs.settings import JobSettings
from napari_unetsharp.network.grid import branches_of_level
from napari_unetsharp.nuclei.instances import LabelSettings

PICTURE = discs((50, 70), [(15, 15), (30, 50)], 7)


def job(folder, level=4, all_levels=False, branches=False, **settings):
    return JobSettings(folder, level, all_levels, branches, LabelSettings(**settings))


def segment_files(paths, predictor, asked, on_progress=lambda text, done, total: None):
    return segment(JobList(find_sources(paths, asked.folder), asked, predictor.checkpoint), predictor, on_progress)


def seen(folder):
    """Names in a folder that aren't hidden."""
    return sorted(name for name in os.listdir(folder) if not name.startswith("."))


def network(job, checkpoint=None, **settings):
    checkpoint = checkpoint or seeing_brightness()
    return Predictor(checkpoint, "cpu", job.level, job.wanted(checkpoint.config.heads), **settings)


def saved(path, pixels=PICTURE):
    path.parent.mkdir(exist_ok=True, parents=True)
    Pillow.fromarray(pixels).save(path)
    return path


# What has to be computed -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "all_levels", "branches", "wanted"),
    [
        (4, False, False, ("x04",)),
        (2, False, False, ("x02",)),
        (3, True, False, ("x01", "x02", "x03")),
        (4, True, False, ("x01", "x02", "x03", "x04")),
        (4, False, True, branches_of_level(4)),
        (2, True, True, ("x01", "x02")),
    ],
)
def test_no_more_than_is_written_is_computed(level, all_levels, branches, wanted, tmp_path):
    assert job(tmp_path, level, all_levels, branches).wanted(branches_of_level(4)) == wanted


def test_heads_that_are_missing_are_left_out_or_refused(tmp_path):
    assert job(tmp_path, 4, True, True).wanted(("x04",)) == ("x04",)
    with pytest.raises(SettingsError, match=r"depth 3 has no head .*it has x04"):
        job(tmp_path, 3).wanted(("x04",))


# What is written ---------------------------------------------------------------------------------------


def test_labels_of_the_level_and_a_report(tmp_path):
    asked = job(tmp_path / "new" / "out")
    report = segment_files([saved(tmp_path / "tissue.png")], network(asked), asked)
    assert seen(asked.folder) == ["report.csv", "report.json", "tissue_L4.tif"]
    labels = tifffile.imread(asked.folder / "tissue_L4.tif")
    np.testing.assert_array_equal(labels > 0, PICTURE > 100)
    assert (labels.dtype, labels.max()) == (np.uint16, 2)
    (entry,) = report["images"]
    seconds = entry.pop("seconds")
    assert 0 < seconds < 60
    assert entry == {
        "input": str(tmp_path / "tissue.png"), "files": [str(asked.folder / "tissue_L4.tif")], "shape": [50, 70],
        "axes": "YX", "nucleus_size": None, "nuclei": {"L4": 2}, "error": "", "name": "tissue", "kind": "picture",
        "state": "done",
        "warnings": ["The one channel was repeated for the 3 that this model takes."],
    }  # fmt: skip


def test_the_report_on_disk_is_the_one_given(tmp_path):
    asked = job(tmp_path, smallest=7, threshold=0.4, split=False)
    report = segment_files([saved(tmp_path / "a.png")], network(asked), asked)
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8")) == report
    assert report["version"] == __version__
    assert report["checkpoint"] == {"name": "bright", "sha256": ""}
    assert report["device"]["kind"] == "cpu"
    assert (report["level"], report["threshold"], report["smallest"], report["split"]) == (4, 0.4, 7, False)


def test_all_levels_and_branches(tmp_path):
    asked = job(tmp_path / "out", all_levels=True, branches=True)
    report = segment_files([saved(tmp_path / "a.png")], network(asked), asked)
    names = {f"a_L{level}.tif" for level in (1, 2, 3, 4)} | {f"a_{name}.tif" for name in branches_of_level(4)}
    assert {*seen(asked.folder)} == names | {"report.json", "report.csv"}
    assert {Path(file).name for file in report["images"][0]["files"]} == names
    assert report["images"][0]["nuclei"] == {"L1": 2, "L2": 2, "L3": 2, "L4": 2}
    for name in branches_of_level(4):
        values = tifffile.imread(asked.folder / f"a_{name}.tif")
        assert (values.dtype, values.shape) == (np.float16, PICTURE.shape)
        assert values[15, 15] > 0.9


def test_branches_alone_leave_the_other_levels_labels_out(tmp_path):
    asked = job(tmp_path / "out", 2, branches=True)
    report = segment_files([saved(tmp_path / "a.png")], network(asked), asked)
    assert seen(asked.folder) == ["a_L2.tif", "a_x01.tif", "a_x02.tif", "report.csv", "report.json"]
    assert report["images"][0]["nuclei"] == {"L2": 2}


@pytest.mark.parametrize("axes", ["ZYX", "TYX", "TZYX"])
def test_a_stack_is_one_file_with_the_same_axes_and_spacing(axes, tmp_path):
    shape = (2, 3)[: len(axes) - 2]
    empty = np.zeros_like(PICTURE)
    planes = [PICTURE if place % 2 == 0 else empty for place in range(int(np.prod(shape)))]
    pixels = np.stack(planes).reshape(*shape, *PICTURE.shape)
    scale = (3.0, 2.0, 0.5, 0.25)[-len(axes) :]
    write_tiff(tmp_path / "stack.tif", pixels, Image(pixels, axes, scale, ("micrometer",) * len(axes)))
    asked = job(tmp_path / "out", branches=True)
    report = segment_files([tmp_path / "stack.tif"], network(asked), asked)
    for name in ("stack_L4.tif", "stack_x40.tif"):
        written = read_tiff(asked.folder / name)
        assert (written.axes, written.pixels.shape) == (axes, pixels.shape)
        assert (written.scale, written.units) == (scale, ("micrometer",) * len(axes))
    labels = tifffile.imread(asked.folder / "stack_L4.tif").reshape(pixels.shape)
    np.testing.assert_array_equal(labels > 0, pixels > 100)
    entry = report["images"][0]
    assert (entry["axes"], entry["shape"]) == (axes, list(pixels.shape))
    assert entry["nuclei"] == {"L4": 2 * sum(plane is PICTURE for plane in planes)}


def test_labels_beyond_sixteen_bits_are_kept(tmp_path):
    rows, columns = np.indices((530, 520))
    dots = ((rows % 2 == 0) & (columns % 2 == 0)).astype(np.uint8) * 255  # 68,900 of them
    asked = job(tmp_path / "out", 1, smallest=0, split=False)
    report = segment_files([saved(tmp_path / "a.png", dots)], network(asked), asked)
    labels = tifffile.imread(asked.folder / "a_L1.tif")
    assert labels.dtype == np.uint32
    assert labels.max() == report["images"][0]["nuclei"]["L1"] == 265 * 260


def test_an_earlier_result_is_replaced(tmp_path):
    asked = job(tmp_path / "out")
    asked.folder.mkdir()
    (asked.folder / "a_L4.tif").write_text("old")
    segment_files([saved(tmp_path / "a.png")], network(asked), asked)
    assert tifffile.imread(asked.folder / "a_L4.tif").max() == 2


# Several files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "stems"),
    [
        (["a/x.png", "b/x.png", "x.tif"], ["x", "x-2", "x-3"]),
        (["x.png", "x.tif", "x-2.png"], ["x", "x-3", "x-2"]),
        (["x-2.png", "x.png", "x.tif"], ["x-2", "x", "x-3"]),
        (["x.png", "X.png", "y.png"], ["x", "X-2", "y"]),
    ],
)
def test_inputs_of_the_same_name_do_not_overwrite_each_other(names, stems, tmp_path):
    paths = [saved(tmp_path / name, np.full((20, 20 + place), 200, np.uint8)) for place, name in enumerate(names)]
    asked = job(tmp_path / "out", 1)
    report = segment_files(paths, network(asked), asked)
    for place, (entry, stem) in enumerate(zip(report["images"], stems, strict=True)):
        (file,) = entry["files"]
        assert Path(file).name == f"{stem}_L1.tif"
        assert tifffile.imread(file).shape == (20, 20 + place)
    assert len(seen(asked.folder)) == len(names) + 2


def test_one_that_fails_does_not_stop_the_others(tmp_path):
    (tmp_path / "text.png").write_text("hello")
    tifffile.imwrite(tmp_path / "hole.tif", np.array([[0.5, np.nan, 0.5]] * 3, np.float32))
    paths = [tmp_path / "missing.png", tmp_path / "text.png", saved(tmp_path / "a.png"), tmp_path / "hole.tif"]
    asked = job(tmp_path / "out")
    report = segment_files(paths, network(asked), asked)
    errors = [entry["error"] for entry in report["images"]]
    assert "is not a file" in errors[0]
    assert "can't be read as a picture" in errors[1]
    assert errors[2] == ""
    assert "3 of 9 values are NaN" in errors[3]
    for path, error in zip(paths, errors, strict=True):
        assert not error or path.name in error
        assert "\n" not in error
    assert seen(asked.folder) == ["a_L4.tif", "report.csv", "report.json"]
    assert [entry["files"] == [] for entry in report["images"]] == [True, True, False, True]


def test_progress_rises_to_the_end(tmp_path):
    stack = np.zeros((2, 60, 200), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", stack, metadata={"axes": "ZYX"}, photometric="minisblack")
    asked = job(tmp_path / "out", 1)
    heard = []
    segment_files([tmp_path / "a.tif"], network(asked, tile=80), asked, lambda *said: heard.append(said))
    assert {text for text, _, _ in heard} == {"a.tif"}
    assert [done for _, done, _ in heard] == list(range(1, len(heard) + 1))
    assert {total for _, _, total in heard} == {len(heard)}
    assert len(heard) > 4


def test_a_folder_that_cannot_be_is_said_before_anything_runs(tmp_path):
    (tmp_path / "out").write_text("a file")
    asked = job(tmp_path / "out")
    heard = []
    with pytest.raises(SettingsError, match=r"nothing can be written to .*out"):
        segment_files([saved(tmp_path / "a.png")], network(asked), asked, lambda *said: heard.append(said))
    assert heard == []
