"""Opening a slide by what it is."""

from __future__ import annotations

from pathlib import Path

from napari_unetsharp.errors import ImageError
from napari_unetsharp.images.files import DICOM_ENDINGS, TIFF_ENDINGS
from napari_unetsharp.images.slide import Slide

SCANNER_ENDINGS = (".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".vms", ".vmu", ".svslide")
"""What scanners write, but for TIFF and DICOM; read by OpenSlide."""

OTHER_TIFF_ENDINGS = (*TIFF_ENDINGS, ".qptiff", ".btf", ".tf8", ".tf2")

_BY_OPENSLIDE = ("aperio", "hamamatsu", "leica", "mirax", "philips", "sakura", "trestle", "ventana", "zeiss")


def open_slide(path: str | Path) -> Slide:
    """Open a whole slide, or any TIFF, without decoding more than a few tiles.

    Parameters
    ----------
    path : str or Path
        A file of a scanner (SVS, NDPI, MRXS, SCN, BIF, VMS), a TIFF (OME pyramid, QPTIFF, ImageJ, tiled or flat), a
        folder of an OME-Zarr, a DICOM slide (its folder or one of its files).

    Returns
    -------
    Slide
        Close it when done, or use it in a ``with`` block.

    Raises
    ------
    ImageError
        If it is missing, of another kind, damaged, or contradicts itself.
    """
    path = Path(path)
    if not path.exists():
        raise ImageError(f"{path} doesn't exist; give the path of a slide")
    if is_zarr(path):
        from napari_unetsharp.images.zarr_slide import open_zarr

        return open_zarr(path)
    ending = path.suffix.lower()
    if path.is_dir() and ending == ".zarr":
        raise ImageError(f"{path.name} holds no zarr metadata (zarr.json or .zgroup): the copy is incomplete")
    if path.is_dir() or ending in DICOM_ENDINGS or (not ending and _starts_as_dicom(path)):
        from napari_unetsharp.images.slide_dicom import open_dicom_slide

        return open_dicom_slide(path)
    if ending in SCANNER_ENDINGS or ending in OTHER_TIFF_ENDINGS:
        return _open_file(path, ending)
    raise ImageError(
        f"{path.name} isn't a slide by its ending ({ending or 'none'}); give SVS, NDPI, MRXS, SCN, BIF, VMS, TIFF, "
        "DICOM or OME-Zarr"
    )


def is_zarr(path: Path) -> bool:
    """Whether a folder is a zarr group or array."""
    return path.is_dir() and any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray"))


def _starts_as_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _open_file(path: Path, ending: str) -> Slide:
    from napari_unetsharp.images.slide_tiff_checks import leads_beyond
    from napari_unetsharp.images.tiff_pages import check_pages

    if ending != ".ndpi":  # whose pages lead further by 64 bits where TIFF has 32
        check_pages(path)
    slide = _opened(path, ending)
    if ending != ".ndpi" and leads_beyond(path):
        slide.notes.append("The file is cut off: its last pages are lost; copy it again.")
    return slide


def _opened(path: Path, ending: str) -> Slide:
    from napari_unetsharp.images.openslide_reader import detected, open_by_openslide
    from napari_unetsharp.images.pyramid_tiff import open_tiff
    from napari_unetsharp.images.slide_tiff_checks import check_scanner_tiff, is_colour_tiff

    vendor = detected(path)
    if vendor in _BY_OPENSLIDE or (vendor == "generic-tiff" and is_colour_tiff(path)):
        check_scanner_tiff(path)
        return open_by_openslide(path)
    if ending in OTHER_TIFF_ENDINGS or ending == ".svs":
        return open_tiff(path)
    try:
        import openslide  # noqa: F401
    except ImportError:
        raise ImageError(
            f'{path.name} needs OpenSlide: install it with pip install "napari-unetsharp[slides]"'
        ) from None
    raise ImageError(f"{path.name} isn't a slide that OpenSlide knows: it is damaged or of another kind")
