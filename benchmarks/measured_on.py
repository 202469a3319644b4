"""Where and of what a table was measured: machine, commit, load."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def machine() -> str:
    """Processor, cores and versions."""
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text(encoding="utf-8").splitlines() if listing.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.processor() or platform.machine()
    return (
        f"{processor}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, "
        f"numpy {np.__version__}"
    )


def commit() -> str:
    """The commit, with a plus where files of the package or the benchmarks differ from it."""

    def git(*words: str) -> str:
        found = subprocess.run(["git", *words], cwd=HERE, capture_output=True, text=True, check=False)
        return found.stdout.strip()

    changed = git("status", "--porcelain", "--", "../napari_unetsharp", "*.py")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + ("+" if changed else "")


def load() -> str:
    """How many programs wanted to compute in the last minute, where the system tells."""
    return f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores" if hasattr(os, "getloadavg") else "unknown"


def today() -> str:
    """Date of the measurement, UTC."""
    return datetime.now(UTC).date().isoformat()
