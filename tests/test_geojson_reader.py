"""GeoJSON of QuPath and of people who mean harm."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_unetsharp.errors import LabelsError
from napari_unetsharp.nuclei.geojson_reader import read_geojson
from napari_unetsharp.nuclei.states import Nucleus, State

SHAPE = (20, 30)


def square(left, top, side=4):
    return [[left, top], [left + side, top], [left + side, top + side], [left, top + side], [left, top]]


def feature(*rings, kind="detection", **more):
    geometry = {"type": "Polygon", "coordinates": list(rings or [square(2, 3)])}
    return {"type": "Feature", "geometry": geometry, "properties": {"objectType": kind, **more}}


@pytest.fixture
def read(tmp_path):
    def from_content(content, shape=SHAPE, **options):
        path = tmp_path / "from qupath.geojson"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return read_geojson(path, shape, **options)

    return from_content


def collection(*features):
    return {"type": "FeatureCollection", "features": list(features)}


# What QuPath writes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", [collection, lambda one: [one], lambda one: one, lambda one: one["geometry"]])
def test_collection_list_feature_or_geometry(read, wrap):
    found = read(wrap(feature()))
    assert np.argwhere(found.labels)[[0, -1]].tolist() == [[3, 2], [6, 5]]
    assert found.nuclei == {1: Nucleus(1)}


def test_of_a_cell_the_nucleus(read):
    cell = feature(square(0, 0, 12), kind="cell") | {
        "nucleusGeometry": {"type": "Polygon", "coordinates": [square(3, 3)]}
    }
    assert read(collection(cell)).labels.sum() == 16


def test_multipolygon_with_a_hole_and_a_plane(read):
    geometry = {
        "type": "MultiPolygon", "coordinates": [[square(0, 0, 6), square(1, 1, 2)], [square(10, 10)]],
        "plane": {"c": -1, "z": 0, "t": 0},
    }  # fmt: skip
    assert read(collection(feature() | {"geometry": geometry})).labels.sum() == 36 - 4 + 16


def test_annotations_are_nuclei_only_where_there_is_nothing_else(read):
    tissue = feature(square(0, 0, 20), kind="annotation")
    assert (read(collection(tissue)).labels == 1).sum() == 400
    found = read(collection(tissue, feature()))
    assert found.labels.sum() == 16
    assert found.notes == ["1 annotations were left out: the nuclei are its detections and cells."]


def test_children_of_objects(read):
    tissue = feature(square(0, 0, 20), kind="annotation", childObjects=[feature(), feature(square(9, 9))])
    assert sorted(read(collection(tissue)).nuclei) == [1, 2]


def test_points_tiles_and_what_has_no_outline_are_counted(read):
    point = feature() | {"geometry": {"type": "Point", "coordinates": [3, 4]}}
    nothing = feature() | {"geometry": None}
    found = read(collection(feature(), point, nothing, feature(kind="tile"), feature(square(1, 1, 0))))
    assert len(found.nuclei) == 1
    assert sorted(found.notes)[:4] == [
        "1 objects without an outline were left out.", "1 outlines have no pixel: they lie outside the image, under "
        "others, or are too thin.", "1 points or lines were left out.", "1 tiles were left out.",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("classification", "kind", "state"),
    [
        ({"name": "Tumor", "color": [200, 0, 0]}, "Tumor", State.TO_DO),
        ({"name": "Tumor", "colorRGB": -3670016}, "Tumor", State.TO_DO),
        ({"names": ["Tumor", "Positive"]}, "Tumor: Positive", State.TO_DO),
        ({"names": ["Tumor", "changed"]}, "Tumor", State.CHANGED),
        ("Tumor: can't tell", "Tumor", State.UNSURE),
        ({"name": "right"}, "", State.RIGHT),
        (None, "", State.TO_DO),
        ({"name": 7}, "", State.TO_DO),
    ],
)
def test_classes(read, classification, kind, state):
    nucleus = read(collection(feature(classification=classification))).nuclei[1]
    assert (nucleus.kind, nucleus.state) == (kind, state)


def test_ids_of_ours_are_kept_in_old_and_new_measurements(read):
    new = feature(measurements={"id": 77, "NaN is what QuPath writes": float("nan")})
    old = feature(square(9, 9), measurements=[{"name": "Area", "value": 4}, {"name": "id", "value": 78.0}])
    assert sorted(read(collection(new, old, feature(square(20, 3)))).nuclei) == [77, 78, 79]


def test_an_id_that_comes_twice_is_given_once(read):
    one, two = feature(measurements={"id": 5}), feature(square(9, 9), measurements={"id": 5})
    found = read(collection(one, two))
    assert sorted(found.nuclei) == [5, 6]
    assert "1 nuclei have an id that another one has" in found.notes[0]


@pytest.mark.parametrize("odd", [0, -3, 2.5, 2**31, "7", None, True, 1e300])
def test_ids_that_are_none(read, odd):
    assert sorted(read(collection(feature(measurements={"id": odd}))).nuclei) == [1]


def test_a_region_of_a_slide_at_another_resolution(read):
    """QuPath counts from the corner of the slide, at full resolution."""
    found = read(collection(feature(square(1040, 2048, 16))), origin=(2000, 1000), downsample=4)
    assert np.argwhere(found.labels)[[0, -1]].tolist() == [[12, 10], [15, 13]]


@pytest.mark.parametrize("downsample", [0, -1, float("nan")])
def test_a_resolution_that_makes_no_sense(read, downsample):
    with pytest.raises(LabelsError, match="downsampling"):
        read(collection(feature()), downsample=downsample)


def test_open_rings_depth_and_marks_at_the_start(read):
    ring = [[x, y, 0.5] for x, y in square(2, 3)[:-1]]
    text = "\ufeff\n\t " + json.dumps(collection(feature(ring)), indent=2)
    assert read(text).labels.sum() == 16


def test_members_in_any_order(read):
    text = f'{{"features": [{json.dumps(feature())}], "crs": {{"a": [1, 2]}}, "type": "FeatureCollection"}}'
    assert len(read(text).nuclei) == 1


def test_outlines_that_cross_themselves_are_read_and_told(read):
    found = read(collection(feature([[1, 1], [9, 9], [9, 1], [1, 9], [1, 1]])))
    assert found.labels.any()
    assert "1 outlines cross themselves" in found.notes[0]


def test_pixels_that_two_nuclei_claim_are_counted(read):
    found = read(collection(feature(), feature(square(4, 3))))
    assert found.notes == ["8 pixels lie in several nuclei; the first in the file keeps them."]
    assert (found.labels == 1).sum() == 16


# What people who mean harm write ------------------------------------------------------------------------


DEEP = 100_000
HARM = {
    "nothing": "",
    "space": " \n" * 50,
    "no JSON": "II*\x00",
    "half": json.dumps(collection(feature()))[:-30],
    "more": json.dumps(collection(feature())) + "[1]",
    "nested lists": "[" * DEEP,
    "nested objects": '{"a":' * DEEP,
    "nested features": '{"features":[' + '{"properties":{"childObjects":[' * DEEP,
    "nested coordinates": '{"features":[{"geometry":{"type":"Polygon","coordinates":' + "[" * DEEP,
    "nested collections": '[{"geometry":' + '{"type":"GeometryCollection","geometries":[' * 400 + "]}" * 400 + "}]",
    "a number": "12",
    "features without end": '{"features": [' + "{}," * 1000,
    "no feature": "[1, 2, 3]",
    "no features": collection(),
    "only points": collection(feature() | {"geometry": {"type": "Point", "coordinates": [1, 2]}}),
    "no geometry": collection({"type": "Feature"}),
    "no coordinates": collection(feature() | {"geometry": {"type": "Polygon"}}),
    "unknown geometry": collection(feature() | {"geometry": {"type": "Blob", "coordinates": [[1, 2]]}}),
    "NaN": collection(feature([[float("nan"), 1], [3, 1], [3, 3]])),
    "infinite": collection(feature([[float("inf"), 1], [3, 1], [3, 3]])),
    "no number": collection(feature([[None, 1], [3, 1], [3, 3]])),
    "words": collection(feature([["a", 1], [3, 1], [3, 3]])),
    "no pairs": collection(feature([[1], [3], [3]])),
    "ragged": collection(feature([[1, 2], [3], [3, 4]])),
    "object": collection(feature({"x": 1})),
    "huge": collection(feature([[1e300, 1], [3, 1], [3, 3]])),
    "five thousand digits": '[{"geometry":{"type":"Polygon","coordinates":[[[' + "9" * 5000 + ",1],[3,1],[3,3]]]}}]",
    "elsewhere": collection(feature(square(1e6, 1e6))),
    "not UTF-8": b'{"features": ["\xff\xfe"]}',
    "compressed": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
}


@pytest.mark.parametrize("name", HARM)
def test_harm_is_one_sentence(read, name):
    with pytest.raises(LabelsError) as raised:
        read(HARM[name])
    assert len(str(raised.value).splitlines()) == 1


def test_an_endless_element_is_not_read_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_unetsharp.nuclei.json_stream.LARGEST", 1 << 20)
    path = tmp_path / "a.geojson"
    path.write_text('[["' + "x" * (1 << 23), encoding="utf-8")
    with pytest.raises(LabelsError, match="more than 1,048,576 characters"):
        read_geojson(path, SHAPE)


def test_elements_across_the_borders_of_what_is_read_at_once(read, monkeypatch):
    """Wherever the text is cut, the same comes out."""
    content = collection(
        *(feature(square(x, y, 2), measurements={"id": 30 * y + x + 1}) for x in (1, 9) for y in (2, 8))
    )
    whole = read(content)
    for size in (1, 2, 7, 64):
        monkeypatch.setattr("napari_unetsharp.nuclei.json_stream._CHUNK", size)
        found = read(content)
        assert found.nuclei == whole.nuclei
        np.testing.assert_array_equal(found.labels, whole.labels)


def test_a_missing_file(tmp_path):
    with pytest.raises(LabelsError, match="can't be read"):
        read_geojson(tmp_path / "none.geojson", SHAPE)
