"""Make docs/window.png from the real window: `python docs/make_pictures.py` with a display (Xvfb will do)."""

import subprocess
import sys
from pathlib import Path

WINDOW = Path(__file__).with_name("window.png")

if __name__ == "__main__":
    command = [
        sys.executable,
        "-m",
        "napari_unetsharp",
        "gui",
        "--sample",
        "drawn_fluorescence",
        "--screenshot",
        str(WINDOW),
    ]
    sys.exit(subprocess.call(command))
