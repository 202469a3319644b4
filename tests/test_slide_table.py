"""The table of a slide says what its labels show."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

for needed in ("zarr", "pyarrow"):
    pytest.importorskip(needed)

import pyarrow.parquet  # noqa: E402
from drawn_maps import about_of, computed, discs, paint_all, scattered  # noqa: E402
from skimage.measure import regionprops  # noqa: E402

from napari_unetsharp.errors import SlideRunError  # noqa: E402
from napari_unetsharp.nuclei.shapes import inside_polygon  # noqa: E402
from napari_unetsharp.slides.block_file import DamagedBlockError  # noqa: E402
from napari_unetsharp.slides.nuclei import COLUMNS, NucleusRows, rows_of  # noqa: E402
from napari_unetsharp.slides.table import read_rows, write_parts, write_rows  # noqa: E402

SHAPE = (200, 300)


@pytest.mark.parametrize("downsample", [1, 2])
def test_every_row_is_what_the_labels_show(tmp_path: Path, downsample: int) -> None:
    slide = (SHAPE[0] * downsample - downsample + 1, SHAPE[1] * downsample)
    about = about_of(slide, downsample=downsample, nucleus_size=14.0 * downsample)
    with computed(tmp_path / "run", scattered(SHAPE, 0, radii=(5, 16)), about=about) as store:
        paint_all(store, 1)
        labels, nuclei = store.read_labels(store.grid.plane), list(store.nuclei())
    ids = [one.id for one in nuclei]
    assert ids == np.unique(labels)[1:].tolist()
    places = np.searchsorted([0, *ids], labels)
    for nucleus, seen in zip(nuclei, regionprops(places), strict=True):
        assert nucleus.area == seen.area * downsample**2
        assert nucleus.area_um2 == pytest.approx(seen.area * downsample**2 * 0.25)
        assert nucleus.centroid == pytest.approx((np.array(seen.centroid) + 0.5) * downsample)
        assert nucleus.box == tuple(np.minimum(np.array(seen.bbox) * downsample, slide * 2))
        assert nucleus.diameter == pytest.approx(seen.equivalent_diameter_area * downsample)
        assert nucleus.diameter_um == pytest.approx(nucleus.diameter / 2)
        assert nucleus.perimeter == pytest.approx(seen.perimeter * downsample)
        assert nucleus.eccentricity == pytest.approx(seen.eccentricity, abs=1e-9)
        assert nucleus.major_axis_um == pytest.approx(nucleus.major_axis / 2)
        assert 0.5 <= nucleus.probability <= 1


def test_filling_the_polygons_gives_the_labels_again(tmp_path: Path) -> None:
    with computed(tmp_path / "run", scattered(SHAPE, 3)) as store:
        paint_all(store, 2)
        labels, nuclei = store.read_labels(store.grid.plane), list(store.nuclei())
    drawn = np.zeros(SHAPE, np.int32)
    for nucleus in nuclei:  # corners count from the corner of a pixel, the filling from its middle
        drawn[nucleus.box.slices][inside_polygon((nucleus.polygon - 0.5).tolist(), nucleus.box)] = nucleus.id
        assert not np.array_equal(nucleus.polygon[0], nucleus.polygon[-1])
    assert np.array_equal(drawn, labels)


def test_measures_in_micrometres_are_none_where_the_pixel_size_is_unknown(tmp_path: Path) -> None:
    with computed(tmp_path / "run", discs(SHAPE, [(60, 60, 9)]), um_per_pixel=None) as store:
        paint_all(store)
        store.finish()
        (nucleus,) = store.nuclei()
    assert nucleus.area_um2 is nucleus.diameter_um is nucleus.perimeter_um is nucleus.major_axis_um is None
    table = pyarrow.parquet.read_table(tmp_path / "run" / "nuclei.parquet")
    assert table["area_um2"].to_pylist() == [None]


def test_the_file_says_its_units_and_its_run(tmp_path: Path) -> None:
    with computed(tmp_path / "run", scattered(SHAPE, 3)) as store:
        paint_all(store)
        store.finish()
        table = pyarrow.parquet.read_table(store.folder / "nuclei.parquet")
        assert table["id"].to_pylist() == [one.id for one in store.nuclei()]
        first = next(store.nuclei())
        assert np.array_equal(np.array(table["polygon"][0].as_py()), first.polygon)
        assert table["state"][0].as_py() == "unchecked"
        assert json.loads(table.schema.metadata[b"napari_unetsharp"])["identity"] == store.about.identity
        assert table.schema.field("area_um2").metadata[b"unit"] == "µm squared".encode()
        assert set(table.schema.names) == {*COLUMNS, "polygon"}


def test_parts_are_there_before_the_end(tmp_path: Path) -> None:
    with computed(tmp_path / "run", scattered(SHAPE, 3)) as store:
        store.paint(0, 0)
        store.paint(1, 1)
        parts = sorted((store.folder / "nuclei").glob("*.parquet"))
        found = pyarrow.concat_tables([pyarrow.parquet.read_table(part) for part in parts])
        assert found["id"].to_pylist() == [one.id for one in store.nuclei()]
        assert len(found) == store.count > 30


def rows(count: int) -> NucleusRows:
    labels = np.zeros((20, 12 * count), np.int32)
    for number in range(count):
        labels[3 : 9 + number % 4, 12 * number + 1 : 12 * number + 9] = number + 1
    return rows_of(labels, (7, 5), about_of((100, 12 * count + 10)))


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    about = about_of((100, 100))
    for given in (rows(5), NucleusRows.none()):
        write_rows(tmp_path / "part.parquet", given, about)
        found = read_rows(tmp_path / "part.parquet")
        assert np.array_equal(found.points, given.points)
        assert np.array_equal(found.ends, given.ends)
        for name, column in given.columns.items():
            assert np.array_equal(found.columns[name], column)
            assert found.columns[name].dtype == column.dtype


def test_taking_and_joining_rows_keeps_their_polygons() -> None:
    given = rows(6)
    each = [given.taken(np.array([place])) for place in range(6)]
    again = NucleusRows.together([each[3], each[0], each[5]])
    assert again.ids.tolist() == [4, 1, 6]
    for place, one in zip((3, 0, 5), again, strict=True):
        assert np.array_equal(one.polygon, each[place].points)
    assert again.by_id().ids.tolist() == [1, 4, 6]
    assert np.array_equal(again.by_id().points, NucleusRows.together([each[0], each[3], each[5]]).points)


def test_many_parts_become_one_file_without_being_held_together(tmp_path: Path) -> None:
    part = rows(900)

    def parts():
        for number in range(12):
            yield part.with_columns(id=part.ids + 1000 * number)

    assert write_parts(tmp_path / "all.parquet", parts(), about_of((100, 100))) == 12 * 900
    file = pyarrow.parquet.ParquetFile(tmp_path / "all.parquet")
    assert file.metadata.num_row_groups > 1
    assert read_rows(tmp_path / "all.parquet").ids.tolist() == [
        1000 * number + one for number in range(12) for one in range(1, 901)
    ]


def test_a_damaged_part_is_said_so(tmp_path: Path) -> None:
    write_rows(tmp_path / "part.parquet", rows(3), about_of((100, 100)))
    whole = (tmp_path / "part.parquet").read_bytes()
    (tmp_path / "part.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DamagedBlockError, match="made anew"):
        read_rows(tmp_path / "part.parquet")
    with pytest.raises(DamagedBlockError):
        read_rows(tmp_path / "nowhere.parquet")


def test_without_pyarrow_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SlideRunError, match=r"napari-unetsharp\[slides\]"):
        write_rows(tmp_path / "part.parquet", rows(1), about_of((100, 100)))
