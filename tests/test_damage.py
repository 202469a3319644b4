"""Torn, damaged and forged journals; a disk that is full or gone: told, and nothing lost that was there."""

from __future__ import annotations

import shutil

import pytest
from scripted_review import IDENTITY, digest, field

from napari_unetsharp.errors import NotSavedError, ReviewError
from napari_unetsharp.nuclei import answers, records
from napari_unetsharp.nuclei.head import JOURNAL
from napari_unetsharp.nuclei.journal import framed, read_journal
from napari_unetsharp.nuclei.review import Review
from napari_unetsharp.nuclei.states import State


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "Präparat 3.tif.unetsharp"


@pytest.fixture
def five(folder):
    """The journal of five answers."""
    with Review.start(folder, IDENTITY, field()) as review:
        for id_ in range(1, 6):
            review.apply(answers.unsure, id_)
    return folder / JOURNAL


def unsure(review):
    return [id_ for id_, nucleus in review.nuclei.items() if nucleus.state is State.UNSURE]


def test_a_torn_last_line_costs_that_action_alone(five):
    five.write_bytes(five.read_bytes()[:-5])
    with Review.open(five.parent, IDENTITY) as review:
        assert unsure(review) == [1, 2, 3, 4]
        review.apply(answers.unsure, 6)
    with Review.open(five.parent, IDENTITY) as review:
        assert unsure(review) == [1, 2, 3, 4, 6]


def test_damage_in_the_middle_is_told_and_salvaged_on_request(five):
    broken = five.read_bytes().replace(b'"n":3', b'"n":9')
    five.write_bytes(broken)
    with pytest.raises(ReviewError, match=r"line 5 of journal.* is damaged; the 4 lines before it are sound"):
        Review.open(five.parent, IDENTITY)
    assert five.read_bytes() == broken
    with Review.open(five.parent, IDENTITY, salvage=True) as review:
        assert unsure(review) == [1, 2]
    (kept,) = five.parent.glob("journal-damaged-*")
    assert kept.read_bytes() == broken
    Review.open(five.parent, IDENTITY).close()


def test_a_missing_line_is_told(five):
    lines = read_journal(five).lines
    five.write_bytes(b"".join(framed(line) for line in lines[:3] + lines[4:]))
    with pytest.raises(ReviewError, match="entry 3 can't follow entry 1"):
        Review.open(five.parent, IDENTITY)


def test_a_line_that_does_not_start_from_what_is_there_is_told(five):
    lines = read_journal(five).lines
    forged = lines[4].replace(b'"to do"', b'"right"')
    assert forged != lines[4]
    five.write_bytes(b"".join(map(framed, [*lines[:4], forged, *lines[5:]])))
    with pytest.raises(ReviewError, match="doesn't start from what is here"):
        Review.open(five.parent, IDENTITY)


@pytest.mark.parametrize(
    "record",
    [
        {"n": 6, "at": "", "who": "", "what": "dance"},
        {"n": 6, "at": "", "what": "do"},
        {"n": 6, "at": "", "who": "", "what": "do"},
        {"n": 6, "at": "", "who": "", "what": "undo", "step": 3},
        {
            "n": 6,
            "at": "",
            "who": "",
            "what": "do",
            "delta": {"kind": "x", "box": [0] * 4, "labels": "no base 64"},
        },
        {"n": 6, "at": "", "who": "", "what": "do", "delta": {"kind": "x", "box": [0, 0], "nuclei": []}},
        {
            "n": 6,
            "at": "",
            "who": "",
            "what": "do",
            "delta": {"kind": "x", "box": [0] * 4, "nuclei": [[-4, None, ["right"]]]},
        },
        {"z": "AAAA"},
    ],
)
def test_nonsense_with_a_good_checksum_is_refused(five, record):
    five.write_bytes(five.read_bytes() + framed(records.to_line(record)))
    with pytest.raises(ReviewError):
        Review.open(five.parent, IDENTITY)


@pytest.mark.parametrize("content", [b"", b"hello", framed(b"{}"), framed(b"[1]"), framed(b'{"layout":"x"}') * 3])
def test_another_file_of_the_same_name_is_refused(folder, content):
    folder.mkdir()
    (folder / JOURNAL).write_bytes(content)
    with pytest.raises(ReviewError):
        Review.open(folder, IDENTITY)
    assert (folder / JOURNAL).read_bytes() == content


# A disk that refuses ------------------------------------------------------------------------------------


def test_a_full_disk_loses_nothing(folder):
    resource = pytest.importorskip("resource", reason="needs POSIX")
    review = Review.start(folder, IDENTITY, field())
    seen = []
    review.changed.append(seen.append)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((folder / JOURNAL).stat().st_size + 30, before[1]))
    try:
        for id_ in (2, 3, 4):
            with pytest.raises(NotSavedError, match="kept in memory"):
                review.apply(answers.reject, id_)
        with pytest.raises(NotSavedError):
            review.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [delta.focus for delta in seen] == [2, 3, 4]
    assert review.unsaved == 3
    assert str(folder) in review.trouble
    review.apply(answers.accept, 5)
    assert review.unsaved == 0
    assert not review.trouble
    expected = digest(review)
    review.close()
    with Review.open(folder, IDENTITY) as again:
        assert digest(again) == expected


def test_a_folder_that_vanished_is_written_anew(folder):
    review = Review.start(folder, IDENTITY, field())
    review.apply(answers.reject, 2)
    review._store._journal.close()
    shutil.rmtree(folder)
    review.apply(answers.reject, 3)
    expected = digest(review)
    review.close()
    with Review.open(folder, IDENTITY) as again:
        assert digest(again) == expected


def test_no_review_starts_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ReviewError, match="no review can be started"):
        Review.start(tmp_path / "file" / "review", IDENTITY, field())
