"""Tables that spreadsheets open and that come back as they were."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unetsharp.errors import LabelsError
from napari_unetsharp.nuclei.measure import measure, with_views
from napari_unetsharp.nuclei.states import REASONS, Nucleus, State
from napari_unetsharp.nuclei.table import HISTORY, HistoryRow, read_history, read_nuclei, write_history, write_nuclei
from napari_unetsharp.nuclei.texts import join_tags, number_texts, plain_text, safe_text, split_tags

LABELS = np.array([[1, 1, 0], [1, 0, 2**31 - 1], [0, 70, 70]])
FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "＝1+1", "a;=1", 'x,"=1', "a\n=1", "%0", "|calc", "'=1"]

words = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=12).map(str.strip)


def cells(path, delimiter=","):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter=delimiter))


def nuclei_of(*free):
    states = list(State)
    return {
        number: Nucleus(number, states[place % 5], REASONS[place % 5], text, (text, "b"))
        for place, (number, text) in enumerate(zip((1, 70, 2**31 - 1, 5, 6), free, strict=False))
    }


# Words --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_begins_like_a_formula(text, tmp_path):
    """Not in countries whose spreadsheets cut at semicolons either."""
    nuclei = {1: Nucleus(1, kind=text, tags=(text, text))}
    write_nuclei(tmp_path / "a.csv", nuclei, {})
    write_history(tmp_path / "b.csv", [HistoryRow(1, "2026", text, text, text)])
    for name in ("a.csv", "b.csv"):
        for delimiter in (",", ";"):
            for row in cells(tmp_path / name, delimiter):
                assert not [cell for cell in row if cell.strip()[:1] in tuple("=+-@%|＝＋－＠")]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(words)
def test_words_come_back(text):
    assert plain_text(safe_text(text)) == text


@pytest.mark.parametrize("text", ["right", "can't tell", "Müller 細胞", "a, b; c", "3-4", ""])
def test_ordinary_words_stay_as_they_are(text):
    assert safe_text(text) == text


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.text(st.sampled_from("ab /\\"), min_size=1, max_size=6), max_size=4))
def test_tags_come_back(tags):
    assert split_tags(join_tags(tags)) == tuple(tags)


def test_numbers_have_a_point_and_seven_digits():
    found = number_texts(np.array([1 / 3, 2.0, np.nan, np.inf, -1e-9, 123456789.0]))
    assert found == ["0.3333333", "2", "", "", "-1e-09", "1.234568e+08"]
    assert number_texts(np.array([2**31 - 1, 0])) == ["2147483647", "0"]


# nuclei.csv ---------------------------------------------------------------------------------------------


def test_a_row_per_nucleus(tmp_path):
    measures = with_views(measure(LABELS, micrometres=(0.5, 0.5)), {1: 0.25}, {1: ("L3", "L4")})
    write_nuclei(tmp_path / "a.csv", nuclei_of("tumour"), measures)
    header, first, *others = cells(tmp_path / "a.csv")
    assert header[:11] == [
        "id", "state", "reason", "class", "tags", "doubt", "levels", "levels_seen", "y_px", "x_px", "area_px",
    ]  # fmt: skip
    assert first[:11] == [
        "1",
        "to do",
        "debris",
        "tumour",
        "tumour / b",
        "0.25",
        "L3 L4",
        "2",
        "0.3333333",
        "0.3333333",
        "3",
    ]
    assert [row[0] for row in others] == ["70", str(2**31 - 1)]
    assert others[0][1:8] == ["to do", "", "", "", "", "", "0"]


@pytest.mark.parametrize("free", [("tumour", "a: b", "x"), ("=1+1", "'", '"quoted", and; more')])
def test_round_trip(free, tmp_path):
    nuclei = nuclei_of(*free)
    measures = with_views(measure(LABELS, np.random.default_rng(0).random((3, 3, 2))), {1: 0.5}, {70: ("L4",)})
    write_nuclei(tmp_path / "a.csv", nuclei, measures)
    found, columns = read_nuclei(tmp_path / "a.csv")
    assert found == nuclei
    assert list(columns) == list(measures)
    for name, column in measures.items():
        if name == "levels":
            assert columns[name].tolist() == column.tolist()
        else:
            np.testing.assert_allclose(columns[name], column, rtol=1e-6, err_msg=name)


def test_a_nucleus_without_measures_has_empty_cells(tmp_path):
    write_nuclei(tmp_path / "a.csv", {4: Nucleus(4, State.NOT)}, measure(np.zeros((2, 2), int)))
    found, columns = read_nuclei(tmp_path / "a.csv")
    assert found == {4: Nucleus(4, State.NOT)}
    assert np.isnan(columns["area_px"]).all()


def test_a_mask_alone_has_no_states(tmp_path):
    write_nuclei(tmp_path / "a.csv", None, measure(LABELS))
    assert cells(tmp_path / "a.csv")[0][:2] == ["id", "y_px"]
    assert read_nuclei(tmp_path / "a.csv")[0][70] == Nucleus(70)


def test_saved_again_by_a_spreadsheet_that_writes_commas_in_numbers(tmp_path):
    write_nuclei(tmp_path / "a.csv", nuclei_of("a", "b", "c"), measure(LABELS))
    rows = [[cell.replace(".", ",") for cell in row] for row in cells(tmp_path / "a.csv")]
    with (tmp_path / "b.csv").open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file, delimiter=";").writerows([*rows, [""] * len(rows[0])])
    (nuclei, columns), (others, again) = read_nuclei(tmp_path / "a.csv"), read_nuclei(tmp_path / "b.csv")
    assert others == nuclei
    np.testing.assert_array_equal(columns["y_px"], again["y_px"])


@pytest.mark.parametrize(
    "content",
    [
        b"", b"state\nright\n", b"id,id\n1,2\n", b"id\nx\n", b"id\n-1\n", b"id\n0\n", b"id\n1.5\n", b"id\n1\n1\n",
        b"id\n2147483648\n", b"id\n99999999999999999999\n", b"id,state\n1\n", b"id,state\n1,good\n", b"id\n\xff\n",
        b"id,state\n1,\"" + b"x" * 200_000, "id\n٣\n".encode(), b"\x00\x01\x02",
    ],
)  # fmt: skip
def test_what_is_no_such_table_is_one_sentence(content, tmp_path):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(LabelsError) as raised:
        read_nuclei(tmp_path / "a.csv")
    assert len(str(raised.value).splitlines()) == 1


def test_a_missing_table(tmp_path):
    with pytest.raises(LabelsError, match="can't be read"):
        read_nuclei(tmp_path / "none.csv")


# history.csv --------------------------------------------------------------------------------------------


ROWS = [
    HistoryRow(1, "2026-11-21T08:00:00.000+00:00", "Müller", "right", "one by one", 7, "to do", "right", "ab12", 1.5),
    HistoryRow(2, "2026-11-21T08:00:01.000+00:00", "=evil()", "complete view", "screen", 0, "", "", "ab12"),
    HistoryRow(3, "2026-11-21T08:00:02.000+00:00", "", "undo right", "", 7, "right", "to do"),
]


def test_history_comes_back(tmp_path):
    write_history(tmp_path / "a.csv", ROWS, seconds=True)
    assert read_history(tmp_path / "a.csv") == ROWS
    assert cells(tmp_path / "a.csv")[1][-1] == "1.5"


def test_times_only_where_they_were_asked_for(tmp_path):
    write_history(tmp_path / "a.csv", ROWS)
    assert cells(tmp_path / "a.csv")[0] == list(HISTORY)
    assert [row.seconds for row in read_history(tmp_path / "a.csv")] == [None] * 3


@pytest.mark.parametrize("change", [("action", "deed"), ("1.5", "soon"), ("one by one,7", "one by one,seven")])
def test_a_history_that_is_none(change, tmp_path):
    write_history(tmp_path / "a.csv", ROWS, seconds=True)
    text = (tmp_path / "a.csv").read_text(encoding="utf-8")
    (tmp_path / "a.csv").write_text(text.replace(*change), encoding="utf-8")
    with pytest.raises(LabelsError):
        read_history(tmp_path / "a.csv")
