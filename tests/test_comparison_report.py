"""The table as text and the page: complete, self-contained, and right when it is read back."""

from __future__ import annotations

import base64
import csv
import io
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import imageio.v3 as imageio
import numpy as np
import pytest
from test_comparison_difference import drawn

from napari_unetsharp.comparison import plot_drawn
from napari_unetsharp.comparison.candidate import Candidate, view_name
from napari_unetsharp.comparison.cost import Cost
from napari_unetsharp.comparison.difference import COLOURS, Kind, difference
from napari_unetsharp.comparison.panes import Shown, as_picture, close_ups, outlined, plain
from napari_unetsharp.comparison.plot import HEIGHT, WIDTH, Axis, plot_marks
from napari_unetsharp.comparison.report import write_page, write_report
from napari_unetsharp.comparison.rows import rows
from napari_unetsharp.comparison.table_text import COLUMNS, as_csv, as_markdown
from napari_unetsharp.errors import SaveError, SettingsError

SHAPE = (120, 160)
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """What a browser would find: elements, whether all are closed, what is loaded from where."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.images, self.links, self.words = [], [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        found = dict(attributes)
        self.images += [found["src"]] if tag == "img" else []
        self.links += [value for name, value in attributes if name in ("href", "src", "srcset", "data", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_data(self, text):
        self.words.append(text)


@pytest.fixture(scope="module")
def compared():
    """Four nuclei; depth 1 misses one and joins two, depth 4 finds all. A name that would break a page or a table."""
    truth = drawn(SHAPE, (1, 10, 10, 26, 26), (2, 10, 60, 26, 76), (3, 10, 76, 26, 90), (4, 80, 120, 96, 136))
    shallow = drawn(SHAPE, (1, 10, 10, 26, 26), (2, 10, 60, 26, 90), (5, 50, 30, 60, 40))
    candidates = [
        Candidate("Corrected <b>|", truth, is_truth=True),
        Candidate(view_name("x01"), shallow, node="x01", model="nuclei"),
        Candidate(view_name("x04"), truth.copy(), node="x04", model="nuclei"),
    ]
    costs = {
        candidates[1].name: Cost(1000, 99.0, 120.0, 50_000_000),
        candidates[2].name: Cost(9000, 890.0, 900.0, None),
    }
    found = rows(candidates, candidates[0], (0.5, 0.5), costs)
    picture = np.where(truth > 0, 90, 220).astype(np.uint8)
    return Shown("tissue.png", as_picture(picture), candidates, found)


# Text ----------------------------------------------------------------------------------------------------


def test_markdown_is_one_table(compared):
    lines = as_markdown(compared.rows).splitlines()
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    assert len(lines) == 2 + len(compared.rows)
    assert {len(row) for row in cells} == {1 + len(COLUMNS)}
    assert cells[2][0].strip() == "Corrected <b>\\|"
    shallow = dict(zip((cell.strip() for cell in cells[0]), (cell.strip() for cell in cells[3]), strict=True))
    assert (shallow["Found"], shallow["Missed"], shallow["False"], shallow["Joined"]) == ("2", "2", "1", "1")
    assert (shallow["ms/Mpx"], shallow["Peak MB"], shallow["GFLOP/Mpx"]) == ("120", "50", "99")


def test_csv_is_read_back_to_the_last_digit(compared):
    read = list(csv.DictReader(io.StringIO(as_csv(compared.rows))))
    assert [row["candidate"] for row in read] == [row.name for row in compared.rows]
    shallow, row = read[1], compared.rows[1]
    assert float(shallow["pq"]) == row.scores["pq"]
    assert (float(shallow["pq_low"]), float(shallow["pq_high"])) == row.intervals["pq"]
    assert (float(shallow["found_share_low"]), float(shallow["found_share_high"])) == row.intervals["found"]
    assert float(shallow["boundary_um"]) == row.boundary_um == 0.5 * row.boundary_px
    assert (read[0]["found"], read[2]["peak_mb"]) == ("", "")


def test_no_name_becomes_a_formula(compared):
    truth = Candidate("=1+1", compared.candidates[0].labels, is_truth=True)
    text = as_csv(rows([truth], truth))
    assert next(csv.DictReader(io.StringIO(text)))["candidate"] == "'=1+1"


# Plot ----------------------------------------------------------------------------------------------------


def test_a_point_lies_where_its_numbers_say(compared):
    marks = plot_marks(compared.rows)
    shallow, deep = (mark for mark in marks if mark.kind == "dot")
    assert shallow.x < deep.x
    assert shallow.y > deep.y, "better is higher"
    across = Axis(120.0, 900.0, shallow.x, deep.x, logarithmic=True)
    assert across.at(np.sqrt(120.0 * 900.0)) == pytest.approx((shallow.x + deep.x) / 2)
    assert "Depth 1 · x01: 0.571" in shallow.text
    assert all(0 <= mark.x <= WIDTH and 0 <= mark.y <= HEIGHT for mark in marks)
    assert any(mark.text == "ms per Mpx, measured, logarithmic" for mark in marks)


def test_without_times_the_axis_says_so(compared):
    untimed = [row.with_cost(Cost(1, row.gflop_per_mpx)) if row.gflop_per_mpx else row for row in compared.rows]
    assert any("GFLOP per Mpx, counted (speed wasn't measured)" in mark.text for mark in plot_marks(untimed))
    assert plot_marks([compared.rows[0]]) == []


@pytest.mark.parametrize(
    ("axis", "ticks"),
    [
        (Axis(0.0, 1.0, 0, 1), [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (Axis(0.81, 0.87, 0, 1), [0.81, 0.82, 0.83, 0.84, 0.85, 0.86, 0.87]),
        (Axis(90.0, 1100.0, 0, 1, True), [100, 200, 500, 1000]),
    ],
)
def test_ticks_are_round(axis, ticks):
    assert axis.ticks() == pytest.approx(ticks)


def test_the_plot_is_svg_and_png(compared):
    marks = plot_marks(compared.rows)
    root = ElementTree.fromstring(plot_drawn.as_svg(marks, "F1 & <cost>"))
    assert len(root.findall("circle")) == 2
    assert root.get("aria-label") == "F1 & <cost>"
    picture = imageio.imread(plot_drawn.as_png(marks))
    assert picture.shape == (2 * HEIGHT, 2 * WIDTH, 3)
    x, y = next((2 * mark.x, 2 * mark.y) for mark in marks if mark.kind == "dot")
    assert tuple(picture[round(y), round(x)]) == (0x00, 0x72, 0xB2)


# Panes ---------------------------------------------------------------------------------------------------


def colours_of(picture, box):
    rows_, columns = slice(box[0], box[2]), slice(box[1], box[3])
    return {tuple(colour) for colour in picture[rows_, columns].reshape(-1, 3).tolist()}


def rgb(kind):
    return tuple(int(COLOURS[kind][at : at + 2], 16) for at in (1, 3, 5))


def test_outlines_say_how_nuclei_match(compared):
    truth, shallow, _ = compared.candidates
    pane = outlined(compared, shallow, truth)
    assert pane.shape == (*SHAPE, 3)
    assert rgb(Kind.ONLY_B) in colours_of(pane, (48, 28, 62, 42))
    assert rgb(Kind.ONLY_A) in colours_of(pane, (78, 118, 98, 138))
    assert rgb(Kind.JOINED) in colours_of(pane, (8, 58, 28, 92))
    matched = colours_of(pane, (8, 8, 28, 28))
    assert (0, 0, 0) in matched
    assert not {rgb(kind) for kind in (Kind.ONLY_A, Kind.ONLY_B, Kind.SPLIT, Kind.JOINED)} & matched
    assert (pane[18, 18] == 90).all(), "the inside stays as it is"


def test_large_pictures_are_made_smaller_and_close_ups_larger(compared):
    labels = np.zeros((2000, 1000), np.int32)
    large = Shown("", np.zeros((2000, 1000, 3), np.uint8), [Candidate("a", labels)], [])
    assert plain(large).shape == outlined(large, large.candidates[0], None).shape == (900, 450, 3)
    box = close_ups(compared)[0]
    assert plain(compared, box).shape == outlined(compared, compared.candidates[1], None, box).shape
    assert min(plain(compared, box).shape[:2]) >= 192


def test_close_ups_are_where_candidates_differ(compared):
    boxes = close_ups(compared)
    assert boxes
    assert all(box.top >= 0 and box.left >= 0 and box.bottom <= SHAPE[0] and box.right <= SHAPE[1] for box in boxes)
    assert not any(one.meets(other) for one in boxes for other in boxes if one is not other)
    missed = compared.rows[1].stories["missed"][0].box
    assert any(box.meets(missed) for box in boxes)
    same = Shown(
        "", compared.picture, compared.candidates[::2], [row for row in compared.rows if not row.stories.get("missed")]
    )
    assert close_ups(same) == []


def test_any_plane_can_be_shown():
    bright = np.full((4, 4, 3), 200, np.uint8)
    assert as_picture(bright) is not None
    assert (as_picture(bright) == bright).all()
    deep = np.linspace(1000, 60000, 100).reshape(10, 10)
    for plane in (deep.astype(np.uint16), deep.astype(np.float32), (deep / 2000).astype(np.uint8)):
        shown = as_picture(plane)
        assert (shown.shape, shown.dtype) == ((10, 10, 3), np.uint8)
        assert shown.min() == 0
        assert shown.max() == 255


# Page ----------------------------------------------------------------------------------------------------


@pytest.fixture
def written(compared, tmp_path):
    _, shallow, deep = compared.candidates
    differences = {(shallow.name, deep.name): difference(shallow.labels, deep.labels)}
    return write_report(
        tmp_path / "out" / "compared.html", compared.picture, compared.candidates, compared.rows, differences,
        "Take <depth> 4 & rest.", {"threshold": 0.5}, {"image": "ab" * 32}, "tissue.png",
    )  # fmt: skip


def test_the_page_is_whole_and_needs_nothing_else(written, compared):
    text = written.read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert text.startswith("<!DOCTYPE html>")
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert not re.search(r"https?:|url\(|@import|<script|<link", text)
    assert page.tags.count("svg") == 1
    for image in page.images:
        assert imageio.imread(base64.b64decode(image.partition(",")[2], validate=True)).ndim == 3
    assert len(page.images) >= 1 + len(compared.candidates) + 1
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_the_page_says_everything(written, compared):
    words = " ".join(Page(written.read_text(encoding="utf-8")).words)
    told = ("tissue.png", "Take <depth> 4 & rest.", "Corrected <b>|", "against Corrected <b>|, 4 nuclei", "threshold")
    more = ("ab" * 32, "160 × 120 px", "Depth 1 · x01: 2 found, 2 missed, 1 false")
    for text in (*told, *more, *(column.title for column in COLUMNS)):
        assert text in words


def test_figures_lie_beside_it(written):
    folder = written.parent / "compared_figures"
    names = {path.name for path in folder.iterdir()}
    assert {"plot.png", "image.png", "Depth_1_x01.png", "Depth_1_x01_against_Depth_4_x04.png"} <= names
    assert imageio.imread(folder / "Depth_1_x01.png").shape == (*SHAPE, 3)


def test_an_earlier_page_is_replaced_and_only_if_it_works(written, compared):
    before = written.read_bytes()
    write_page(written, [compared], compared.rows, "Other advice.", {}, {})
    assert "Other advice." in written.read_text(encoding="utf-8")
    written.write_bytes(before)
    blocked = written.parent / "compared_figures" / "plot.png"
    blocked.unlink()
    blocked.mkdir()
    with pytest.raises(SaveError, match=r"plot\.png can't be written"):
        write_page(written, [compared], compared.rows, "", {}, {})
    assert written.read_bytes() == before
    assert [path.name for path in written.parent.iterdir() if path.name.startswith(".")] == []


def test_many_images_are_told_apart(compared, tmp_path):
    path = write_page(tmp_path / "many.html", [compared] * 9, compared.rows, "", {}, {})
    words = " ".join(Page(path.read_text(encoding="utf-8")).words)
    assert "Comparison on 9 images" in words
    assert "Counted in the numbers but not shown: tissue.png" in words
    names = {figure.name for figure in (tmp_path / "many_figures").iterdir()}
    assert {"1_tissue_image.png", "8_tissue_image.png"} <= names
    assert "9_tissue_image.png" not in names


def test_a_page_is_a_page(compared, tmp_path):
    with pytest.raises(SettingsError, match=r"must end in \.html"):
        write_page(tmp_path / "out.pdf", [compared], compared.rows, "", {}, {})
