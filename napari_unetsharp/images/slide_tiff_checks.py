"""What is compared in a scanner's TIFF before OpenSlide decodes it: it believes sides that can't be."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Literal

import numpy as np
import tifffile

from napari_unetsharp.errors import ImageError
from napari_unetsharp.images.files import first_line

_ORDERS: dict[str, Literal["little", "big"]] = {"<": "little", ">": "big"}
_COLOURS = (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR)


def is_colour_tiff(path: Path) -> bool:
    """Whether OpenSlide shows a plain tiled TIFF as it is: 8-bit colours, no OME, not one plane of many."""
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            plain = not (file.is_ome or file.is_qpi or file.is_imagej or file.is_shaped)
            series = file.series[0]
            return bool(
                plain and page.is_tiled and page.samplesperpixel == 3 and page.planarconfig == 1
                and page.dtype == np.uint8 and page.photometric in _COLOURS and len(series.shape) == 3
            )  # fmt: skip
    except Exception:  # what can't be read is left to those who read it
        return False


def check_scanner_tiff(path: Path) -> None:
    """Compare the tiles of each page with its sides and with the file's length.

    Parameters
    ----------
    path : Path
        What is no TIFF (MRXS, VMS) is left to OpenSlide.

    Raises
    ------
    ImageError
    """
    try:
        file = tifffile.TiffFile(path)
    except Exception:
        return
    with file:
        try:
            for number, page in enumerate(file.pages):
                if isinstance(page, tifffile.TiffPage) and page.is_tiled and page.tilewidth and page.tilelength:
                    _check_page(page, number, path)
        except ImageError:
            raise
        except Exception as error:  # tifffile raises many kinds on damaged pages
            raise ImageError(f"the pages of {path.name} can't be read: {first_line(error)}; copy it again") from error


def _check_page(page: tifffile.TiffPage, number: int, path: Path) -> None:
    size = path.stat().st_size
    needed = ceil(page.imagewidth / page.tilewidth) * ceil(page.imagelength / page.tilelength)
    needed *= page.samplesperpixel if page.planarconfig == 2 else 1
    needed *= max(1, int(page.imagedepth))
    offsets = np.asarray(page.dataoffsets, dtype=np.uint64)
    lengths = np.asarray(page.databytecounts, dtype=np.uint64)
    if not len(offsets) == len(lengths) == needed:
        raise ImageError(
            f"page {number} of {path.name} declares {page.imagewidth} x {page.imagelength} pixels in tiles of "
            f"{page.tilewidth} x {page.tilelength}: {needed} are needed, but it lists {len(offsets)}; its "
            "sides are wrong or tiles are missing, so export it again"
        )
    beyond = int(np.count_nonzero(offsets + lengths > size))
    if beyond:
        raise ImageError(
            f"{path.name} is cut off: {beyond} of the {needed} tiles of page {number} lie beyond its end "
            f"({size} bytes); copy it again"
        )


def leads_beyond(path: Path) -> bool:
    """Whether the chain of pages points beyond the end of the file: then the last pages are lost."""
    size = path.stat().st_size
    try:
        with tifffile.TiffFile(path) as file:
            last = file.pages[len(file.pages) - 1]
            tiff = file.tiff
            place = int(last.offset)
            with path.open("rb") as stored:
                stored.seek(place)
                tags = int.from_bytes(stored.read(tiff.tagnosize), _ORDERS[file.byteorder])
                stored.seek(place + tiff.tagnosize + tags * tiff.tagsize)
                following = int.from_bytes(stored.read(tiff.offsetsize), _ORDERS[file.byteorder])
    except Exception:  # what can't be read is left to those who read it
        return False
    return following >= size
