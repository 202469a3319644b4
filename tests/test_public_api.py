"""What the package offers by name, what an import costs, and what may never be written in it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import napari_unetsharp

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "napari_unetsharp"
NAMES = ["Checkpoint", "Predictor", "UNetSharp", "UNetSharpConfig", "load_checkpoint", "prune"]
BINDINGS = ("napari", "qtpy", "superqt", "magicgui", "PyQt5", "PyQt6", "PySide2", "PySide6")


@pytest.mark.parametrize("name", NAMES)
def test_the_names_of_the_readme_are_there(name):
    assert name in napari_unetsharp.__all__
    assert getattr(napari_unetsharp, name).__name__ == name


def test_other_names_are_not():
    assert sorted(napari_unetsharp.__all__) == NAMES
    with pytest.raises(AttributeError, match="has no attribute 'Unet'"):
        _ = napari_unetsharp.Unet


def test_the_version_is_that_of_the_project():
    assert f'version = "{napari_unetsharp.__version__}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_six_lines_of_python(tmp_path):
    from napari_unetsharp import Checkpoint, Predictor, UNetSharp, UNetSharpConfig, load_checkpoint, prune

    network = UNetSharp(UNetSharpConfig(widths=(2, 2, 2, 2, 2))).eval()
    Checkpoint(prune(network, 2)).save(tmp_path / "small.safetensors")
    loaded = load_checkpoint(tmp_path / "small.safetensors")
    prediction = Predictor(loaded, device="cpu").predict(np.zeros((20, 30, 3), np.uint8))
    assert tuple(prediction.full) == ("x02",)
    assert prediction.full["x02"].shape == (20, 30)


def modules_after(statement):
    """Modules of a fresh interpreter after a statement."""
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.split()}


def test_importing_the_package_leaves_torch_out():
    assert not modules_after("import napari_unetsharp") & {"torch", "numpy", *BINDINGS}


def test_the_command_line_leaves_napari_and_qt_out():
    statement = (
        "import napari_unetsharp.cli, napari_unetsharp.launch, napari_unetsharp.doctor; "
        "import napari_unetsharp.jobs.distribute, napari_unetsharp.training.fit; "
        "napari_unetsharp.doctor.findings()"
    )
    modules = modules_after(statement)
    assert "torch" in modules  # the statement did what it says
    assert not modules & set(BINDINGS)


def test_the_command_line_alone_is_quick_to_start():
    assert not modules_after("import napari_unetsharp.cli, napari_unetsharp.launch") & {"torch", *BINDINGS}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.name)
def test_nothing_that_could_run_code_of_a_file(path):
    text = path.read_text(encoding="utf-8")
    assert "allow_pickle=True" not in text
    assert not re.search(r"\b(pickle|joblib|dill|cloudpickle)\.(load|loads|Unpickler)\b", text)
    assert not re.search(r"(?<![.\w])(eval|exec|__import__)\(", text)
    for call in re.finditer(r"\btorch\.load\(([^()]|\([^()]*\))*\)", text):
        assert "weights_only=True" in call[0], call[0]
    assert len(re.findall(r"\btorch\.load\b", text)) == len(re.findall(r"\btorch\.load\(", text))


def test_the_gate_sees_what_it_is_for():
    package = "".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    assert len(re.findall(r"\btorch\.load\(", package)) >= 2
    assert "weights_only=False" not in package
