"""A run over a slide gives files that other programs read as what it holds: no nucleus lost, moved or doubled."""

from __future__ import annotations

import csv
import gzip
import json
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

for needed in ("zarr", "pyarrow", "pydicom"):
    pytest.importorskip(needed)

import pyarrow.parquet  # noqa: E402
import zarr  # noqa: E402
from painted_slides import SIDES, disc_map, filled, labels_of, painted, painted_run, write_slide  # noqa: E402

from napari_unetsharp.errors import ImageError, SaveError, SettingsError, SlideRunError  # noqa: E402
from napari_unetsharp.images.slide_open import open_slide  # noqa: E402
from napari_unetsharp.nuclei.geojson_reader import read_geojson  # noqa: E402
from napari_unetsharp.nuclei.label_settings import LabelSettings  # noqa: E402
from napari_unetsharp.nuclei.pixels import Box  # noqa: E402
from napari_unetsharp.nuclei.states import State  # noqa: E402
from napari_unetsharp.slides.about import RunAbout, run_folder  # noqa: E402
from napari_unetsharp.slides.export import SlideFormat, export_slide, is_run  # noqa: E402
from napari_unetsharp.slides.geojson import write_slide_geojson  # noqa: E402
from napari_unetsharp.slides.ngff import write_ngff  # noqa: E402
from napari_unetsharp.slides.store import SlideStore  # noqa: E402


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a DICOM slide and two runs over it: ``run``, and ``coarse`` of half the resolution."""
    folder = tmp_path_factory.mktemp("slides")
    with open_slide(write_slide(folder / "a slide.dcm")) as slide:
        painted_run(folder / "run", slide).close()
        painted_run(folder / "coarse", slide, downsample=2).close()
    return folder


@pytest.fixture
def store(place: Path) -> SlideStore:
    return SlideStore.open(place / "run")


@pytest.fixture
def coarse(place: Path) -> SlideStore:
    return SlideStore.open(place / "coarse")


def features(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))["features"]


def cells(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# GeoJSON ------------------------------------------------------------------------------------------------


def test_geojson_drawn_by_another_program_is_the_labels(store: SlideStore, coarse: SlideStore, tmp_path: Path):
    for each in (store, coarse):
        assert write_slide_geojson(tmp_path / "a.geojson", each.nuclei()) == each.count > 5
        drawn = {}
        for feature in features(tmp_path / "a.geojson"):
            (ring,) = feature["geometry"]["coordinates"]
            assert ring[0] == ring[-1]
            drawn[feature["properties"]["measurements"]["id"]] = np.array(ring)[:, ::-1]
        wide = each.about.downsample
        whole = np.kron(labels_of(each), np.ones((wide, wide), np.int32))[: SIDES[0], : SIDES[1]]
        np.testing.assert_array_equal(filled(drawn, SIDES), whole)


def test_geojson_is_what_qupath_knows(store: SlideStore, tmp_path: Path):
    write_slide_geojson(tmp_path / "a.geojson", store.nuclei(), "slide", "annotation", {"model": "nuclei v1"})
    told = json.loads((tmp_path / "a.geojson").read_text())
    assert (told["type"], told["unetsharp"]) == ("FeatureCollection", {"model": "nuclei v1"})
    first, nucleus = told["features"][0], next(iter(store.nuclei()))
    assert (first["type"], first["geometry"]["type"]) == ("Feature", "Polygon")
    assert first["properties"]["objectType"] == "annotation"
    assert first["properties"]["classification"] == {"name": "to do", "color": [230, 159, 0]}
    measured = first["properties"]["measurements"]
    assert (measured["id"], measured["area_px"]) == (nucleus.id, nucleus.area)
    assert measured["area_um2"] == pytest.approx(nucleus.area / 4, abs=1e-3)
    names = {feature["id"] for feature in told["features"]}
    assert len(names) == store.count
    for identity, same in (("slide", True), ("another", False)):
        write_slide_geojson(tmp_path / "b.geojson", store.nuclei(), identity)
        assert ({feature["id"] for feature in features(tmp_path / "b.geojson")} == names) is same


def test_rings_run_anticlockwise_with_y_upwards(store: SlideStore, tmp_path: Path):
    turned = [replace(nucleus, polygon=nucleus.polygon[::-1]) for nucleus in store.nuclei()]
    for name, nuclei in (("a", store.nuclei()), ("b", turned)):
        write_slide_geojson(tmp_path / name, nuclei)
        for feature in features(tmp_path / name):
            (ring,) = feature["geometry"]["coordinates"]
            x, y = np.array(ring).T
            assert np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) > 0


def test_our_own_reader_takes_states_back(store: SlideStore, tmp_path: Path):
    words = ["unchecked", "accepted", "edited", "added", "rejected"]
    nuclei = [replace(one, state=words[place % 5]) for place, one in enumerate(store.nuclei())]
    write_slide_geojson(tmp_path / "a.geojson", nuclei)
    read = read_geojson(tmp_path / "a.geojson", SIDES)
    kept = {one.id: one.state for one in nuclei if one.state != "rejected"}
    assert set(np.unique(read.labels)[1:].tolist()) == set(kept)
    meant = {"unchecked": State.TO_DO, "accepted": State.RIGHT, "edited": State.CHANGED, "added": State.CHANGED}
    assert {number: read.nuclei[number].state for number in kept} == {
        number: meant[word] for number, word in kept.items()
    }
    assert set(np.unique(read.rejected)[1:].tolist()) == {one.id for one in nuclei if one.state == "rejected"}


def test_packed_geojson_is_the_same(store: SlideStore, tmp_path: Path):
    for name in ("a.geojson", "a.geojson.gz", "a.geojson.zip"):
        write_slide_geojson(tmp_path / name, store.nuclei())
    plain = (tmp_path / "a.geojson").read_bytes()
    assert gzip.decompress((tmp_path / "a.geojson.gz").read_bytes()) == plain
    with zipfile.ZipFile(tmp_path / "a.geojson.zip") as packed:
        assert packed.namelist() == ["a.geojson"]
        assert packed.read("a.geojson") == plain
    assert {path.name for path in tmp_path.iterdir()} == {"a.geojson", "a.geojson.gz", "a.geojson.zip"}


def test_the_memory_of_geojson_does_not_grow_with_the_nuclei(store: SlideStore, tmp_path: Path):
    several = list(store.nuclei())

    def peak(count: int) -> int:
        tracemalloc.start()
        try:
            nuclei = (replace(several[number % len(several)], id=number + 1) for number in range(count))
            assert write_slide_geojson(tmp_path / "a.geojson.gz", nuclei) == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)
    assert peak(1500) < peak(100) + 600_000  # as text alone 1,500 nuclei take 1.8 MB


def test_a_file_before_stays_whole_when_writing_fails(store: SlideStore, tmp_path: Path):
    def broken():
        yield from list(store.nuclei())[:3]
        raise OSError(28, "No space left on device")

    (tmp_path / "a.geojson").write_text("before")
    with pytest.raises(SaveError, match="No space left on device"):
        write_slide_geojson(tmp_path / "a.geojson", broken())
    assert (tmp_path / "a.geojson").read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 1


# OME-Zarr -----------------------------------------------------------------------------------------------


def described(folder: Path, version: str) -> dict:
    """The description of a group, as the specification places it."""
    if version == "0.5":
        told = json.loads((folder / "zarr.json").read_text())
        assert (told["zarr_format"], told["node_type"]) == (3, "group")
        ome = told["attributes"]["ome"]
        assert ome["version"] == "0.5"
        return ome
    assert json.loads((folder / ".zgroup").read_text()) == {"zarr_format": 2}
    return json.loads((folder / ".zattrs").read_text())


@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_ome_zarr_follows_the_specification(coarse: SlideStore, tmp_path: Path, version: str):
    path = write_ngff(tmp_path / "a.ome.zarr", coarse, version)
    assert described(path / "labels", version)["labels"] == ["nuclei"]
    nuclei = described(path / "labels" / "nuclei", version)
    assert nuclei["image-label"]["source"] == {"image": "../../"}
    for told, folder in ((described(path, version), path), (nuclei, path / "labels" / "nuclei")):
        (multiscale,) = told["multiscales"]
        assert multiscale.get("version") == ("0.4" if version == "0.4" else None)
        assert multiscale["axes"] == [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"]
        for place, level in enumerate(multiscale["datasets"]):
            array = zarr.open_array(folder / level["path"], mode="r")
            assert array.metadata.zarr_format == (3 if version == "0.5" else 2)
            scale, *moved = level["coordinateTransformations"]
            side = 0.5 * 2 * 2**place  # µm of a pixel of level 0, twice as wide here
            assert scale == {"type": "scale", "scale": [side, side]}
            assert moved == [{"type": "translation", "translation": [(side - 0.5) / 2] * 2}]
            if version == "0.5":
                assert array.metadata.dimension_names == ("y", "x")
            else:
                assert json.loads((folder / level["path"] / ".zarray").read_text())["dimension_separator"] == "/"


@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_ome_zarr_holds_the_labels_in_every_size(tmp_path: Path, version: str):
    about = RunAbout("large", "large.svs", "0" * 64, (1100, 600), um_per_pixel=(0.5, 0.25), side=1024, margin=32)
    with painted(tmp_path / "run", about) as store:
        path = write_ngff(tmp_path / "a.ome.zarr", store, version)
        with open_slide(path / "labels" / "nuclei") as labels, open_slide(path) as probability:
            assert [level.shape for level in labels.levels] == [(1100, 600, 1), (550, 300, 1), (275, 150, 1)]
            for read, kept in ((labels, store.labels), (probability, store.probability)):
                assert read.um_per_pixel == pytest.approx((0.5, 0.25))
                for level, own in zip(read.levels, kept.levels, strict=True):
                    assert level.dtype == own.dtype
                    np.testing.assert_array_equal(np.asarray(level)[..., 0], own[:])
            assert len(np.unique(labels.levels[0][:])) - 1 == store.count > 5
            np.testing.assert_array_equal(probability.levels[0][:] > 127, labels.levels[0][:] > 0)


def test_an_independent_model_of_ome_zarr_accepts_it(store: SlideStore, tmp_path: Path):
    models = pytest.importorskip("ome_zarr_models", reason="needs ome-zarr-models")
    for version in ("0.5", "0.4"):
        path = write_ngff(tmp_path / f"{version}.ome.zarr", store, version)
        module = models.v05 if version == "0.5" else models.v04
        module.Image.from_zarr(zarr.open_group(path, mode="r"))
        module.ImageLabel.from_zarr(zarr.open_group(path / "labels" / "nuclei", mode="r"))


def test_ome_zarr_replaces_its_own_and_nothing_else(store: SlideStore, tmp_path: Path):
    path = tmp_path / "a.ome.zarr"
    write_ngff(path, store)
    (path / "left over").write_text("")
    write_ngff(path, store)
    assert not (path / "left over").exists()
    other = tmp_path / "b.ome.zarr"
    other.mkdir()
    (other / "precious").write_text("")
    with pytest.raises(SaveError, match="isn't of our making"):
        write_ngff(other, store)
    assert (other / "precious").exists()
    assert {one.name for one in tmp_path.iterdir()} == {"a.ome.zarr", "b.ome.zarr"}


# All of it ----------------------------------------------------------------------------------------------


def test_tables_hold_every_nucleus(place: Path, store: SlideStore, tmp_path: Path):
    done = export_slide(place / "run", tmp_path, [SlideFormat.CSV, SlideFormat.PARQUET])
    assert (done.nuclei, done.notes) == (store.count, [])
    rows = cells(tmp_path / "a slide_nuclei.csv")
    table = pyarrow.parquet.read_table(tmp_path / "a slide_nuclei.parquet").to_pylist()
    labels = labels_of(store)
    numbers, areas = np.unique(labels[labels > 0], return_counts=True)
    for found in (rows, table):
        assert [int(row["id"]) for row in found] == numbers.tolist()
        assert [float(row["area"]) for row in found] == areas.tolist()
        for row in found:
            y, x = np.argwhere(labels == int(row["id"])).mean(axis=0) + 0.5
            assert float(row["y"]) == pytest.approx(y)
            assert float(row["x"]) == pytest.approx(x)
    told = json.loads(pyarrow.parquet.read_schema(tmp_path / "a slide_nuclei.parquet").metadata[b"napari_unetsharp"])
    assert told["checkpoint"] == "nuclei v1"


def test_what_is_unknown_is_empty(tmp_path: Path):
    with open_slide(write_slide(tmp_path / "a.dcm", um=None)) as slide:
        painted_run(tmp_path / "run", slide).close()
    export_slide(tmp_path / "run", tmp_path / "out", [SlideFormat.CSV, SlideFormat.GEOJSON, SlideFormat.NGFF])
    assert cells(tmp_path / "out" / "a_nuclei.csv")[0]["area_um2"] == ""
    assert "area_um2" not in features(tmp_path / "out" / "a_nuclei.geojson")[0]["properties"]["measurements"]
    (multiscale,) = described(tmp_path / "out" / "a_nuclei.ome.zarr", "0.5")["multiscales"]
    assert multiscale["axes"] == [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}]


def test_a_run_that_is_not_finished_gives_what_it_has_and_says_so(place: Path, tmp_path: Path):
    with open_slide(place / "a slide.dcm") as slide, painted_run(tmp_path / "run", slide) as store:
        store.relabel(replace(store.settings, threshold=0.6))
        store.paint(0, 0)
        done = export_slide(tmp_path / "run", tmp_path, [SlideFormat.GEOJSON], packing="gz")
        assert done.notes == ["The run isn't finished: 1 of 9 blocks are done, and only those were exported."]
        assert [path.name for path in done.files] == ["a slide_nuclei.geojson.gz"]
        held = json.loads(gzip.decompress(done.files[0].read_bytes()))["features"]
        ids = {feature["properties"]["measurements"]["id"] for feature in held}
        assert len(held) == len(ids) == done.nuclei == len(list(store.nuclei()))
        path = write_ngff(tmp_path / "a.ome.zarr", store)
        shown = zarr.open_array(path / "labels" / "nuclei" / "0", mode="r")[:]
        assert set(np.unique(shown).tolist()) == {0} | ids
        before = np.unique(labels_of(store))  # what waits for the new settings is on screen, but no result
        assert len(before) > len(ids) + 1


def test_what_can_not_be_exported_is_told_in_a_sentence(place: Path, tmp_path: Path):
    assert is_run(place / "run")
    assert not is_run(place)
    with pytest.raises(SlideRunError, match="holds no run over a slide"):
        export_slide(place, tmp_path)
    with pytest.raises(SettingsError, match="choose gz or zip"):
        export_slide(place / "run", tmp_path, packing="rar")
    with pytest.raises(SlideRunError, match=r"isn't at .* any more"):
        export_slide(place / "run", tmp_path, [SlideFormat.DICOM_SEG], slide=tmp_path / "gone.dcm")
    other = write_slide(tmp_path / "other.dcm", PatientID="P2")
    with pytest.raises(ImageError, match=r"other\.dcm isn't the slide that was run"):
        export_slide(place / "run", tmp_path, [SlideFormat.DICOM_ANN], slide=other)


def test_labels_keep_what_a_person_accepted_while_the_slide_is_labelled_anew(place: Path, tmp_path: Path):
    with open_slide(place / "a slide.dcm") as slide, painted_run(tmp_path / "run", slide) as store:
        box = Box(0, 0, 100, 100)
        labels = store.read_labels(box)
        inside = np.unique(labels[10:-10, 10:-10])[1:].tolist()
        reviewed = np.isin(labels, inside[:1])
        store.write_region(box, labels, reviewed, {inside[0]: "accepted"})
        store.relabel(replace(store.settings, threshold=0.6))
        assert [one.id for one in store.nuclei()] == inside[:1]
        path = write_ngff(tmp_path / "a.ome.zarr", store)
        shown = zarr.open_array(path / "labels" / "nuclei" / "0", mode="r")[:]
        np.testing.assert_array_equal(shown, np.where(labels_of(store) == inside[0], inside[0], 0))
        assert shown.any()


def test_runs_of_slides_with_one_name_have_files_of_their_own(tmp_path: Path):
    """Two slides of one name by a job, and two runs over one by the window; into one folder."""
    folders = [tmp_path / "results" / "slide", tmp_path / "results" / "slide-2"]
    told = [RunAbout("slide", f"{case}/slide.svs", case * 32, (140, 150), side=128, margin=32) for case in ("aa", "bb")]
    (tmp_path / "results" / ".jobs").mkdir(parents=True)
    told += [replace(told[0], level=depth, maps=(f"x0{depth}",)) for depth in (1, 2)]
    folders += [run_folder(tmp_path / "slide.svs.unetsharp" / "found", about) for about in told[2:]]
    written = []
    for folder, about in zip(folders, told, strict=True):
        with SlideStore.create(folder, about, LabelSettings(smallest=4)) as store:
            plane = disc_map(about.shape)
            for row, column in store.grid:
                store.put_maps(row, column, {about.maps[0]: plane[store.grid.window(row, column).slices]})
                store.paint(row, column)
        written += export_slide(folder, tmp_path / "out", [SlideFormat.CSV, SlideFormat.GEOJSON]).files
    assert len({path.name for path in written}) == len(list((tmp_path / "out").iterdir())) == 8
    assert {path.name for path in written} >= {"slide_nuclei.csv", "slide-2_nuclei.csv"}
    again = export_slide(folders[3], tmp_path / "out", [SlideFormat.CSV]).files
    assert set(again) <= set(written)
