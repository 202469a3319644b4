#!/usr/bin/env python3
"""Two commands for a fresh clone.

    python3 run.py          make .venv, install, and open the window on a sample that is segmented
    python3 run.py test     make .venv-test, install, and run every check and test

Standard library only. Written for Linux, macOS and Windows; checked on Linux.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
TESTED, USED = "pyqt5,pyqt6,dicom,slides,volumes,cluster,test", "pyqt6,dicom,slides,volumes,export"
"""Extras of pyproject.toml that the tests, and the window, are installed with."""
NEEDED = (3, 11)
WINDOW = HERE / "window.png"
PRINTING = threading.Lock()

# Library files that Qt's xcb plugin and napari's canvas load, with the Debian packages that bring them.
LIBRARIES = {
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libX11-xcb.so.1": "libx11-xcb1",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render.so.0": "libxcb-render0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-shm.so.0": "libxcb-shm0",
    "libxcb-sync.so.1": "libxcb-sync1",
    "libxcb-xfixes.so.0": "libxcb-xfixes0",
    "libxcb-xinerama.so.0": "libxcb-xinerama0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
}


def main(arguments: list[str]) -> int:
    """Run one of the two commands; the exit code is 0 if all went well."""
    if arguments not in ([], ["test"]):
        return fail("use `python3 run.py` to open the window, or `python3 run.py test` to run the tests")
    if sys.version_info < NEEDED:
        return with_newer_python(arguments)
    testing = arguments == ["test"]
    problem = prepare_system()
    if problem:
        return fail(problem)
    python = environment(HERE / (".venv-test" if testing else ".venv"), TESTED if testing else USED)
    if testing:
        return run_tests(python)
    with screen() as settings:
        return open_window(python, settings)


def with_newer_python(arguments: list[str]) -> int:
    """Hand over to a newer Python of this machine, or say that one is needed."""
    for minor in range(14, NEEDED[1] - 1, -1):
        other = shutil.which(f"python3.{minor}")
        if other:
            return subprocess.call([other, str(HERE / "run.py"), *arguments])
    wanted = ".".join(str(part) for part in NEEDED)
    return fail(f"Python {wanted} or newer is needed; this is {sys.version.split()[0]}, and no newer one was found")


def prepare_system() -> str:
    """Install missing system libraries as root on Debian or Ubuntu; elsewhere say which are missing."""
    if sys.platform != "linux":
        return ""
    missing = [package for file, package in LIBRARIES.items() if not loads(file)]
    if is_headless() and not shutil.which("Xvfb"):
        missing.append("xvfb")
    if not missing:
        return ""
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"Installing {len(missing)} system packages (some 20 to 150 MB): {' '.join(missing)}", flush=True)
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], env=quiet, check=False)
        done = subprocess.run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing, "libgl1-mesa-dri"],
            env=quiet,
            check=False,
        )
        return (
            "" if done.returncode == 0 else f"apt-get could not install {' '.join(missing)}; install them and try again"
        )
    names = " ".join(missing)
    return f"system libraries are missing; install them first, on Debian or Ubuntu with: sudo apt-get install {names}"


def loads(library: str) -> bool:
    """Whether the system finds a shared library."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def is_headless() -> bool:
    """Only Linux without any display counts."""
    return sys.platform == "linux" and not os.environ.get("DISPLAY") and not os.environ.get("WAYLAND_DISPLAY")


def environment(folder: Path, extras: str) -> Path:
    """Python of a virtual environment with this project in it; installs only what changed."""
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    state = hashlib.sha256(extras.encode() + b"".join(path.read_bytes() for path in sources())).hexdigest()
    stamp = folder / "installed.txt"
    if python.exists() and stamp.exists() and stamp.read_text() == state:
        return python
    print(
        f"Setting up {folder.name}: about 800 MB will be downloaded and 2 GB used on disk (torch is most of it; "
        "on Linux, pip may choose a CUDA build of torch with some 3 GB more).",
        flush=True,
    )
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [
        str(python),
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "-q",
        "-c",
        str(HERE / "constraints.txt"),
    ]
    subprocess.run([*pip, "torch"], check=True)
    subprocess.run([*pip, "-e", f"{HERE}[{extras}]"], check=True)
    stamp.write_text(state)
    return python


def sources() -> list[Path]:
    """Files whose change makes another installation necessary."""
    return [HERE / name for name in ("pyproject.toml", "constraints.txt", "napari.yaml")]


@contextmanager
def screen():
    """Environment variables with a display; a virtual one while it is needed."""
    settings = dict(os.environ)
    if not is_headless():
        yield settings
        return
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x800x24", "-nolisten", "tcp"],
        pass_fds=[writing],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    try:
        with os.fdopen(reading) as answer:
            number = answer.readline().strip()
        yield settings | {"DISPLAY": f":{number}", "LIBGL_ALWAYS_SOFTWARE": "1"}
    finally:
        server.terminate()
        server.wait()


def open_window(python: Path, settings: dict[str, str]) -> int:
    """Open the window; without a display, save a picture of it and say where."""
    command = [str(python), "-m", "napari_unetsharp", "gui"]
    settings = settings | {"QT_API": "pyqt6"}
    if not is_headless():
        return subprocess.call(command, env=settings, cwd=HERE)
    print("There is no display: the window opens on a virtual one.", flush=True)
    WINDOW.unlink(missing_ok=True)
    code = subprocess.call([*command, "--screenshot", str(WINDOW)], env=settings, cwd=HERE)
    if code or not WINDOW.exists():
        return fail("the window could not be opened; run `python3 run.py test` to see what is wrong")
    print(f"A picture of the window was saved as {WINDOW}")
    return 0


def run_tests(python: Path) -> int:
    """Every check, in two lanes side by side; the window's tests once per Qt binding. All run, whatever fails."""
    tools = python.parent
    tests = [str(python), "-m", "pytest", "-q"]
    lanes = [
        [([*tests, "tests", "--ignore=tests/widgets"], "pyqt6"), ([*tests, "tests/widgets"], "pyqt5")],
        [
            ([str(tools / "ruff"), "check", "."], ""),
            ([str(tools / "lint-imports")], ""),
            ([str(tools / "mypy")], ""),
            ([*tests, "tests/widgets"], "pyqt6"),
        ],
    ]
    with ThreadPoolExecutor(len(lanes)) as pool:
        failed = [name for names in pool.map(run_lane, lanes) for name in names]
    for name in failed:
        print(f"failed: {name}", flush=True)
    return 1 if failed else 0


def run_lane(checks: list[tuple[list[str], str]]) -> list[str]:
    """One check after another, with a screen of their own; what each says is printed when it has ended."""
    failed = []
    with screen() as shown:
        settings = shown | {"OMP_NUM_THREADS": "1", "LP_NUM_THREADS": "1"}  # two lanes share the cores
        for command, binding in checks:
            name = " ".join([Path(command[0]).name, *command[1:], *([f"with {binding}"] if binding else [])])
            more = {"QT_API": binding, "PYTEST_QT_API": binding} if binding else {}
            print(f"started: {name}", flush=True)
            with tempfile.TemporaryFile() as said:
                code = subprocess.call(command, env=settings | more, cwd=HERE, stdout=said, stderr=subprocess.STDOUT)
                said.seek(0)
                with PRINTING:
                    print(f"\n=== {name}\n{said.read().decode(errors='replace')}", flush=True)
            if code:
                failed.append(name)
    return failed


def fail(sentence: str) -> int:
    """Say what is wrong; the exit code is 1."""
    print(f"run.py: {sentence}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
