"""A plot as SVG, which follows the theme of its page, and as PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from html import escape

from PIL import Image, ImageDraw, ImageFont

from napari_unetsharp.comparison.plot import FAINT, HEIGHT, INK, WIDTH, Mark

_TEXT = 13
_DOT = 5
_ON_PAGE = {INK: "currentColor", FAINT: "var(--faint)"}
_ON_PAPER = {INK: "#1a1a1a", FAINT: "#dddddd"}
_SCALE = 2
"""Pixels of the PNG per pixel of the plot."""


def as_svg(marks: Sequence[Mark], words: str) -> str:
    """An inline SVG; `words` say what it shows, for those who can't see it."""
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" aria-label="{escape(words)}">'
    return "\n".join([head, *(_element(mark) for mark in marks), "</svg>"])


def _element(mark: Mark) -> str:
    colour = _ON_PAGE.get(mark.colour, mark.colour)
    if mark.kind == "line":
        ends = f'x1="{mark.x:.1f}" y1="{mark.y:.1f}" x2="{mark.to[0]:.1f}" y2="{mark.to[1]:.1f}"'
        return f'<line {ends} style="stroke:{colour};stroke-width:1.5"/>'
    place = f"{mark.x:.1f} {mark.y:.1f}"
    if mark.kind == "dot":
        title = f"<title>{escape(mark.text)}</title>"
        x, y = place.split()
        return f'<circle cx="{x}" cy="{y}" r="{_DOT}" style="fill:{colour}">{title}</circle>'
    turned = f' transform="rotate(-90 {place})"' if mark.upright else ""
    x, y = place.split()
    style = f'style="fill:{colour};font-size:{_TEXT}px" text-anchor="{mark.anchor}"'
    return f'<text x="{x}" y="{y}" {style}{turned}>{escape(mark.text)}</text>'


def as_png(marks: Sequence[Mark]) -> bytes:
    """The same as a PNG file on white, twice as large."""
    canvas = Image.new("RGB", (WIDTH * _SCALE, HEIGHT * _SCALE), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(_TEXT * _SCALE)
    for mark in marks:
        colour = _ON_PAPER.get(mark.colour, mark.colour)
        x, y = mark.x * _SCALE, mark.y * _SCALE
        if mark.kind == "line":
            draw.line([x, y, mark.to[0] * _SCALE, mark.to[1] * _SCALE], colour, _SCALE)
        elif mark.kind == "dot":
            radius = _DOT * _SCALE
            draw.ellipse([x - radius, y - radius, x + radius, y + radius], colour)
        elif mark.upright:
            _upright(canvas, mark, font, colour)
        else:
            draw.text((x, y), mark.text, colour, font, {"start": "ls", "middle": "ms", "end": "rs"}[mark.anchor])
    file = io.BytesIO()
    canvas.save(file, "PNG")
    return file.getvalue()


def _upright(canvas: Image.Image, mark: Mark, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, colour: str) -> None:
    """A text that runs upwards, centred at its place."""
    left, top, right, bottom = font.getbbox(mark.text)
    width, height = int(right - left) + 4, int(bottom - top) + 8
    words = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(words).text((width / 2, height / 2), mark.text, colour, font, "mm")
    turned = words.rotate(90, expand=True)
    canvas.paste(turned, (int(mark.x * _SCALE - height / 2), int(mark.y * _SCALE - width / 2)))
