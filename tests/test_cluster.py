"""Jobs on several processes, one of them killed in the middle: every job done, nothing doubled, nothing different."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import tifffile
import torch
from drawn_slides import spotted, write_slide
from small_networks import discs, one_thread, seeing_brightness  # noqa: F401

pyarrow = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("zarr")

from napari_unetsharp.errors import SettingsError  # noqa: E402
from napari_unetsharp.images.image import Image  # noqa: E402
from napari_unetsharp.images.tiff import write_tiff  # noqa: E402
from napari_unetsharp.inference.predictor import Predictor  # noqa: E402
from napari_unetsharp.jobs.crew import LocalCrew  # noqa: E402
from napari_unetsharp.jobs.distribute import Distribution  # noqa: E402
from napari_unetsharp.jobs.inputs import find_sources  # noqa: E402
from napari_unetsharp.jobs.segment import JobList, segment  # noqa: E402
from napari_unetsharp.jobs.settings import JobSettings, NetworkSettings  # noqa: E402
from napari_unetsharp.jobs.tasks import Task, groups_of  # noqa: E402
from napari_unetsharp.network.checkpoint import load_checkpoint  # noqa: E402
from napari_unetsharp.nuclei.pixels import Box  # noqa: E402
from napari_unetsharp.slides.store import SlideStore  # noqa: E402

SLIDES = {"one": (200, 3200), "two": (200, 1300)}
PATIENCE = 60.0


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory):
    """A folder with two slides, a picture, a stack, something that is none, and what one process makes of them."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "in").mkdir()
    for seed, (name, shape) in enumerate(SLIDES.items()):
        write_slide(folder / "in" / f"{name}.tif", spotted(shape, 25, seed=seed)[0], levels=2)
    flat = discs((50, 70), [(15, 15), (30, 50)], 7)
    write_tiff(folder / "in" / "picture.tif", flat, Image(flat, "YX"))
    stack = np.stack([discs((40, 40), [(15, 15)], 4 + number) for number in range(3)])
    write_tiff(folder / "in" / "stack.tif", stack, Image(stack, "ZYX"))
    (folder / "in" / "text.png").write_text("no picture")
    seeing_brightness(widths=(2, 2, 2, 2, 2)).save(folder / "model.safetensors")
    jobs = jobs_of(folder, folder / "alone")
    segment(jobs, Predictor(load_checkpoint(folder / "model.safetensors"), "cpu", 1, ("x01",)))
    return folder


def jobs_of(folder: Path, out: Path, name: str = "") -> JobList:
    model = load_checkpoint(folder / "model.safetensors")
    return JobList(find_sources([folder / "in" / name], out), JobSettings(out, 1, tissue_only=False), model)


class Killing:
    """A crew of which a worker is killed while it works on a block of a slide; the workers are those of `crew`."""

    def __init__(self, crew, slides: list[Path], busy) -> None:
        self.crew, self.slides, self.busy = crew, slides, busy
        self.killed = 0
        self.before: dict[Path, int] = {}

    @property
    def size(self):
        return self.crew.size

    def submit(self, ticket, task):
        self.crew.submit(ticket, task)

    def next(self):
        answer = self.crew.next()
        blocks = [file for slide in self.slides for file in slide.glob("blocks/*.npz")]
        if not self.killed and blocks and (pid := self.busy()):
            self.before = {file: file.stat().st_mtime_ns for file in blocks}
            self.killed = pid
            os.kill(pid, signal.SIGKILL)
        return answer

    def close(self):
        self.crew.close()


def check(study: Path, out: Path, jobs: JobList, crew: Killing) -> None:
    """All is as one process made it, and what was computed before the kill was not computed again."""
    assert jobs.report["device"]["kind"] == "cpu"
    rows = {row["name"]: row for row in jobs.report["images"]}
    assert len(jobs.report["images"]) == len(rows) == 5
    assert {name: row["state"] for name, row in rows.items()} == {
        "one": "done", "two": "done", "picture": "done", "stack": "done", "text": "failed",
    }  # fmt: skip
    assert "can't be read as a picture" in rows["text"]["error"]
    for name, shape in SLIDES.items():
        ours, theirs = (folder / name for folder in (out, study / "alone"))
        tables = [pyarrow.read_table(folder / "nuclei.parquet") for folder in (ours, theirs)]
        assert tables[0].equals(tables[1])
        assert tables[0].num_rows == rows[name]["nuclei"]["L1"] == 25
        labels = []
        for folder in (ours, theirs):
            with SlideStore.open(folder) as store:
                labels.append(store.read_labels(Box(0, 0, *shape)))
        np.testing.assert_array_equal(labels[0], labels[1])
        assert len(np.unique(labels[0])) == 26
    for name in ("picture_L1.tif", "stack_L1.tif"):
        np.testing.assert_array_equal(tifffile.imread(out / name), tifffile.imread(study / "alone" / name))
    assert crew.killed
    assert crew.before
    assert {file: file.stat().st_mtime_ns for file in crew.before} == crew.before
    assert not list((out / ".jobs").glob("*.lock"))
    assert not psutil.pid_exists(crew.killed) or psutil.Process(crew.killed).status() == psutil.STATUS_ZOMBIE


def busy_in(crew: LocalCrew) -> list[int]:
    return [worker.pid for worker in crew._workers if worker.ticket is not None]


def gone(pids: list[int]) -> bool:
    until = time.monotonic() + PATIENCE
    while any(psutil.pid_exists(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(psutil.pid_exists(pid) for pid in pids)


def network(study: Path) -> NetworkSettings:
    return NetworkSettings(str(study / "model.safetensors"), 1, ("x01",), "cpu")


def test_processes_of_this_machine(study: Path, tmp_path: Path):
    crew = LocalCrew(2)
    pids = [worker.pid for worker in crew._workers]
    assert len(set(pids)) == 2
    killing = Killing(crew, [tmp_path / name for name in SLIDES], lambda: next(iter(busy_in(crew)), 0))
    jobs = jobs_of(study, tmp_path)
    Distribution(jobs, network(study), killing).run()
    check(study, tmp_path, jobs, killing)
    assert gone(pids)


def test_workers_of_dask(study: Path, tmp_path: Path):
    pytest.importorskip("distributed")
    from napari_unetsharp.jobs.dask_crew import DaskCrew

    crew = DaskCrew("local", 2)
    pids = crew._client.run(os.getpid)
    assert len({*pids.values(), os.getpid()}) == 3

    def busy():
        return next((pids[address] for address, tasks in crew._client.processing().items() if tasks), 0)

    killing = Killing(crew, [tmp_path / name for name in SLIDES], busy)
    jobs = jobs_of(study, tmp_path)
    Distribution(jobs, network(study), killing).run()
    check(study, tmp_path, jobs, killing)
    assert gone(list(pids.values()))


def test_a_task_over_which_workers_die_is_given_up(study: Path, tmp_path: Path):
    crew = LocalCrew(1)
    over = threading.Event()

    def kill():
        while not over.wait(0.02):
            for pid in busy_in(crew):
                with contextlib.suppress(ProcessLookupError):  # it died just now
                    os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    jobs = jobs_of(study, tmp_path, "one.tif")
    try:
        Distribution(jobs, network(study), crew).run()
    finally:
        over.set()
        killer.join()
    (row,) = jobs.report["images"]
    assert row["error"] == "one.tif: 3 worker processes died over it, one after the other"
    jobs = jobs_of(study, tmp_path, "one.tif")  # nothing that it left stands in the way
    segment(jobs, Predictor(load_checkpoint(study / "model.safetensors"), "cpu", 1, ("x01",)))
    (row,) = jobs.report["images"]
    assert (row["error"], row["nuclei"]) == ("", {"L1": 25})


def test_locks_are_given_back_even_if_the_crew_does_not_end(study: Path, tmp_path: Path):
    class Stuck:
        size = 1

        def submit(self, ticket, task):
            raise KeyboardInterrupt

        def close(self):
            raise OSError("the scheduler is gone")

    with pytest.raises(OSError, match="the scheduler is gone"):
        Distribution(jobs_of(study, tmp_path), network(study), Stuck()).run()
    assert (tmp_path / ".jobs").is_dir()
    assert not list((tmp_path / ".jobs").glob("*.lock"))


def test_dask_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch):
    from napari_unetsharp.jobs.dask_crew import DaskCrew

    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SettingsError, match=r"pip install \"napari-unetsharp\[cluster\]\""):
        DaskCrew("local", 2)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense://x"])
def test_a_scheduler_that_does_not_answer_is_one_sentence(address: str, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("distributed")
    from napari_unetsharp.jobs import dask_crew

    monkeypatch.setattr(dask_crew, "_PATIENCE", 1)
    with pytest.raises(SettingsError, match="no Dask scheduler answers at"):
        dask_crew.DaskCrew(address)


@pytest.mark.parametrize(("device", "chosen"), [("auto", [0, 1, 2, 0]), ("cpu", [])])
def test_workers_share_out_the_gpus(device: str, chosen: list[int], study: Path, tmp_path: Path, monkeypatch):
    taken: list[int] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    taken_job = jobs_of(study, tmp_path, "picture.tif").next()
    assert taken_job is not None
    job, lock = taken_job
    for number in range(4):
        answer = Task(job, replace(network(study), device=device)).run(number)
        assert answer.found["nuclei"] == {"L1": 2}
    lock.release()
    assert taken == chosen


def test_blocks_are_shared_out():
    blocks = [(row, column) for row in range(5) for column in range(7)]
    for workers in (1, 2, 3, 40):
        groups = groups_of(blocks, workers)
        assert [block for group in groups for block in group] == blocks
        assert max(map(len, groups)) <= 16
        assert len(groups) >= min(2 * workers, len(blocks)) * 0.8
    assert groups_of([], 3) == []
