"""The comparison as one HTML page that needs nothing else, and its figures beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp import __version__
from napari_unetsharp.comparison import page, plot_drawn
from napari_unetsharp.comparison.advice import against_words
from napari_unetsharp.comparison.candidate import Candidate
from napari_unetsharp.comparison.difference import NAMES, Difference
from napari_unetsharp.comparison.page import Figure
from napari_unetsharp.comparison.panes import Shown, as_png, close_ups, coloured, outlined, plain
from napari_unetsharp.comparison.plot import plot_marks
from napari_unetsharp.comparison.rows import Row
from napari_unetsharp.comparison.table_text import COLUMNS, COSTS
from napari_unetsharp.errors import SettingsError
from napari_unetsharp.images.tiff import written_beside
from napari_unetsharp.nuclei.file_set import saving

FIGURES = "_figures"
"""`compared.html` has its figures in `compared_figures`."""

IN_FULL = 8
"""Images of which panes are shown; of more, the numbers alone."""


def write_report(
    path: str | Path,
    picture: NDArray[np.uint8],
    candidates: Sequence[Candidate],
    rows: Sequence[Row],
    differences: Mapping[tuple[str, str], Difference],
    advice: str,
    settings: Mapping[str, Any],
    hashes: Mapping[str, str],
    name: str = "",
) -> Path:
    """Write the comparison of one image as a page, and its figures as PNG in a folder beside it.

    Parameters
    ----------
    path : str or Path
        Of the page, ending in .html; replaced only once the new one is whole.
    picture : array of uint8, (Y, X, 3)
    candidates : sequence of Candidate
        With what they are compared with among them, if it is to be seen.
    rows : sequence of Row
    differences : mapping of (str, str) to Difference
        By the names of A and B; may be empty.
    advice : str
    settings : mapping
        Plain values, by name.
    hashes : mapping of str to str
        SHA-256 by what it is of.
    name : str
        Of the image.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    SaveError
        If it can't be written.
    SettingsError
        If the path doesn't end in .html.
    """
    shown = Shown(name, picture, candidates, rows, dict(differences))
    return write_page(path, [shown], rows, advice, settings, hashes)


def write_page(
    path: str | Path,
    images: Sequence[Shown],
    rows: Sequence[Row],
    advice: str,
    settings: Mapping[str, Any],
    hashes: Mapping[str, str],
) -> Path:
    """Write the comparison of one or many images; `rows` are of all of them together, the rest as `write_report`.

    The panes of the first `IN_FULL` images are shown.
    """
    path = checked_path(path)
    figures: dict[str, bytes] = {}
    names = [image.name for image in images if image.name]
    title = f"Comparison of {names[0]}" if len(names) == 1 else f"Comparison on {len(images)} images"
    parts = [page.heading(title, 1), page.paragraph(_about(rows, images), "dim")]
    if advice:
        parts.append(page.paragraph(advice, "advice"))
    marks = plot_marks(rows)
    if marks:
        figures["plot.png"] = plot_drawn.as_png(marks)
        parts += [page.heading("Quality against cost"), plot_drawn.as_svg(marks, "F1 against cost, a point per depth")]
        parts.append(page.paragraph("Bars: 95 % intervals, bootstrap over nuclei.", "dim"))
    quality = [column for column in COLUMNS if column.name not in COSTS]
    parts += [page.heading("Numbers"), page.table(rows, quality)]
    parts.append(page.paragraph("Small: 95 % intervals, bootstrap over nuclei. Scores are pooled over nuclei.", "dim"))
    costly = [row for row in rows if row.parameters]
    if costly:
        parts += [page.heading("Cost"), page.table(costly, [column for column in COLUMNS if column.name in COSTS])]
    for number, image in enumerate(images[:IN_FULL], start=1):
        parts += _panes(image, number if len(images) > 1 else 0, figures)
    if len(images) > IN_FULL:
        rest = ", ".join(image.name for image in images[IN_FULL:])
        parts.append(page.paragraph(f"Counted in the numbers but not shown: {rest}.", "dim"))
    parts += [page.heading("What the columns mean"), page.definitions()]
    parts += [page.heading("Settings"), page.facts(settings), page.heading("SHA-256"), page.facts(hashes, code=True)]
    _write(path, page.page(title, parts), figures)
    return path


def checked_path(path: str | Path) -> Path:
    """See that a path is one of a page.

    Raises
    ------
    SettingsError
        If it doesn't end in .html.
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise SettingsError(f"the report is a page, so {path.name} must end in .html; give such a name")
    return path


def _about(rows: Sequence[Row], images: Sequence[Shown]) -> str:
    sides = {image.picture.shape[:2] for image in images}
    size = f"{next(iter(sides))[1]:,} × {next(iter(sides))[0]:,} px, " if len(sides) == 1 else ""
    compared = next((row for row in rows if row.found is not None), None)
    against = f"{against_words(compared)}, " if compared is not None else ""
    return f"{size}{against}{datetime.now(UTC):%d %B %Y}, napari-unetsharp {__version__}"


def _panes(image: Shown, number: int, figures: dict[str, bytes]) -> list[str]:
    """The tissue with each candidate's outlines, where two differ, and close-ups; 0 for the only image."""
    truth = _truth(image)
    start = f"{number}_{_plain(Path(image.name).stem)[:40]}_" if number else ""

    def titled(words: str) -> str:
        return f"{image.name}: {words}" if number else words.capitalize()

    def figure(name: str, picture: NDArray[np.uint8], caption: str) -> Figure:
        png = as_png(picture)
        figures[f"{start}{_plain(name)}.png"] = png
        return Figure(png, caption)

    panes = [figure("image", plain(image), "the image alone")]
    panes += [figure(one.name, outlined(image, one, truth), _caption(image, one)) for one in image.candidates]
    parts = [page.heading(titled("outlines")), page.legend(page.OUTLINE_WORDS, True), page.figures(panes)]
    if image.differences:
        shown = [
            figure(f"{a} against {b}", coloured(image, difference), f"A: {a}, B: {b} ({_counted(difference)})")
            for (a, b), difference in image.differences.items()
        ]
        parts += [page.heading(titled("differences")), page.legend(tuple(NAMES.items()), False), page.figures(shown)]
    boxes = close_ups(image)
    if boxes:
        parts.append(page.heading(titled("where they differ most")))
        for box in boxes:
            close = [Figure(as_png(plain(image, box)), f"from row {box.top}, column {box.left}")]
            close += [Figure(as_png(outlined(image, one, truth, box)), one.name) for one in image.candidates]
            parts.append(page.figures(close, "close"))
    return parts


def _truth(image: Shown) -> Candidate | None:
    """What the candidates of an image were compared with, where it is shown."""
    against = {row.against for row in image.rows}
    return next((one for one in image.candidates if one.name in against), None)


def _caption(image: Shown, candidate: Candidate) -> str:
    row = image.row_of(candidate)
    if row is None or row.found is None:
        return candidate.name
    return f"{candidate.name}: {row.found} found, {row.missed} missed, {row.false} false"


def _counted(difference: Difference) -> str:
    return ", ".join(f"{difference.counts[kind]} {words}" for kind, words in NAMES.items() if difference.counts[kind])


def _plain(name: str) -> str:
    """A name that any disk takes."""
    return re.sub(r"[^\w.-]+", "_", name.replace("/", "-")).strip("_.") or "image"


def _write(path: Path, text: str, figures: Mapping[str, bytes]) -> None:
    folder = path.with_name(path.stem + FIGURES)
    for place, content in _files(path, text, folder, figures):
        with saving(place), written_beside(place) as beside:
            beside.write_bytes(content)


def _files(path: Path, text: str, folder: Path, figures: Mapping[str, bytes]) -> Iterable[tuple[Path, bytes]]:
    """The page comes last: once it is there, everything is."""
    yield from ((folder / name, content) for name, content in figures.items())
    yield path, text.encode("utf-8")
