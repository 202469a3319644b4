"""What TIFF slides say about themselves: channels, pixel size, objective, scanner."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

import tifffile

from napari_unetsharp.images.slide import Channel


@dataclass
class Description:
    """What was found; µm per pixel along Y and X."""

    kind: str
    vendor: str = ""
    objective: float | None = None
    um_per_pixel: tuple[float, float] | None = None
    channels: list[Channel] = field(default_factory=list)


def described(file: tifffile.TiffFile, pages: list[Any]) -> Description:
    """Read the vendor's or the standard's description.

    Parameters
    ----------
    file : TiffFile
    pages : list of TiffPage
        Of the largest level, one per channel where each has its own.
    """
    if file.is_svs:
        return _aperio(str(file.pages.first.description))
    if file.is_qpi:
        return _akoya(pages)
    if file.is_ome and file.ome_metadata:
        return _ome(file.ome_metadata)
    return Description("ImageJ TIFF" if file.is_imagej else "TIFF")


def _number(text: object) -> float | None:
    try:
        value = float(str(text))
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None


def _aperio(text: str) -> Description:
    fields = dict(re.findall(r"\|\s*([^=|]+?)\s*=\s*([^|\r\n]*)", text))
    size = _number(fields.get("MPP"))
    return Description("Aperio SVS", "aperio", _number(fields.get("AppMag")), (size, size) if size else None)


def _akoya(pages: list[Any]) -> Description:
    found = Description("QPTIFF", "akoya")
    for page in pages:
        root = _tree(str(page.description))
        if root is None:
            continue
        name = root.findtext("Biomarker") or root.findtext("Name")
        colour = re.findall(r"\d+", root.findtext("Color") or "")
        if name:
            found.channels.append(Channel(name.strip(), _bytes(colour)))
        found.objective = found.objective or _number(re.sub(r"[xX]\s*$", "", root.findtext("Objective") or ""))
    return found


def _bytes(colour: list[str]) -> tuple[int, int, int] | None:
    if len(colour) != 3 or max(int(part) for part in colour) > 255:
        return None
    red, green, blue = (int(part) for part in colour)
    return red, green, blue


def _tree(text: str) -> ElementTree.Element | None:
    """Parse XML; None for other text and for XML that defines entities, which could grow without end."""
    if "<!ENTITY" in text or "<!DOCTYPE" in text:
        return None
    try:
        return ElementTree.fromstring(text.strip().encode())
    except ElementTree.ParseError:
        return None


def _ome(xml: str) -> Description:
    found = Description("OME-TIFF")
    root = _tree(xml)
    if root is None:
        return found
    for place in root.iter():
        place.tag = place.tag.rsplit("}", 1)[-1]
    for channel in root.findall("./Image[1]/Pixels/Channel"):
        name, colour = channel.get("Name"), channel.get("Color")
        if int(channel.get("SamplesPerPixel") or 1) == 1:
            title = name or f"channel {len(found.channels) + 1}"
            found.channels.append(Channel(title, _packed(colour)))
    settings = root.find("./Image[1]/ObjectiveSettings")
    chosen = settings.get("ID") if settings is not None else None
    lenses = [one for one in root.iter("Objective") if chosen is None or one.get("ID") == chosen]
    if lenses:
        found.objective = _number(lenses[0].get("NominalMagnification") or lenses[0].get("CalibratedMagnification"))
    scopes = [one.get("Manufacturer") for one in root.iter("Microscope")]
    found.vendor = next((scope for scope in scopes if scope), "")
    return found


def _packed(colour: str | None) -> tuple[int, int, int] | None:
    """OME keeps colours as one signed number: red, green, blue and opacity from the top byte on."""
    try:
        value = int(colour or "") & 0xFFFFFFFF
    except ValueError:
        return None
    return value >> 24, value >> 16 & 255, value >> 8 & 255
