"""The examples and the README's lines run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("script", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_example_runs(script):
    done = subprocess.run([sys.executable, "-W", "error", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "x04" in done.stdout


def test_readme_shows_the_example():
    shown = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    lines = {line for line in shown[1].splitlines() if line and not line.startswith("print")}
    assert lines <= set((ROOT / "examples" / "six_lines.py").read_text(encoding="utf-8").splitlines())


def test_files_that_the_readme_names_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text[text.index("| to change | open |") : text.index("Files import from their own folder")]
    for name in re.findall(r"`([a-z_]+/(?:[a-z_]+\.py)?|[a-z_]+\.py)`", table):
        assert (ROOT / "napari_unetsharp" / name).exists(), name
    for name in re.findall(r"\]\(([a-z_/.]+)\)", text):
        assert (ROOT / name).exists(), name
