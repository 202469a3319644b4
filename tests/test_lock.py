"""One writer: who it is, when they are gone, and what nobody may take."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from napari_unetsharp.nuclei.lock import UNKNOWN, Holder, Lock, read_holder


@pytest.fixture
def path(tmp_path):
    return tmp_path / "review" / "lock"


def left_by(path: Path, holder: Holder) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(holder)))


def test_a_lock_tells_who_has_it(path):
    lock = Lock.take(path, "Ada")
    assert isinstance(lock, Lock)
    holder = read_holder(path)
    assert holder == lock.holder
    assert (holder.user, holder.pid, holder.local, holder.gone) == ("Ada", os.getpid(), True, False)
    assert "Ada (on this machine" in str(holder)
    lock.release()
    assert read_holder(path) is None
    assert not list(path.parent.iterdir())


def test_it_is_had_by_one(path):
    lock = Lock.take(path, "Ada")
    assert Lock.take(path, "Grace") == lock.holder
    assert Lock.take(path, "Grace", take_over=True) == lock.holder
    lock.release()
    assert isinstance(Lock.take(path, "Grace"), Lock)


def test_of_many_who_want_it_at_once_one_gets_it(path):
    code = (
        "import sys, pathlib; from napari_unetsharp.nuclei.lock import Lock; print('ready', flush=True); "
        "sys.stdin.readline(); lock = Lock.take(pathlib.Path(sys.argv[1])); print(isinstance(lock, Lock), flush=True); "
        "sys.stdin.readline()"
    )
    gone = replace(Holder.here(), started=1.0)  # a process that had our number long ago
    left_by(path, gone)
    command = [sys.executable, "-c", code, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(4)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.stdout.readline().strip() for process in processes]
    for process in processes:
        process.communicate("end\n")
    assert sorted(answers) == ["False", "False", "False", "True"]


def test_the_lock_of_a_dead_process_of_this_machine_is_taken(path):
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    left_by(path, replace(Holder.here(), pid=child.pid))
    assert read_holder(path).gone
    assert isinstance(Lock.take(path), Lock)
    assert [left.name for left in path.parent.iterdir()] == ["lock"]


def test_another_process_with_the_same_number_is_not_the_holder(path):
    left_by(path, replace(Holder.here(), started=Holder.here().started - 3600))
    assert isinstance(Lock.take(path), Lock)


def test_the_lock_of_another_machine_is_taken_on_request_only(path):
    other = replace(Holder.here("Grace"), host="microscope-2", pid=2**22 + 1)
    left_by(path, other)
    assert not other.gone
    assert "on microscope-2" in str(other)
    assert Lock.take(path) == other
    assert isinstance(Lock.take(path, take_over=True), Lock)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"host": 1}'])
def test_a_lock_that_can_not_be_read_is_respected_until_it_is_old(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    assert read_holder(path) == UNKNOWN
    assert Lock.take(path) == UNKNOWN
    os.utime(path, (1, 1))
    assert isinstance(Lock.take(path), Lock)


def test_a_lock_that_was_taken_over_is_not_released(path):
    lock = Lock.take(path)
    other = replace(lock.holder, host="microscope-2", token="another")
    left_by(path, other)
    lock.release()
    assert read_holder(path) == other
    assert lock.seen() == other


def test_what_a_kill_left_beside_is_swept(path):
    left_by(path.with_name("lock.abc"), replace(Holder.here(), started=1.0))
    alive = replace(Holder.here(), token="def")
    left_by(path.with_name("lock.def"), alive)
    Lock.take(path)
    assert sorted(left.name for left in path.parent.iterdir()) == ["lock", "lock.def"]
