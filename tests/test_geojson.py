"""GeoJSON for QuPath: what is written, and that it comes back as it was."""

from __future__ import annotations

import json
import uuid

import numpy as np
import pytest

from napari_unetsharp.images.drawn import draw_fluorescence
from napari_unetsharp.nuclei.geojson import CLASS_COLOURS, STATE_COLOURS, write_geojson
from napari_unetsharp.nuclei.geojson_reader import read_geojson
from napari_unetsharp.nuclei.measure import measure, with_views
from napari_unetsharp.nuclei.outlines import outlines
from napari_unetsharp.nuclei.states import Nucleus, State

LARGEST = 2**31 - 1


@pytest.fixture
def field():
    """A drawn field with gaps in the ids, a hole, two pieces, and nuclei at all four edges."""
    _, mask = draw_fluorescence(5, 160, 150, 40)
    labels = mask * 3
    labels[0, :5] = labels[-1, 7:9] = LARGEST
    labels[40:60, 0], labels[80:90, -1] = 70001, 70002
    labels[100:109, 100:109] = 70003
    labels[103:106, 103:106] = 0
    labels[20, 20], labels[21, 21] = 70004, 70004
    return labels


def strictly(path):
    """Content of a JSON file as a strict parser sees it."""

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def written(path, labels, *more, **options):
    write_geojson(path, outlines(labels), *more, **options)
    return strictly(path)


def test_a_feature_as_qupath_takes_it(tmp_path):
    labels = np.array([[0, 4], [0, 4]])
    nuclei = {4: Nucleus(4, State.NOT, "debris")}
    found = written(tmp_path / "a.geojson", labels, nuclei, measure(labels))
    assert found["type"] == "FeatureCollection"
    [feature] = found["features"]
    assert feature["type"] == "Feature"
    assert feature["geometry"] == {"type": "Polygon", "coordinates": [[[1, 0], [2, 0], [2, 2], [1, 2], [1, 0]]]}
    properties = feature["properties"]
    assert properties["objectType"] == "detection"
    assert properties["classification"] == {"name": "not a nucleus", "color": [213, 94, 0]}
    assert properties["measurements"]["id"] == 4
    assert properties["measurements"]["area_px"] == 2
    assert properties["metadata"] == {"state": "not a nucleus", "reason": "debris"}
    assert str(uuid.UUID(feature["id"])) == feature["id"]


def test_two_pieces_and_a_hole(tmp_path):
    labels = np.array([[1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 1, 0], [0, 0, 0, 1]])
    [feature] = written(tmp_path / "a.geojson", labels)["features"]
    assert feature["geometry"]["type"] == "MultiPolygon"
    assert [len(polygon) for polygon in feature["geometry"]["coordinates"]] == [2, 1]


def test_what_is_unknown_is_left_out(tmp_path):
    """QuPath can't read NaN."""
    labels = np.array([[1, 1], [2, 2]])
    measures = measure(labels, np.array([[1.0, np.nan], [2, 2]])[..., np.newaxis], (1.0, 2.0))
    one, two = written(tmp_path / "a.geojson", labels, None, measures)["features"]
    assert "mean_1" not in one["properties"]["measurements"]
    assert two["properties"]["measurements"]["mean_1"] == 2
    assert "perimeter_um" not in two["properties"]["measurements"]
    assert "classification" not in one["properties"]


def test_ids_are_those_of_the_nucleus_and_the_image(tmp_path, field):
    def ids(labels, image):
        return {
            feature["properties"]["measurements"]["id"]: feature["id"]
            for feature in written(tmp_path / "a.geojson", labels, image=image)["features"]
        }

    first, other = ids(field, "one"), ids(field, "two")
    assert ids(np.where(field == 70003, 0, field), "one").items() <= first.items()
    assert len({*first.values(), *other.values()}) == 2 * len(first)


def test_classes_have_a_name_and_a_colour(tmp_path):
    labels = np.array([[1, 2, 3]])
    nuclei = {
        1: Nucleus(1, State.RIGHT, kind="tumour: large"), 2: Nucleus(2, kind="lymphocyte"), 3: Nucleus(3),
    }  # fmt: skip
    found = [feature["properties"] for feature in written(tmp_path / "a.geojson", labels, nuclei)["features"]]
    assert found[0]["classification"] == {"names": ["tumour large", "right"], "color": list(CLASS_COLOURS[1])}
    assert found[1]["classification"] == {"names": ["lymphocyte", "to do"], "color": list(CLASS_COLOURS[0])}
    assert found[2]["classification"] == {"name": "to do", "color": list(STATE_COLOURS[State.TO_DO])}


def test_every_state_has_a_colour_of_its_own():
    assert len({STATE_COLOURS[state] for state in State}) == len(State)


def test_texts_among_the_measures_are_metadata(tmp_path):
    labels = np.array([[1, 2]])
    measures = with_views(measure(labels), {1: 0.5}, {1: ["L3", "L4"]})
    one, two = written(tmp_path / "a.geojson", labels, {}, measures)["features"]
    assert one["properties"]["metadata"]["levels"] == "L3 L4"
    assert one["properties"]["measurements"]["doubt"] == 0.5
    assert two["properties"]["measurements"]["levels_seen"] == 0


def test_annotations_and_facts(tmp_path):
    found = written(tmp_path / "a.geojson", np.eye(2, dtype=int), object_type="annotation", facts={"model": "µ"})
    assert found["unetsharp"] == {"model": "µ"}
    assert found["features"][0]["properties"]["objectType"] == "annotation"


def test_no_nuclei(tmp_path):
    assert written(tmp_path / "a.geojson", np.zeros((3, 3), int))["features"] == []


def test_a_failure_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.geojson"
    before = written(path, np.eye(2, dtype=int))

    def broken():
        yield next(outlines(np.eye(2, dtype=int)))
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        write_geojson(path, broken())
    assert strictly(path) == before
    assert list(tmp_path.iterdir()) == [path]


def test_round_trip(tmp_path, field):
    states, tags = list(State), (("mitosis",), (), ("a / b", "\\", "=1+1"))
    nuclei = {
        int(number): Nucleus(
            int(number), states[place % 5], ("", "debris")[place % 2], ("", "tumour", "a: b")[place % 3],
            tags[place % 3],
        )
        for place, number in enumerate(np.unique(field)[1:])
    }  # fmt: skip
    write_geojson(tmp_path / "a.geojson", outlines(field), nuclei, measure(field))
    found = read_geojson(tmp_path / "a.geojson", field.shape)
    assert found.notes == []
    assert found.nuclei == nuclei
    np.testing.assert_array_equal(found.labels + found.rejected, field)
    rejected = [number for number, nucleus in nuclei.items() if nucleus.state is State.NOT]
    np.testing.assert_array_equal(found.rejected > 0, np.isin(field, rejected))


def test_round_trip_of_a_mask_alone(tmp_path, field):
    write_geojson(tmp_path / "a.geojson", outlines(field))
    np.testing.assert_array_equal(read_geojson(tmp_path / "a.geojson", field.shape).labels, field)


def test_a_state_set_in_qupath_counts(tmp_path):
    """QuPath changes the classification and keeps metadata as they were."""
    labels = np.array([[1, 2]])
    text = json.dumps(written(tmp_path / "a.geojson", labels, {}))
    (tmp_path / "b.geojson").write_text(text.replace('{"name": "to do"', '{"name": "right"', 1), encoding="utf-8")
    found = read_geojson(tmp_path / "b.geojson", labels.shape)
    assert [found.nuclei[number].state for number in (1, 2)] == [State.RIGHT, State.TO_DO]
