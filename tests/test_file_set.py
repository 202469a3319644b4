"""A set of files is the old one or the new one, whatever happens in between."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from napari_unetsharp.errors import ReviewError, SaveError
from napari_unetsharp.nuclei.file_set import finish_set, read_set, saving, write_set

NAMES = ("one.bin", "two.txt", "three.csv")
RECORD = "record.json"


def writers(version, size=1000):
    return {name: lambda path, name=name: path.write_text(f"{name} {version} " * size) for name in NAMES}


def save(folder, version, size=1000):
    write_set(folder, writers(version, size), {"version": version}, RECORD)


def version_of(folder):
    """The one version that the record and all files have; fails where they differ."""
    found = read_set(folder, RECORD)
    versions = {path.read_text().split()[1] for path in found.paths.values()}
    assert set(found.paths) == set(NAMES)
    assert versions == {str(found.record["version"])}
    return found.record["version"]


def test_a_set_is_written_and_replaced(tmp_path):
    folder = tmp_path / "new" / "folder"
    for version in (1, 2):
        save(folder, version)
        assert version_of(folder) == version
        assert sorted(path.name for path in folder.iterdir()) == sorted([*NAMES, RECORD])


def test_other_files_of_the_folder_stay(tmp_path):
    others = ("journal", ".hidden", "notes.new", ".journal.new", "journal.new")
    for name in others:
        (tmp_path / name).write_text("mine")
    save(tmp_path, 1)
    save(tmp_path, 2)
    assert {name for name in others if (tmp_path / name).exists()} == set(others)


# Killed -------------------------------------------------------------------------------------------------

DYING = """
import itertools, os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_file_set import save, version_of
calls = 0

def dying(call, last):
    def counted(*arguments):
        global calls
        calls += 1
        if calls == last:
            os._exit(9)
        return call(*arguments)
    return counted

for last in itertools.count(1):
    folder = Path(sys.argv[1]) / str(last)
    save(folder, 1)
    child = os.fork()
    if not child:
        os.replace, os.fsync = dying(os.replace, last), dying(os.fsync, last)
        Path.write_text = dying(Path.write_text, last)
        save(folder, 2)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(code, version_of(folder))
    save(folder, 3)
    assert version_of(folder) == 3 and len(list(folder.iterdir())) == 4
    if not code:
        break
"""


def run(script, *arguments):
    command = [sys.executable, "-c", script.format(tests=str(Path(__file__).parent)), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.skipif(os.name == "nt", reason="fork")
def test_dying_at_every_step_leaves_the_old_set_or_the_new_one(tmp_path):
    """One process after the other dies at its n-th call of the system, until one lives."""
    with run(DYING, tmp_path) as process:
        lines = process.stdout.read().splitlines()
    assert process.returncode == 0
    codes, versions = zip(*(line.split() for line in lines), strict=True)
    assert codes == ("9",) * (len(codes) - 1) + ("0",)
    assert "".join(versions) == "1" * versions.count("1") + "2" * versions.count("2")
    assert min(versions.count("1"), versions.count("2")) > 3


ENDLESS = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_file_set import save
version = 1
while True:
    version += 1
    save(Path(sys.argv[1]), version, 20000)
    print(version, flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="kill -9")
def test_kill_9_at_random_moments(tmp_path):
    dice = random.Random(7)
    for number in range(4):
        folder = tmp_path / str(number)
        save(folder, 1)
        with run(ENDLESS, folder) as process:
            told = int(process.stdout.readline())
            time.sleep(dice.uniform(0, 0.3))
            process.kill()
            told = max([told, *map(int, process.stdout.read().split())])
        assert told <= version_of(folder) <= told + 1


# Refused ------------------------------------------------------------------------------------------------

FULL = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from napari_unetsharp.errors import SaveError
from test_file_set import save
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    save(Path(sys.argv[1]), 2, 20_000)
except SaveError as error:
    print(error)
"""


@pytest.mark.skipif(os.name == "nt", reason="setrlimit")
def test_no_room_keeps_the_old_set_and_says_so(tmp_path):
    save(tmp_path, 1)
    said = run(FULL, tmp_path).communicate()[0]
    assert "what was there before is whole" in said
    assert len(said.strip().splitlines()) == 1
    assert version_of(tmp_path) == 1
    assert len(list(tmp_path.iterdir())) == 4


def test_a_writer_that_fails_keeps_the_old_set(tmp_path):
    save(tmp_path, 1)
    broken = writers(2) | {"three.csv": lambda path: path.write_text("half") and 1 / 0}
    with pytest.raises(ZeroDivisionError):
        write_set(tmp_path, broken, {"version": 2}, RECORD)
    assert version_of(tmp_path) == 1
    assert len(list(tmp_path.iterdir())) == 4


def test_where_no_folder_can_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SaveError, match="choose another folder"):
        save(tmp_path / "file" / "folder", 1)


@pytest.mark.skipif(os.name == "nt", reason="modes")
def test_no_permission_keeps_the_old_set(tmp_path):
    save(tmp_path, 1)
    tmp_path.chmod(0o500)
    if os.access(tmp_path, os.W_OK):
        pytest.skip("permissions don't bind root")
    try:
        with pytest.raises(SaveError, match="Permission denied"):
            save(tmp_path, 2)
        assert version_of(tmp_path) == 1
    finally:
        tmp_path.chmod(0o700)


def test_a_file_in_the_way_of_the_renaming(tmp_path):
    """As where another program has it open: the new set counts, and the next save puts it in place."""
    save(tmp_path, 1)
    (tmp_path / "two.txt").unlink()
    (tmp_path / "two.txt").mkdir()
    with pytest.raises(SaveError, match="everything is saved"):
        save(tmp_path, 2)
    assert version_of(tmp_path) == 2
    (tmp_path / "two.txt").rmdir()
    finish_set(tmp_path, RECORD)
    assert version_of(tmp_path) == 2
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.skipif(os.name == "nt", reason="modes")
def test_who_may_read_stays(tmp_path):
    save(tmp_path, 1)
    (tmp_path / "one.bin").chmod(0o640)
    save(tmp_path, 2)
    assert (tmp_path / "one.bin").stat().st_mode & 0o777 == 0o640


def test_single_files_tell_the_same(tmp_path):
    with pytest.raises(SaveError, match="can't be written"), saving(tmp_path / "a"):
        (tmp_path / "none" / "a").write_text("x")


# Read ---------------------------------------------------------------------------------------------------


def test_a_changed_file_is_found_out(tmp_path):
    save(tmp_path, 1)
    (tmp_path / "two.txt").write_text("two.txt 1 edited")
    with pytest.raises(ReviewError, match=r"two\.txt of .* changed after it was saved"):
        read_set(tmp_path, RECORD)
    assert read_set(tmp_path, RECORD, changed_allowed=True).changed == ("two.txt",)


def test_a_missing_file_is_found_out(tmp_path):
    save(tmp_path, 1)
    (tmp_path / "two.txt").unlink()
    with pytest.raises(ReviewError, match=r"two\.txt of .* is missing"):
        read_set(tmp_path, RECORD, changed_allowed=True)


def test_files_of_two_saves_are_found_out(tmp_path):
    save(tmp_path, 1)
    old = (tmp_path / "two.txt").read_bytes()
    save(tmp_path, 2)
    (tmp_path / "two.txt").write_bytes(old)
    with pytest.raises(ReviewError, match="changed"):
        read_set(tmp_path, RECORD)


@pytest.mark.parametrize(
    "record",
    [
        "", "[]", "{}", "[" * 100_000, '{"token": "0123abcd", "files": []}', '{"token": "../../..", "files": {}}',
        '{"token": "0123abcd", "files": {"../secret": {"sha256": ""}}}', '{"token": "0123abcd", "files": {"a": 1}}',
        '{"token": "0123abcd", "files": {"/etc/passwd": {"sha256": ""}}}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", [RECORD, f".{RECORD}.new"])
def test_forged_records(name, record, tmp_path):
    (tmp_path / name).write_text(record)
    with pytest.raises(ReviewError, match="choose a folder that was saved by us"):
        read_set(tmp_path, RECORD)


def test_a_begun_record_without_its_files_counts_for_nothing(tmp_path):
    save(tmp_path, 1)
    record = json.loads((tmp_path / RECORD).read_text())
    record["files"]["one.bin"]["sha256"] = "0" * 64
    (tmp_path / f".{RECORD}.new").write_text(json.dumps(record))
    assert version_of(tmp_path) == 1
    save(tmp_path, 2)
    assert version_of(tmp_path) == 2
