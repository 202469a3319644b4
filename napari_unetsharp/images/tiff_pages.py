"""The chain of pages of a TIFF, walked before anything else is: one that leads back to itself has no end."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from napari_unetsharp.errors import ImageError

MOST_PAGES = 1_000_000

_LAYOUTS = {42: (4, "I", "H", 12), 43: (8, "Q", "Q", 20)}
"""By version: where the first offset is, and the formats of an offset and of a number of tags, and a tag's bytes."""


def check_pages(path: str | Path) -> None:
    """Refuse a TIFF whose pages have no end.

    tifffile (2026.3) looks for such a circle among the first hundred pages, and not where pages are asked for one
    by one: a damaged file of a few hundred bytes kept it busy for ever.

    Parameters
    ----------
    path : str or Path
        What is no TIFF, or can't be read, is left to those who read it.

    Raises
    ------
    ImageError
        If a page is followed by an earlier one, or there are more than `MOST_PAGES`.
    """
    path = Path(path)
    seen: set[int] = set()
    try:
        with path.open("rb") as file:
            order, layout = _layout(file)
            place = layout[0]
            while offset := _number(file, place, order + layout[1]):
                if offset in seen or len(seen) >= MOST_PAGES:
                    raise ImageError(f"{path.name} is damaged: its pages have no end; save it again as TIFF")
                seen.add(offset)
                tags = _number(file, offset, order + layout[2])
                place = offset + struct.calcsize(order + layout[2]) + tags * layout[3]
    except (OSError, ValueError, OverflowError, struct.error):  # beyond the end of the file, or of all files
        return


def _layout(file: BinaryIO) -> tuple[str, tuple[int, str, str, int]]:
    """Byte order, and the layout of its version; `struct.error` for what is no TIFF."""
    order = {b"II": "<", b"MM": ">"}.get(file.read(2), "")
    version = struct.unpack(f"{order or '<'}H", file.read(2))[0]
    if not order or version not in _LAYOUTS:
        raise struct.error("no TIFF")
    return order, _LAYOUTS[version]


def _number(file: BinaryIO, place: int, form: str) -> int:
    file.seek(place)
    return int(struct.unpack(form, file.read(struct.calcsize(form)))[0])
