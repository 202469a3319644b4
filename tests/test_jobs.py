"""A job can be repeated without harm: skipped when done, resumed when not, done again when something changed."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from small_networks import discs, one_thread, seeing_brightness  # noqa: F401
from test_volume import write_plane

from napari_unetsharp.errors import SettingsError
from napari_unetsharp.images.image import Image
from napari_unetsharp.images.tiff import read_tiff, write_tiff
from napari_unetsharp.inference.predictor import Predictor
from napari_unetsharp.jobs.inputs import find_sources
from napari_unetsharp.jobs.job import PictureJob
from napari_unetsharp.jobs.segment import JobList, segment
from napari_unetsharp.jobs.settings import JobSettings
from napari_unetsharp.network.checkpoint import load_checkpoint
from napari_unetsharp.nuclei.label_settings import LabelSettings
from napari_unetsharp.nuclei.lock import Holder

CENTRES = [(15, 15), (30, 50)]
PICTURE = discs((50, 70), CENTRES, 7)
SCAN = np.stack([discs((40, 48), CENTRES[:1], 4 + number) for number in range(4)])


@pytest.fixture
def model(tmp_path: Path):
    seeing_brightness().save(tmp_path / "model.safetensors")
    return load_checkpoint(tmp_path / "model.safetensors")


@pytest.fixture
def picture(tmp_path: Path):
    write_tiff(tmp_path / "a.tif", PICTURE, Image(PICTURE, "YX"))
    return tmp_path / "a.tif"


@pytest.fixture
def stack(tmp_path: Path):
    write_tiff(tmp_path / "s.tif", SCAN, Image(SCAN, "ZYX", (2.0, 0.5, 0.5), ("micrometer",) * 3))
    return tmp_path / "s.tif"


def report(model, *paths, out=None, on_progress=lambda text, done, total: None, take_over=False, **settings):
    folder = out or paths[0].parent / "out"
    asked = JobSettings(folder, settings.pop("level", 1), **settings)
    jobs = JobList(find_sources(list(paths), folder), asked, model, take_over=take_over)
    wanted = asked.wanted(model.config.heads)
    return segment(jobs, Predictor(model, "cpu", asked.level, wanted), on_progress)


def states(*given, **settings):
    return [row["state"] for row in report(*given, **settings)["images"]]


def stop_at(number):
    """A person presses Ctrl+C when so much is done."""

    def heard(text, done, total):
        if done >= number:
            raise KeyboardInterrupt

    return heard


# Once and again ----------------------------------------------------------------------------------------


def test_what_is_done_is_skipped_and_its_row_kept(model, picture):
    first = report(model, picture)["images"]
    file = Path(first[0]["files"][0])
    before = file.stat().st_mtime_ns
    again = report(model, picture)["images"]
    assert again == [first[0] | {"state": "skipped"}]
    assert first[0]["state"] == "done"
    assert file.stat().st_mtime_ns == before


def test_what_changed_is_done_again(model, picture, tmp_path):
    asked = {"labels": LabelSettings()}
    assert states(model, picture, **asked) == ["done"]
    asked = {"labels": LabelSettings(threshold=0.4)}
    assert states(model, picture, **asked) == ["done"]
    assert states(model, picture, **asked) == ["skipped"]
    write_tiff(picture, PICTURE // 2, Image(PICTURE, "YX"))
    assert states(model, picture, **asked) == ["done"]
    replace(model, metadata=replace(model.metadata, name="other")).save(tmp_path / "other.safetensors")
    other = load_checkpoint(tmp_path / "other.safetensors")
    assert states(other, picture, **asked) == ["done"]
    assert states(other, picture, **asked) == ["skipped"]
    (tmp_path / "out" / "a_L1.tif").unlink()
    assert states(other, picture, **asked) == ["done"]
    (tmp_path / "out" / ".jobs" / "a.json").write_text("{damaged")
    assert states(other, picture, **asked) == ["done"]


def test_the_same_content_elsewhere_is_the_same(model, picture, tmp_path):
    report(model, picture)
    (tmp_path / "moved").mkdir()
    picture.rename(tmp_path / "moved" / "a.tif")
    (row,) = report(model, tmp_path / "moved" / "a.tif", out=tmp_path / "out")["images"]
    assert (row["state"], row["input"]) == ("skipped", str(tmp_path / "moved" / "a.tif"))


def test_results_of_another_input_are_not_overwritten(model, tmp_path):
    for name, pixels in (("A", PICTURE), ("B", PICTURE // 2)):
        (tmp_path / name).mkdir()
        write_tiff(tmp_path / name / "a.tif", pixels, Image(pixels, "YX"))
    out = tmp_path / "out"
    assert states(model, tmp_path / "A" / "a.tif", out=out) == ["done"]
    before = (out / "a_L1.tif").read_bytes()
    (row,) = report(model, tmp_path / "B" / "a.tif", out=out)["images"]
    assert row["state"] == "failed"
    assert f"{out / 'a'} holds results of {tmp_path / 'A' / 'a.tif'}; name it otherwise in a manifest" in row["error"]
    assert (out / "a_L1.tif").read_bytes() == before
    assert states(model, tmp_path / "A" / "a.tif", out=out) == ["skipped"]
    (out / "a_L1.tif").unlink()
    assert states(model, tmp_path / "B" / "a.tif", out=out) == ["done"]


def test_what_is_done_is_skipped_from_any_folder(model, picture, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (row,) = report(model, Path("a.tif"), out=Path("out"))["images"]
    assert row["files"] == ["out/a_L1.tif"]
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    (row,) = report(model, Path("../a.tif"), out=Path("../out"))["images"]
    assert (row["state"], row["files"]) == ("skipped", ["../out/a_L1.tif"])


def test_a_model_that_was_never_saved_has_no_name_to_skip_by(picture):
    assert states(seeing_brightness(), picture) == states(seeing_brightness(), picture) == ["done"]


# Stacks ------------------------------------------------------------------------------------------------


def test_a_stack_is_gone_on_with_plane_by_plane(model, stack, tmp_path):
    whole = report(model, stack, out=tmp_path / "whole", level=2, all_levels=True, branches=True)["images"]
    asked = {"out": tmp_path / "out", "level": 2, "all_levels": True, "branches": True}
    with pytest.raises(KeyboardInterrupt):
        report(model, stack, on_progress=stop_at(3), **asked)
    assert not (tmp_path / "out" / "s_L2.tif").exists()
    assert json.loads((tmp_path / "out" / "report.json").read_text())["images"] == []
    heard = []
    (row,) = report(model, stack, on_progress=lambda *said: heard.append(said[1:]), **asked)["images"]
    assert heard == [(3, 4), (4, 4)]  # two planes were kept
    assert row["state"] == "resumed"
    assert row["nuclei"] == whole[0]["nuclei"] == {"L1": 4, "L2": 4}
    assert os.listdir(tmp_path / "out" / ".jobs") == ["s.json"]
    for name in ("s_L1.tif", "s_L2.tif", "s_x01.tif", "s_x02.tif"):
        ours, theirs = (read_tiff(tmp_path / folder / name) for folder in ("out", "whole"))
        np.testing.assert_array_equal(ours.pixels, theirs.pixels)
        assert (ours.axes, ours.scale) == ("ZYX", (2.0, 0.5, 0.5))
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out" / "s_L1.tif") > 0, SCAN > 100)


def test_planes_of_other_settings_are_not_gone_on_with(model, stack):
    with pytest.raises(KeyboardInterrupt):
        report(model, stack, on_progress=stop_at(3))
    heard = []
    asked = {"labels": LabelSettings(threshold=0.4)}
    (row,) = report(model, stack, on_progress=lambda *said: heard.append(said[1]), **asked)["images"]
    assert row["state"] == "done"
    assert heard == [1, 2, 3, 4]


def test_a_scan_runs_as_its_window_shows_it(model, tmp_path):
    series = tmp_path / "ct"
    series.mkdir()
    for number, plane in enumerate(SCAN):  # nuclei of 60, surroundings of 0, and metal of 3000 at the border
        values = np.where(plane > 100, 60, 0).astype(np.int16)
        values[:2, :2] = 3000
        write_plane(series / f"{number}.dcm", values, [0.0, 0.0, number * 2.5], number, WindowCenter=30, WindowWidth=60)
    (row,) = report(model, series, labels=LabelSettings(smallest=9))["images"]
    labels = read_tiff(Path(row["files"][0]))
    np.testing.assert_array_equal(labels.pixels > 0, SCAN > 100)
    assert (row["kind"], row["axes"], row["shape"], row["nuclei"]) == ("volume", "ZYX", [4, 40, 48], {"L1": 4})
    assert labels.axes == "ZYX"
    assert labels.scale == pytest.approx((2.5, 0.8, 0.7))
    assert any("from black to white" in note for note in row["warnings"])


def test_the_size_of_nuclei_is_measured_where_there_are_some(model, tmp_path):
    scan = np.stack([np.full((120, 160), 10, np.uint8), discs((120, 160), [(30, 40), (80, 110), (90, 30)], 8)])
    write_tiff(tmp_path / "a.tif", scan, Image(scan, "ZYX"))
    sized = replace(model, metadata=replace(model.metadata, nucleus_size=20.0, pixel_size=0.5))
    (row,) = report(sized, tmp_path / "a.tif")["images"]
    assert row["nucleus_size"] == pytest.approx(16, abs=3)
    (row,) = report(sized, tmp_path / "a.tif", um_per_pixel=(1.0, 1.0))["images"]
    assert row["nucleus_size"] == 10  # 20 px of 0.5 µm
    (row,) = report(sized, tmp_path / "a.tif", um_per_pixel=(1.0, 1.0), nucleus_size=17)["images"]
    assert row["nucleus_size"] == 17


# Who is at it ------------------------------------------------------------------------------------------


def held(place, host, pid, started):
    place.parent.mkdir(parents=True, exist_ok=True)
    holder = Holder(host, "anna", pid, started, "2026-11-21T20:00:00+00:00", "t")
    place.write_text(json.dumps(holder.__dict__))


def test_what_another_machine_works_on_is_left_and_told(model, picture, stack, tmp_path):
    held(tmp_path / "out" / ".jobs" / "a.lock", "elsewhere", 7, 0.0)
    theirs, ours = report(model, picture, stack)["images"]
    assert (theirs["state"], ours["state"]) == ("failed", "done")
    assert "a is being worked on by anna (on elsewhere, process 7" in theirs["error"]
    assert "--take-over" in theirs["error"]
    assert states(model, picture, stack, take_over=True) == ["done", "skipped"]
    assert sorted(os.listdir(tmp_path / "out" / ".jobs")) == ["a.json", "s.json"]  # no lock is left


def test_a_process_that_died_holds_nothing(model, picture, tmp_path):
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    held(tmp_path / "out" / ".jobs" / "a.lock", os.uname().nodename, int(done.stdout), 1.0)
    assert states(model, picture) == ["done"]


def test_what_somebody_finished_meanwhile_is_skipped(model, picture, stack, tmp_path):
    lock = tmp_path / "out" / ".jobs" / "a.lock"
    report(model, picture)
    held(lock, "elsewhere", 7, 0.0)

    def freed(text, done, total):
        lock.unlink(missing_ok=True)

    assert states(model, picture, stack, on_progress=freed) == ["skipped", "done"]


# What goes wrong ---------------------------------------------------------------------------------------


def test_the_unforeseen_stops_nothing_and_is_traced(model, picture, stack, tmp_path, monkeypatch):
    def broken(self, key):
        raise IndexError("list index out of range")

    with monkeypatch.context() as patched:
        patched.setattr(PictureJob, "_run_stack", broken)
        failed, done = report(model, stack, picture)["images"]
    assert (failed["state"], done["state"]) == ("failed", "done")
    assert "something unforeseen failed (IndexError: list index out of range)" in failed["error"]
    trace = tmp_path / "out" / ".jobs" / "s.error.txt"
    assert str(trace) in failed["error"]
    assert "in broken" in trace.read_text()
    assert states(model, stack, picture) == ["done", "skipped"]


def test_a_disk_that_takes_nothing_is_told_by_its_own_words(model, picture, tmp_path):
    (tmp_path / "out" / "a_L1.tif" / "full").mkdir(parents=True)  # a folder where the file belongs
    (row,) = report(model, picture)["images"]
    assert row["state"] == "failed"
    assert "a.tif: a file can't be read or written" in row["error"]
    assert "Is a directory" in row["error"]


def test_a_report_that_cannot_be_written_is_said_at_once(model, picture, tmp_path):
    (tmp_path / "out" / "report.json").mkdir(parents=True)
    with pytest.raises(SettingsError, match=r"nothing can be written to .*out"):
        report(model, picture)


# The report --------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="other file systems have no such names")
def test_a_name_that_is_not_utf_8_is_reported(model, picture, tmp_path):
    odd = tmp_path / os.fsdecode(b"caf\xe9.tif")
    picture.rename(odd)
    (row,) = report(model, odd)["images"]
    assert (row["state"], row["input"]) == ("done", str(odd))
    assert "caf\\udce9.tif" in (tmp_path / "out" / "report.csv").read_text(encoding="utf-8")
    assert states(model, odd) == ["skipped"]


def test_the_table_says_what_the_report_says(model, picture, stack, tmp_path):
    report(model, picture)
    rows = report(model, picture, stack, tmp_path / "missing.png")["images"]
    with (tmp_path / "out" / "report.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["state"] for row in table] == ["skipped", "done", "failed"]
    assert [row["name"] for row in table] == ["a", "s", "missing"]
    assert [row["nuclei_L1"] for row in table] == ["2", "4", ""]
    assert [row["kind"] for row in table] == ["picture", "volume", ""]
    assert "missing.png is not a file" in table[2]["error"]
    assert [float(row["seconds"]) for row in table] == [row["seconds"] for row in rows]
