"""A review as files, and back: by the real review core, and at the mercy of whoever touches the folder."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest
import tifffile

from napari_unetsharp.errors import ReviewError, SaveError, ShapeError, UNetSharpError
from napari_unetsharp.images.drawn import draw_fluorescence
from napari_unetsharp.images.image import Image
from napari_unetsharp.nuclei import answers
from napari_unetsharp.nuclei.geojson_reader import read_geojson
from napari_unetsharp.nuclei.identity import identify
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.review import Review
from napari_unetsharp.nuclei.review_folder import (
    HISTORY,
    LABELS,
    OUTLINES,
    RECORD,
    TABLE,
    ViewFacts,
    load_review,
    save_review,
)
from napari_unetsharp.nuclei.review_pieces import Pieces, measure_pieces
from napari_unetsharp.nuclei.states import State

FILES = {LABELS, TABLE, OUTLINES, HISTORY, RECORD}
PICTURE, MASK = draw_fluorescence(4, 120, 150, 24)
IDS = [int(number) for number in np.unique(MASK)[1:]]


@pytest.fixture
def image():
    return Image(np.stack([PICTURE] * 3, axis=2), "YXC", (0.25, 0.25), ("micrometer",) * 2, "field")


@pytest.fixture
def review(image):
    """Right, wrong, undecided, tagged; a completed view, an ignored region; one step taken back."""
    made = Review.start(None, identify(image.pixels, "YXC"), MASK, "Müller", model="ab" * 32)
    made.apply(answers.accept, IDS[0], how="one by one", seconds=2.5)
    made.apply(answers.reject, IDS[1], "debris", how="one by one")
    made.apply(answers.reject, IDS[2], "edge", how="one by one")
    made.apply(answers.unsure, IDS[3], "out of focus", how="one by one")
    made.apply(answers.tag, IDS[4], ["mitosis", "=1+1"])
    made.apply(answers.classify, IDS[5], "tumour")
    made.apply(answers.complete_view, Box(60, 0, 110, 70), how="screen")
    made.apply(answers.ignore, [(5, 5), (5, 40), (30, 40), (30, 5)])
    made.apply(answers.reject, IDS[6])
    made.undo()
    return made


@pytest.fixture
def folder(review, image, tmp_path):
    facts = ViewFacts({IDS[0]: 0.75}, {IDS[0]: ("L3", "L4")})
    return save_review(tmp_path / "field.review", review, image, settings={"level": 4, "threshold": 0.5}, facts=facts)


def cells(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# What is written ----------------------------------------------------------------------------------------


def test_five_files(folder):
    assert {path.name for path in folder.iterdir()} == FILES


def test_labels_with_their_resolution(folder, review):
    with tifffile.TiffFile(folder / LABELS) as file:
        np.testing.assert_array_equal(file.asarray(), review.labels)
        assert file.pages.first.tags["XResolution"].value == (40000, 1)


def test_a_row_for_every_nucleus_also_those_declared_none(folder, review):
    rows = {int(row["id"]): row for row in cells(folder / TABLE)}
    assert rows.keys() == review.nuclei.keys()
    assert (rows[IDS[1]]["state"], rows[IDS[1]]["reason"]) == ("not a nucleus", "debris")
    assert int(rows[IDS[1]]["area_px"]) == review.rejected[IDS[1]].area == (IDS[1] == MASK).sum()
    assert float(rows[IDS[1]]["mean_red"]) == pytest.approx(PICTURE[IDS[1] == MASK].mean(), rel=1e-6)
    assert float(rows[IDS[0]]["area_um2"]) == pytest.approx((IDS[0] == MASK).sum() / 16)
    assert (rows[IDS[0]]["doubt"], rows[IDS[0]]["levels"], rows[IDS[3]]["doubt"]) == ("0.75", "L3 L4", "")
    assert rows[IDS[4]]["tags"] == "mitosis / =1+1"


def test_outlines_that_qupath_opens(folder, review):
    found = read_geojson(folder / OUTLINES, MASK.shape)
    np.testing.assert_array_equal(found.labels, review.labels)
    assert found.nuclei == review.nuclei
    assert (found.rejected == IDS[1]).sum() == review.rejected[IDS[1]].area


def test_history_tells_who_when_what_and_how(folder):
    rows = cells(folder / HISTORY)
    assert [row["what"] for row in rows[:4]] == ["right", "not a nucleus", "not a nucleus", "can't tell"]
    assert {row["who"] for row in rows} == {"Müller"}
    assert {row["model"] for row in rows} == {"ab" * 32}
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", row["when"]) for row in rows)
    first, last = rows[0], rows[-1]
    assert (first["nucleus"], first["from"], first["to"], first["mode"]) == (
        str(IDS[0]), "to do", "right", "one by one",
    )  # fmt: skip
    assert (last["what"], last["from"]) == ("undo not a nucleus", "not a nucleus")
    assert {row["mode"] for row in rows} >= {"one by one", "screen"}
    assert "seconds" not in first


def test_times_only_where_they_were_asked_for(review, image, tmp_path):
    save_review(tmp_path, review, image, seconds=True)
    assert cells(tmp_path / HISTORY)[0]["seconds"] == "2.5"


def test_the_record_says_what_it_was_made_of(folder, review, image):
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    assert record["image"]["identity"] == identify(image.pixels, "YXC").to_json()
    assert record["image"]["micrometres"] == [0.25, 0.25]
    assert record["model"] == {"sha256": "ab" * 32, "level": 4, "threshold": 0.5}
    assert record["counts"]["nuclei"] == len(IDS)
    assert record["counts"]["not a nucleus"] == 2
    assert set(record["files"]) == FILES - {RECORD}
    assert "napari-unetsharp" in record["versions"]
    assert record["last_id"] == max(IDS)


# And back -----------------------------------------------------------------------------------------------


def test_everything_comes_back(folder, review):
    found = load_review(folder)
    np.testing.assert_array_equal(found.labels, review.labels)
    np.testing.assert_array_equal(found.ignored, review.ignored)
    assert found.nuclei == review.nuclei
    assert found.views == review.views
    assert found.changed == ()
    for number, outline in review.rejected.items():
        np.testing.assert_array_equal(found.rejected[outline.box.slices] == number, outline.mask())
    done = [(row.action, row.nucleus, row.before, row.after) for row in found.history if row.nucleus]
    assert done == [(action.number, *change) for action in review.history for change in action.nuclei]
    assert found.image.scale == (0.25, 0.25)
    for name, column in measure_pieces(Pieces.of(review), None, (0.25, 0.25)).items():
        np.testing.assert_allclose(found.measures[name], column, rtol=1e-6)


def test_a_saved_review_starts_a_new_one(folder, image):
    found = load_review(folder)
    shown = {number: nucleus for number, nucleus in found.nuclei.items() if nucleus.state is not State.NOT}
    again = Review.start(None, identify(image.pixels, "YXC"), found.labels, nuclei=shown)
    assert again.nuclei == shown


def test_nothing_but_background(image, tmp_path):
    empty = Review.start(None, identify(image.pixels, "YXC"), np.zeros_like(MASK))
    save_review(tmp_path, empty, image)
    assert load_review(tmp_path).nuclei == {}


def test_ids_with_gaps_up_to_the_largest_and_a_nucleus_of_two_pieces(image, tmp_path):
    labels = MASK.copy()
    labels[labels == IDS[0]] = 2**31 - 1
    labels[0, 0] = labels[-1, -1] = 2**31 - 2
    review = Review.start(None, identify(image.pixels, "YXC"), labels)
    save_review(tmp_path, review, image)
    found = load_review(tmp_path)
    np.testing.assert_array_equal(found.labels, labels)
    assert found.nuclei == review.nuclei


def test_one_plane_of_a_stack(tmp_path):
    stack = Image(np.stack([PICTURE * 0, PICTURE]), "ZYX", (1.0, 0.25, 0.25), ("micrometer",) * 3, "stack")
    review = Review.start(None, identify(stack.pixels, "ZYX"), MASK)
    save_review(tmp_path, review, stack, (1,))
    found = load_review(tmp_path)
    assert found.record["image"]["plane"] == [1]
    assert found.measures["max_1"].min() > 0
    assert found.image.axes == "YX"


def test_while_somebody_goes_on(review, image, tmp_path):
    """What is saved is the moment when it was copied."""
    pieces, before = Pieces.of(review), review.labels.copy()
    review.apply(answers.reject, IDS[8])
    save_review(tmp_path, pieces, image)
    np.testing.assert_array_equal(load_review(tmp_path).labels, before)


# What goes wrong ----------------------------------------------------------------------------------------


def test_a_save_that_fails_keeps_the_old_one(folder, review, image):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    other = Image(np.zeros((50, 50), np.uint8), "YX")
    with pytest.raises(ShapeError):
        save_review(folder, review, other)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_file_in_place_of_the_folder(review, image, tmp_path):
    (tmp_path / "field").write_text("mine")
    with pytest.raises(SaveError, match="nothing was saved"):
        save_review(tmp_path / "field", review, image)


def test_a_table_edited_in_a_spreadsheet_only_if_allowed(folder):
    text = (folder / TABLE).read_text(encoding="utf-8")
    (folder / TABLE).write_text(text.replace("can't tell", "right"), encoding="utf-8")
    with pytest.raises(ReviewError, match="changed after it was saved"):
        load_review(folder)
    found = load_review(folder, changed_allowed=True)
    assert found.changed == (TABLE,)
    assert found.nuclei[IDS[3]].state is State.RIGHT


def test_labels_and_table_of_different_reviews(folder):
    tifffile.imwrite(folder / LABELS, np.full(MASK.shape, 9999, np.uint16))
    with pytest.raises(ReviewError, match="don't name the same nuclei"):
        load_review(folder, changed_allowed=True)


@pytest.mark.parametrize(
    "change",
    [
        {"layout": "unetsharp review folder 99"}, {"views": [[1, 2]]}, {"views": None}, {"views": [[1, 2, 3, "x"]]},
        {"ignored": [[[1, 2]]]}, {"ignored": 7}, {"ignored": [[]]}, {"ignored": [[[["a", 1]]]]},
        {"ignored": [[[[1e99, 1], [2, 2], [3, 1]]]]}, {"files": {}}, {"files": {"../../etc/passwd": {"sha256": ""}}},
    ],
)  # fmt: skip
def test_a_forged_record_is_one_sentence(change, folder):
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    (folder / RECORD).write_text(json.dumps(record | change), encoding="utf-8")
    with pytest.raises(UNetSharpError) as raised:
        load_review(folder)
    assert len(str(raised.value).splitlines()) == 1


def test_no_review_there(tmp_path):
    with pytest.raises(ReviewError, match="choose a folder that was saved by us"):
        load_review(tmp_path)
