"""``python -m napari_unetsharp.exporting.bioimageio_pack FOLDER PACKAGE VERDICT``: pack, and test what was packed.

A process of its own does it (see `bioimageio_file`). VERDICT becomes a JSON list of faults; an empty one is good.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

VALUES = "description.json"
"""The model description, in FOLDER; it doesn't go into the package."""


def faults_of(folder: Path, package: Path) -> list[str]:
    """Pack a folder, and run what was packed with ``bioimageio.core``.

    Parameters
    ----------
    folder : Path
        Holds `VALUES` and the files that it names.
    package : Path
        Written; a zip file.

    Returns
    -------
    list of str
        What the format or the test finds wrong.
    """
    from bioimageio.core import test_model
    from bioimageio.spec import InvalidDescr, ValidationContext, build_description, save_bioimageio_package

    values = json.loads((folder / VALUES).read_text(encoding="utf-8"))
    context = ValidationContext(root=folder, log_warnings=False, progressbar=False)
    described = build_description(values, context=context)
    if isinstance(described, InvalidDescr):
        return _errors(described.validation_summary)
    with context:
        save_bioimageio_package(described, output_path=package)
        summary = test_model(package, devices=["cpu"], stop_early=True)
    return [] if summary.status == "passed" else _errors(summary)


def _errors(summary: Any) -> list[str]:
    told = [error.msg.splitlines()[0] for detail in summary.details for error in detail.errors if error.msg]
    return told or [f"status {summary.status}"]


if __name__ == "__main__":
    faults = faults_of(Path(sys.argv[1]), Path(sys.argv[2]))
    Path(sys.argv[3]).write_text(json.dumps(faults), encoding="utf-8")
