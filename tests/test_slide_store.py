"""A run on disk: what is kept, what is refused, and that being killed anywhere costs nothing that was done."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest

for needed in ("zarr", "pyarrow"):
    pytest.importorskip(needed)

import pyarrow.parquet  # noqa: E402
import zarr  # noqa: E402
from drawn_maps import SETTINGS, about_of, computed, content, discs, paint_all, scattered  # noqa: E402

from napari_unetsharp.errors import ShapeError, SlideRunError  # noqa: E402
from napari_unetsharp.nuclei.label_settings import LabelSettings  # noqa: E402
from napari_unetsharp.nuclei.pixels import Box  # noqa: E402
from napari_unetsharp.slides.block_file import DamagedBlockError  # noqa: E402
from napari_unetsharp.slides.store import SlideStore  # noqa: E402

SHAPE = (140, 560)
PLANE = scattered(SHAPE, 0, step=30, radii=(5, 20))
FEWER = LabelSettings(threshold=0.6, smallest=300)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A run of which all maps are there, not painted, and what it shows when it is."""
    folder = tmp_path_factory.mktemp("store")
    computed(folder / "maps", PLANE).close()
    shutil.copytree(folder / "maps", folder / "painted")
    with SlideStore.open(folder / "painted", writing=True) as store:
        paint_all(store)
        yield folder / "maps", content(store)


def copied(unbroken: tuple[Path, dict[str, Any]], tmp_path: Path) -> Path:
    return Path(shutil.copytree(unbroken[0], tmp_path / "run"))


def test_maps_come_back_as_they_were_put(tmp_path: Path) -> None:
    about = about_of(SHAPE, maps=("x02", "core"))
    with SlideStore.create(tmp_path / "run", about, SETTINGS) as store:
        sides = store.grid.window(1, 2).shape
        maps = {name: np.random.default_rng(0).integers(0, 256, sides).astype(np.uint8) for name in about.maps}
        assert not store.computed.any()
        store.put_maps(1, 2, maps, seconds=1.5)
        assert np.argwhere(store.computed).tolist() == [[1, 2]]
        found = store.maps_of(1, 2)
        assert {name: plane.tobytes() for name, plane in found.items()} == {n: m.tobytes() for n, m in maps.items()}
        with pytest.raises(ShapeError, match="core"):
            store.put_maps(0, 0, {"x02": np.zeros(store.grid.window(0, 0).shape, np.uint8)})
        with pytest.raises(ShapeError, match="uint8"):
            store.put_maps(1, 2, maps | {"core": maps["core"][1:]})


def test_it_opens_again_as_it_was(unbroken: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder = copied(unbroken, tmp_path)
    with SlideStore.open(folder, writing=True) as store:
        paint_all(store, 1)
        store.wanted = np.eye(store.grid.rows, store.grid.columns, dtype=bool)
        count = store.count
    with SlideStore.open(folder) as store:
        assert store.painted.all()
        assert store.count == count == len(list(store.nuclei()))
        assert store.settings == SETTINGS
        assert store.about == about_of(SHAPE)
        assert np.array_equal(store.wanted, np.eye(store.grid.rows, store.grid.columns, dtype=bool))
        assert not store.done
    with SlideStore.open_or_create(folder, about_of(SHAPE), SETTINGS) as store:
        assert store.painted.all()
        store.finish()
        assert store.done


def test_a_reader_follows_and_may_only_put_maps(unbroken: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder = copied(unbroken, tmp_path)
    with SlideStore.open(folder, writing=True) as store, SlideStore.open(folder) as reader:
        assert reader.count == 0
        store.paint(1, 1)
        assert reader.count == store.count > 0
        assert np.array_equal(reader.painted, store.painted)
        assert reader.read_labels(reader.grid.own(1, 1)).any()
        with pytest.raises(SlideRunError, match="for reading"):
            reader.paint(0, 0)
        with pytest.raises(SlideRunError, match="for reading"):
            reader.relabel(FEWER)
        (folder / "blocks" / "0000-0000.npz").unlink()
        assert not store.computed[0, 0]
        reader.put_maps(0, 0, {"x02": PLANE[reader.grid.window(0, 0).slices]})
        assert store.computed[0, 0]
        store.paint(0, 0)


def test_two_writers_are_refused(unbroken: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder = copied(unbroken, tmp_path)
    with SlideStore.open(folder, writing=True):
        with pytest.raises(SlideRunError, match=f"process {os.getpid()}"):
            SlideStore.open(folder, writing=True)
        with pytest.raises(SlideRunError, match="being written"):
            SlideStore.open_or_create(folder, about_of(SHAPE), SETTINGS)
    SlideStore.open(folder, writing=True).close()


def test_another_run_in_the_folder_is_refused(unbroken: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder = copied(unbroken, tmp_path)
    with pytest.raises(SlideRunError, match=r"the model, the depth"):
        SlideStore.open_or_create(folder, about_of(SHAPE, checkpoint_sha256="00" * 32, level=3), SETTINGS)
    with pytest.raises(SlideRunError, match="holds a run already"):
        SlideStore.create(folder, about_of(SHAPE), SETTINGS)
    with pytest.raises(SlideRunError, match="holds no run"):
        SlideStore.open(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("damage", ["", "{}", '{"layout": 1}', "level"])
def test_a_damaged_description_is_refused(unbroken: tuple[Path, dict[str, Any]], tmp_path: Path, damage: str) -> None:
    folder = copied(unbroken, tmp_path)
    told = (folder / "run.json").read_text()
    (folder / "run.json").write_text(told.replace('"level": 2', '"level": 3') if damage == "level" else damage)
    with pytest.raises(SlideRunError):
        SlideStore.open(folder, writing=True)
    (folder / "run.json").write_text(told)
    SlideStore.open(folder, writing=True).close()  # the lock was given back


def test_other_settings_are_as_if_there_had_been_no_others(
    unbroken: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder = copied(unbroken, tmp_path)
    with SlideStore.open(folder, writing=True) as store:
        paint_all(store, 1)
        many = store.count
        store.relabel(FEWER)
        assert not store.painted.any()
        assert store.count == 0
        assert store.read_labels(store.grid.plane).any()  # what shows stays until it is painted again
        paint_all(store, 2)
        assert 0 < store.count < many
        fewer = content(store)
    with computed(tmp_path / "new", PLANE, FEWER) as store:
        paint_all(store, 3)
        assert content(store) == fewer
    with SlideStore.open_or_create(folder, about_of(SHAPE), SETTINGS) as store:
        assert store.settings == SETTINGS
        paint_all(store, 4)
        assert content(store) == unbroken[1]


def test_blocks_that_nobody_wants_any_more_follow_new_settings(
    unbroken: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    with SlideStore.open(copied(unbroken, tmp_path), writing=True) as store:
        paint_all(store, 1)
        store.relabel(FEWER)
        store.wanted = np.zeros(store.wanted.shape, bool)
        store.finish()
        assert store.painted.all()
        assert store.done
        store.relabel(SETTINGS)
        store.finish(stop=lambda: store.painted.sum() > 2)
        assert store.painted.sum() == 3
        assert not store.done
        store.finish(table=False)
        assert not (store.folder / "nuclei.parquet").exists()
        assert [one.id for one in store.nuclei()] == np.unique(store.read_labels(store.grid.plane))[1:].tolist()


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("name", ["blocks/0001-0001.npz", "nuclei/0001-0001.npz", "nuclei/0001-0001.parquet"])
def test_a_damaged_file_is_made_anew(
    unbroken: tuple[Path, dict[str, Any]], tmp_path: Path, name: str, half: bool
) -> None:
    folder = Path(shutil.copytree(unbroken[0].with_name("painted"), tmp_path / "run", ignore=lambda *_: ["lock"]))
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2] if half else bytes(255 - one for one in whole))
    with SlideStore.open(folder, writing=True) as store:
        assert len(list(store.nuclei())) == len(unbroken[1]["nuclei"])
        if name.startswith("blocks"):
            with pytest.raises(DamagedBlockError, match="block 1, 1"):
                store.paint(1, 1)
            assert not store.computed[1, 1]
            store.put_maps(1, 1, {"x02": PLANE[store.grid.window(1, 1).slices]})
        store.paint(1, 1)
        store.paint(0, 1)
        assert content(store) == unbroken[1]


def test_a_neighbour_that_is_lost_is_to_be_done_again_and_stops_nobody(
    unbroken: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(unbroken[0].with_name("painted"), tmp_path / "run", ignore=lambda *_: ["lock"]))
    for name in ("blocks", "nuclei"):
        (folder / name / "0001-0001.npz").write_bytes(b"nothing")
    with SlideStore.open(folder, writing=True) as store:
        store.paint(0, 1)
        assert np.argwhere(~store.painted).tolist() == np.argwhere(~store.computed).tolist() == [[1, 1]]
        store.finish()
        assert not store.done
        store.put_maps(1, 1, {"x02": PLANE[store.grid.window(1, 1).slices]})
        store.paint(1, 1)
        assert content(store) == unbroken[1]
        (folder / "blocks" / "0001-0001.npz").write_bytes(b"nothing")
        store.relabel(SETTINGS)
        store.finish()  # all but the damaged one
        assert not store.done
        assert np.argwhere(~store.painted).tolist() == [[1, 1]]


def test_without_the_list_of_painted_blocks_they_are_painted_again(
    unbroken: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(unbroken[0].with_name("painted"), tmp_path / "run", ignore=lambda *_: ["lock"]))
    (folder / "painted.npy").write_bytes(b"nonsense")
    with SlideStore.open(folder, writing=True) as store:
        assert not store.painted.any()
        assert content(store) == unbroken[1]


class _Killed(BaseException):
    """Stands for the end of the process."""


def test_ending_at_any_write_and_going_on_in_another_order(
    unbroken: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, replace = copied(unbroken, tmp_path), os.replace
    rng, left = np.random.default_rng(7), [0]

    def ending(source: Any, target: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise _Killed
        replace(source, target)

    monkeypatch.setattr(os, "replace", ending)
    ends = 0
    for _ in range(60):
        left[0] = int(rng.integers(1, 9))
        store = SlideStore.open_or_create(folder, about_of(SHAPE), SETTINGS)
        try:
            paint_all(store, int(rng.integers(1000)))
            break
        except _Killed:
            ends += 1
        finally:
            left[0] = 0
            store.close()
    assert ends > 5
    with SlideStore.open(folder, writing=True) as store:
        assert content(store) == unbroken[1]


def test_killed_for_real_it_goes_on_and_takes_the_lock_back(
    unbroken: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder = copied(unbroken, tmp_path)
    script = """
        import os, signal, sys
        from pathlib import Path
        from napari_unetsharp.slides.store import SlideStore
        store = SlideStore.open(Path(sys.argv[1]), writing=True)
        replace, left = os.replace, [25]
        def counted(source, target):
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            replace(source, target)
        os.replace = counted
        for place in store.grid:
            store.paint(*place)
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(script), str(folder)], check=False, timeout=120)
    assert ended.returncode == -signal.SIGKILL
    with SlideStore.open(folder, writing=True) as store:
        assert 0 < store.painted.sum() < store.grid.blocks
        paint_all(store, 3)
        assert content(store) == unbroken[1]
    assert not [*folder.rglob("*.partial"), *folder.rglob("*.part")]


def test_reading_while_it_is_painted_never_meets_half_a_file(
    unbroken: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder, seen = copied(unbroken, tmp_path), []
    with SlideStore.open(folder, writing=True) as store:
        worker = Thread(target=paint_all, args=(store, 1))
        worker.start()
        while worker.is_alive():
            seen.append((len(list(store.nuclei())), int(store.labels.levels[-1][:].max()), store.count))
        worker.join()
        assert len(list(store.nuclei())) == len(unbroken[1]["nuclei"])
    assert seen[-1][0] > 0


def test_a_slide_of_any_size_is_made_at_once_and_small(tmp_path: Path) -> None:
    about = about_of((100_000, 90_000), side=1024, margin=64, downsample=1)
    with SlideStore.create(tmp_path / "run", about, SETTINGS) as store:
        window = store.grid.window(60, 40)
        plane = discs(window.shape, [(700, 500, 9), (64, 64, 9)])
        store.put_maps(60, 40, {"x02": plane})
        assert store.paint(60, 40) == 2
        assert {one.centroid for one in store.nuclei(Box(60 * 1024, 40 * 1024, 61 * 1024, 41 * 1024))} == {
            (window.top + 700.5, window.left + 500.5), (window.top + 64.5, window.left + 64.5),
        }  # fmt: skip
        store.finish()
    assert sum(path.stat().st_size for path in (tmp_path / "run").rglob("*") if path.is_file()) < 2_000_000


def test_a_full_disk_is_said_so(unbroken: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: Any) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with SlideStore.open(copied(unbroken, tmp_path), writing=True) as store:
        monkeypatch.setattr(os, "replace", full)
        with pytest.raises(SlideRunError, match="make room"):
            store.paint(0, 0)
        with pytest.raises(SlideRunError, match="make room"):
            store.put_maps(0, 0, {"x02": PLANE[store.grid.window(0, 0).slices]})
        monkeypatch.undo()
        paint_all(store)
        assert content(store) == unbroken[1]


def test_a_pixel_size_that_is_told_later_reaches_everything(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with computed(folder, PLANE, um_per_pixel=None) as store:
        paint_all(store)
        labels, box = store.read_labels(store.grid.plane), Box(10, 100, 110, 260)
        one = int(store.read_labels(box).max())
        store.write_region(box, store.read_labels(box), np.ones(box.shape, bool), {one: "accepted"})
        store.finish()
        assert all(nucleus.area_um2 is None for nucleus in store.nuclei())
    for size in ((0.25, 0.5), (0.5, 0.5)):
        told = about_of(SHAPE, um_per_pixel=size)
        with SlideStore.open_or_create(folder, told, SETTINGS) as store:
            assert store.about == told
            assert not store.done
            paint_all(store)
            store.finish()
            assert np.array_equal(store.read_labels(store.grid.plane) > 0, labels > 0)
        with SlideStore.open(folder) as store:
            found = list(store.nuclei())
            assert {nucleus.state for nucleus in found} == {"unchecked", "accepted"}
            for nucleus in found:
                assert nucleus.area_um2 == pytest.approx(nucleus.area * size[0] * size[1])
                assert nucleus.major_axis_um is not None
            rows = pyarrow.parquet.read_table(folder / "nuclei.parquet").to_pylist()
            assert [row["area_um2"] for row in rows] == [nucleus.area_um2 for nucleus in found]
            for pyramid in (store.labels, store.probability):
                (image,) = zarr.open_group(pyramid.path, mode="r").attrs["ome"]["multiscales"]
                assert [axis["unit"] for axis in image["axes"]] == ["micrometer"] * 2
                assert image["datasets"][1]["coordinateTransformations"][0]["scale"] == [2 * side for side in size]
    with SlideStore.open_or_create(folder, about_of(SHAPE, um_per_pixel=None), SETTINGS) as store:
        assert store.about.um_per_pixel == (0.5, 0.5)  # nobody says otherwise
        assert store.painted.all()


def test_others_read_while_the_table_is_written(
    unbroken: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The window asks for nuclei while a run ends; it doesn't wait for the table of the whole slide."""
    begun, go_on = Event(), Event()

    def slow(path: Path, parts: Iterator[Any], about: Any) -> int:
        next(parts)
        begun.set()
        assert go_on.wait(60)
        return 0

    monkeypatch.setattr("napari_unetsharp.slides.store.write_parts", slow)
    with SlideStore.open(copied(unbroken, tmp_path), writing=True) as store:
        ending = Thread(target=store.finish)
        ending.start()
        assert begun.wait(60)
        read = Thread(target=lambda: list(store.nuclei()))
        read.start()
        read.join(20)
        waited = read.is_alive()
        go_on.set()
        ending.join()
        assert not waited
        assert store.done
