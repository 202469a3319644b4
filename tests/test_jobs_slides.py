"""A slide as a job: a folder of its own, gone on with after any end, painted anew without the network."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from drawn_slides import spotted, write_slide
from small_networks import one_thread, seeing_brightness  # noqa: F401

pyarrow = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("zarr")

from napari_unetsharp.images.image import Image  # noqa: E402
from napari_unetsharp.images.tiff import read_tiff, write_tiff  # noqa: E402
from napari_unetsharp.inference.predictor import Predictor  # noqa: E402
from napari_unetsharp.jobs import source as sources  # noqa: E402
from napari_unetsharp.jobs.inputs import find_sources  # noqa: E402
from napari_unetsharp.jobs.job import start_job  # noqa: E402
from napari_unetsharp.jobs.segment import JobList, segment  # noqa: E402
from napari_unetsharp.jobs.settings import JobSettings  # noqa: E402
from napari_unetsharp.jobs.slide_job import compute_blocks, paint_slide  # noqa: E402
from napari_unetsharp.network.checkpoint import load_checkpoint  # noqa: E402
from napari_unetsharp.nuclei.label_settings import LabelSettings  # noqa: E402
from napari_unetsharp.nuclei.pixels import Box  # noqa: E402
from napari_unetsharp.slides.store import SlideStore  # noqa: E402

SHAPE, SPOTS = (200, 2200), 25


@pytest.fixture(scope="module")
def pixels():
    return spotted(SHAPE, SPOTS)[0]


@pytest.fixture
def slide(pixels, tmp_path: Path):
    return write_slide(tmp_path / "a.tif", pixels, levels=2)


@pytest.fixture
def model(tmp_path: Path):
    seeing_brightness(widths=(2, 2, 2, 2, 2)).save(tmp_path / "model.safetensors")
    return load_checkpoint(tmp_path / "model.safetensors")


def report(model, *paths, out=None, on_progress=lambda text, done, total: None, **settings):
    folder = out or paths[0].parent / "out"
    asked = JobSettings(folder, 1, **({"tissue_only": False} | settings))
    jobs = JobList(find_sources(list(paths), folder), asked, model)
    return segment(jobs, Predictor(model, "cpu", 1, ("x01",)), on_progress)["images"]


def blocks(folder: Path) -> dict[str, int]:
    """Files of maps and when they were written."""
    return {file.name: file.stat().st_mtime_ns for file in (folder / "blocks").iterdir()}


def labels_of(folder: Path) -> np.ndarray:
    with SlideStore.open(folder) as store:
        return store.read_labels(Box(0, 0, *SHAPE))


def test_a_slide_has_a_folder_with_all_of_its_nuclei(model, slide, pixels, tmp_path):
    (row,) = report(model, slide)
    assert (row["kind"], row["state"], row["shape"], row["nuclei"]) == ("slide", "done", list(SHAPE), {"L1": SPOTS})
    assert {Path(file).name for file in row["files"]} == {"nuclei.parquet", "labels.zarr", "probability.zarr"}
    assert all(Path(file).parent == tmp_path / "out" / "a" for file in row["files"])
    assert pyarrow.read_table(row["files"][0]).num_rows == SPOTS
    np.testing.assert_array_equal(labels_of(tmp_path / "out" / "a") > 0, pixels[..., 0] > 100)
    before = blocks(tmp_path / "out" / "a")
    assert report(model, slide) == [row | {"state": "skipped"}]
    assert blocks(tmp_path / "out" / "a") == before


def test_a_stopped_slide_is_gone_on_with(model, slide, pixels, tmp_path):
    def stop(text, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        report(model, slide, on_progress=stop)
    kept = blocks(tmp_path / "out" / "a")
    assert len(kept) == 1
    (row,) = report(model, slide)
    assert (row["state"], row["nuclei"]) == ("resumed", {"L1": SPOTS})
    assert blocks(tmp_path / "out" / "a").items() >= kept.items()  # not computed again
    np.testing.assert_array_equal(labels_of(tmp_path / "out" / "a") > 0, pixels[..., 0] > 100)


def test_other_label_settings_need_no_network(model, slide, tmp_path):
    report(model, slide)
    before = blocks(tmp_path / "out" / "a")
    (row,) = report(model, slide, labels=LabelSettings(smallest=400))
    assert (row["state"], row["nuclei"]) == ("resumed", {"L1": 0})
    assert blocks(tmp_path / "out" / "a") == before


def test_another_model_starts_anew_but_not_over_a_persons_work(model, slide, tmp_path):
    report(model, slide)
    before = blocks(tmp_path / "out" / "a")
    replace(model, metadata=replace(model.metadata, name="other")).save(tmp_path / "other.safetensors")
    other = load_checkpoint(tmp_path / "other.safetensors")
    (tmp_path / "out" / "a" / "notes.txt").write_text("somebody's own")
    (row,) = report(other, slide)
    assert (row["state"], row["nuclei"]) == ("done", {"L1": SPOTS})
    assert (tmp_path / "out" / "a" / "notes.txt").exists()
    assert not blocks(tmp_path / "out" / "a").items() & before.items()
    with SlideStore.open(tmp_path / "out" / "a", writing=True) as store:
        store.write_region(Box(0, 0, 60, 60), np.zeros((60, 60), np.int32), np.ones((60, 60), bool), {})
        (row,) = report(model, slide)
        assert "holds a person's corrections" in row["error"]
    (row,) = report(model, slide)
    assert row["state"] == "failed"
    assert "holds a person's corrections" in row["error"]
    assert json.loads((tmp_path / "out" / "a" / "run.json").read_text())


def test_another_slide_of_the_same_name_wipes_nothing(model, slide, tmp_path):
    report(model, slide)
    before = blocks(tmp_path / "out" / "a")
    (tmp_path / "B").mkdir()
    other = write_slide(tmp_path / "B" / "a.tif", spotted(SHAPE, 4, seed=3)[0], levels=2)
    (row,) = report(model, other, out=tmp_path / "out")
    assert row["state"] == "failed"
    assert f"holds results of {slide}; name it otherwise" in row["error"]
    assert blocks(tmp_path / "out" / "a") == before


def test_a_store_that_is_open_elsewhere_is_told(model, slide, tmp_path):
    report(model, slide)
    with SlideStore.open(tmp_path / "out" / "a", writing=True):
        (row,) = report(model, slide, labels=LabelSettings(smallest=400))
    assert row["state"] == "failed"
    assert "is being written by" in row["error"]
    (row,) = report(model, slide, labels=LabelSettings(smallest=400))
    assert row["state"] == "resumed"


def test_damaged_places_are_told_and_cost_only_themselves(model, tmp_path):
    pixels, centres = spotted((200, 2200), 30)
    slide = write_slide(tmp_path / "a.tif", pixels, levels=2)
    with tifffile.TiffFile(slide) as file:
        page = file.pages.first
        start, length = page.dataoffsets[0], page.databytecounts[0]
    content = bytearray(slide.read_bytes())
    content[start : start + length] = bytes(length)
    slide.write_bytes(content)
    (row,) = report(model, slide)
    assert row["state"] == "failed"
    assert "1 of 3 blocks are not computed (the first: " in row["error"]
    assert row["nuclei"]["L1"] >= sum(x > 1040 for _, x in centres) > 5
    write_slide(slide, pixels, levels=2)
    (row,) = report(model, slide)
    assert (row["state"], row["nuclei"]) == ("done", {"L1": 30})  # the whole file is another input


def test_empty_glass_is_told(model, tmp_path):
    path = write_slide(tmp_path / "glass.tif", np.full((600, 700, 3), 240, np.uint8), levels=2)
    (row,) = report(model, path, tissue_only=True)
    assert (row["state"], row["nuclei"]) == ("done", {"L1": 0})
    assert any("No tissue was found" in note for note in row["warnings"])


def stained(path: Path, *names: str) -> Path:
    """A slide in fluorescence, channel by channel: 3, 5 and 8 nuclei."""
    planes = np.stack([spotted((200, 1300), count, seed=count)[0][..., 0] for count in (3, 5, 8)])
    about = {"axes": "CYX"} | ({"Channel": {"Name": list(names)}} if names else {})
    tifffile.imwrite(path, planes, ome=True, bigtiff=True, tile=(128, 128), photometric="minisblack", metadata=about)
    return path


def test_one_channel_of_a_fluorescence_slide_is_run(model, tmp_path):
    path = stained(tmp_path / "a.btf", "CD3", "Hoechst 33342", "CD8")
    (row,) = report(model, path)
    assert (row["kind"], row["nuclei"]) == ("slide", {"L1": 5})
    assert any(
        "Only channel 2 (Hoechst 33342) of 3 was run; --channel or a manifest" in note for note in row["warnings"]
    )
    assert not any("transparency" in note for note in row["warnings"])
    assert report(model, path, channel="2") == [row | {"state": "skipped"}]  # the same channel
    for said, count in (("cd8", 8), ("1", 3)):
        (row,) = report(model, path, channel=said)
        assert (row["state"], row["nuclei"]) == ("done", {"L1": count})
        assert not any("Only channel" in note for note in row["warnings"])
    (row,) = report(model, path, channel="CD4")
    assert "a.btf has no channel CD4; it has 1 CD3, 2 Hoechst 33342, 3 CD8" in row["error"]


def test_the_workers_of_a_slide_see_the_same_channel(model, tmp_path):
    path = stained(tmp_path / "a.btf", "CD3", "DAPI", "CD8")
    asked = JobSettings(tmp_path / "out", 1, tissue_only=False)
    job, lock = JobList(find_sources([path], asked.folder), asked, model).next()
    predictor = Predictor(model, "cpu", 1, ("x01",))
    plan = pickle.loads(pickle.dumps(start_job(job, predictor)))
    told = compute_blocks(plan, plan.blocks, predictor)
    row = dict(plan.row)
    paint_slide(plan, row, told)
    lock.release()
    assert (told.failures, row["nuclei"]) == ([], {"L1": 5})


def test_a_large_stack_of_small_planes_runs_plane_by_plane(model, tmp_path, monkeypatch):
    planes = np.stack([spotted((90, 120), count)[0][..., 0] for count in (2, 3)])
    write_tiff(tmp_path / "s.tif", planes, Image(planes, "ZYX", (2.0, 0.5, 0.5), ("micrometer",) * 3))
    monkeypatch.setattr("napari_unetsharp.images.volume_open._LARGE_PICTURE", 1000)
    (row,) = report(model, tmp_path / "s.tif")
    assert (row["kind"], row["axes"], row["nuclei"]) == ("volume", "ZYX", {"L1": 5})
    labels = read_tiff(Path(row["files"][0]))
    assert (labels.axes, labels.scale) == ("ZYX", (2.0, 0.5, 0.5))
    monkeypatch.setattr(sources, "LARGEST_PLANE", 1000)
    (row,) = report(model, tmp_path / "s.tif", out=tmp_path / "as slides")
    assert (row["kind"], row["nuclei"]) == ("slide", {"L1": 2})
    assert any("Only the first of 2 planes" in note for note in row["warnings"])
