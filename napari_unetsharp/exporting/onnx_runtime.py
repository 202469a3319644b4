"""ONNX Runtime, without the reports that it sends home since version 1.29."""

from __future__ import annotations

import os
from types import ModuleType

SILENT = {"ORT_DISABLE_TELEMETRY": "1", "ORT_TELEMETRY_DISABLED": "1"}
"""Variables that switch its reports off, by their names in several versions; to be set before it is imported."""


def onnx_runtime() -> ModuleType:
    """Import ONNX Runtime so that it sends nothing and keeps no identifier of this machine on disk."""
    os.environ |= SILENT
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # for one that was imported before by somebody else
    runtime: ModuleType = onnxruntime
    return runtime
