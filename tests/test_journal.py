"""Lines that only grow: whole or not at all, torn ends ignored, damage told, nothing lost when the disk refuses."""

from __future__ import annotations

import os
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unetsharp.nuclei.journal import HEAD, Journal, framed, read_journal

TEXTS = [b'{"n":1}', b'{"n":2,"label":"\xc3\xa4"}', b"{}", b'{"n":4}']
posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "journal")
    journal.rewrite(TEXTS[:1])
    yield journal
    journal.close()


def test_what_is_written_is_read(journal):
    for text in TEXTS[1:]:
        journal.append(text)
    reading = read_journal(journal.path)
    assert reading.lines == TEXTS
    assert reading.length == journal.length == journal.path.stat().st_size
    assert not reading.damage


def test_a_line_is_with_the_system_before_append_returns(journal):
    journal.append(TEXTS[1])
    assert journal.path.read_bytes().endswith(framed(TEXTS[1]))


def test_lines_are_synced_soon_and_by_another_thread(journal, monkeypatch):
    import threading

    threads, done, sync = [], threading.Event(), os.fsync

    def watched(file):
        threads.append(threading.current_thread())
        sync(file)
        done.set()

    monkeypatch.setattr(os, "fsync", watched)  # watches the real call
    for text in TEXTS[1:]:
        journal.append(text)
    assert done.wait(30)
    assert threads
    assert threading.main_thread() not in threads
    assert not journal.trouble


@settings(deadline=None)
@given(st.lists(st.binary(max_size=30).filter(lambda text: b"\n" not in text), min_size=1, max_size=5), st.data())
def test_cut_anywhere_the_whole_lines_are_read(tmp_path_factory, texts, data):
    path = tmp_path_factory.mktemp("cut") / "journal"
    content = b"".join(map(framed, texts))
    cut = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:cut])
    reading = read_journal(path)
    assert not reading.damage
    assert reading.lines == texts[: len(reading.lines)]
    assert reading.length == sum(len(text) + HEAD + 1 for text in reading.lines) <= cut
    whole = len(reading.lines)
    assert whole == len(texts) or cut < reading.length + len(texts[whole]) + HEAD + 1


def test_any_changed_byte_in_the_middle_is_told(tmp_path):
    path = tmp_path / "journal"
    content = b"".join(map(framed, TEXTS))
    first, second = len(framed(TEXTS[0])), len(framed(TEXTS[1]))
    for place in range(first, first + second):
        broken = bytearray(content)
        broken[place] ^= 1
        path.write_bytes(broken)
        reading = read_journal(path)
        assert reading.lines == TEXTS[:1]
        assert "line 2 of journal" in reading.damage
        assert f"byte {first}" in reading.damage


def test_zeros_after_a_power_cut_are_a_torn_end(tmp_path):
    path = tmp_path / "journal"
    path.write_bytes(framed(TEXTS[0]) + bytes(4096))
    assert read_journal(path).lines == TEXTS[:1]
    assert not read_journal(path).damage


def test_going_on_after_a_torn_end_cuts_it_off(tmp_path):
    path = tmp_path / "journal"
    path.write_bytes(framed(TEXTS[0]) + framed(TEXTS[1])[:-4])
    journal = Journal(path, read_journal(path).length)
    journal.append(TEXTS[2])
    journal.close()
    assert read_journal(path).lines == [TEXTS[0], TEXTS[2]]


# Rewriting ----------------------------------------------------------------------------------------------


def test_rewriting_replaces_all_lines_at_once(journal):
    journal.append(TEXTS[1])
    journal.rewrite(TEXTS[2:])
    journal.append(TEXTS[0])
    assert read_journal(journal.path).lines == [*TEXTS[2:], TEXTS[0]]
    assert [path.name for path in journal.path.parent.iterdir()] == ["journal"]


def test_if_rewriting_fails_the_old_file_is_whole(journal):
    def broken():
        yield TEXTS[1]
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        journal.rewrite(broken())
    journal.append(TEXTS[2])
    assert read_journal(journal.path).lines == [TEXTS[0], TEXTS[2]]


# A disk that refuses ------------------------------------------------------------------------------------


@pytest.fixture
def limited():
    """Let files grow to so many bytes only, as a full disk or a quota would."""
    resource = pytest.importorskip("resource", reason="needs POSIX")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_a_full_disk_refuses_waits_and_is_written_later(journal, limited):
    for room in (3, HEAD + 4):  # the line is torn at several places
        limited(journal.length + room)
        with pytest.raises(OSError, match=r"too large|space"):
            journal.append(TEXTS[1])
    assert journal.waiting == [TEXTS[1]] * 2
    assert journal.trouble is not None
    assert read_journal(journal.path).lines == TEXTS[:1]
    limited(10**6)
    journal.append(TEXTS[2])
    assert read_journal(journal.path).lines == [TEXTS[0], TEXTS[1], TEXTS[1], TEXTS[2]]
    assert not journal.waiting
    assert journal.trouble is None


def test_a_file_that_became_shorter_is_not_continued(journal):
    journal.append(TEXTS[1])
    journal.close()
    journal.path.write_bytes(b"")
    with pytest.raises(OSError, match="shorter"):
        journal.append(TEXTS[2])
    assert journal.spoilt
    journal.rewrite(TEXTS)
    assert not journal.spoilt
    assert read_journal(journal.path).lines == TEXTS


@posix
@pytest.mark.skipif(sys.platform == "darwin", reason="fsync of a pipe succeeds there")
def test_a_sync_that_fails_is_told(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    journal = Journal(path)
    journal.append(TEXTS[0])
    journal.sync()
    assert journal.trouble is not None
    assert journal.spoilt
    journal.close()
