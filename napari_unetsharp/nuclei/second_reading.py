"""A second reading beside a review: a random tenth is asked again, blinded, in a journal of its own.

What the first reading said is frozen when the tenth is drawn, so that talking about differences afterwards doesn't
make the readings agree better than they did.
"""

from __future__ import annotations

import base64
import csv
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetsharp.errors import ReviewError
from napari_unetsharp.images.tiff import written_beside
from napari_unetsharp.nuclei.agreement import ACCEPTED, Agreement, agreement, second_reading, verdict
from napari_unetsharp.nuclei.findings import whole
from napari_unetsharp.nuclei.head import JOURNAL
from napari_unetsharp.nuclei.pixels import PixelChange
from napari_unetsharp.nuclei.review import Review
from napari_unetsharp.nuclei.states import State
from napari_unetsharp.nuclei.texts import safe_text

NAME = "second reading"
"""Folders in that of the review are called so, with a number; a note in the journal, too."""

COLUMNS = ("reading", "first reader", "second reader", "nucleus", "first", "second", "same")
"""Of `second_reading.csv`: "same" is yes or no, empty until both have judged."""


@dataclass(frozen=True)
class Reading:
    """A second reading, as far as it went.

    Attributes
    ----------
    folder : Path
        Of its journal.
    first_reader, second_reader : str
    nuclei : tuple of (int, State, State)
        Id, first and second answer, in the order of serving; to do where the second one is still open.
    agreement : Agreement
    """

    folder: Path
    first_reader: str
    second_reader: str
    nuclei: tuple[tuple[int, State, State], ...]
    agreement: Agreement

    @property
    def read(self) -> int:
        """How many were answered."""
        return sum(second is not State.TO_DO for _, _, second in self.nuclei)

    @property
    def words(self) -> str:
        """Who read how many, and how far the readings agree."""
        who = f"Second reading by {self.second_reader or 'somebody'}"
        if self.read < len(self.nuclei):
            who += f", {self.read} of {len(self.nuclei)} so far"
        return f"{who}: {self.agreement.words}"


def candidates(review: Review) -> list[int]:
    """Nuclei that can be read again: with an answer, and as they were proposed."""
    proposed = set(np.flatnonzero(np.bincount(review.proposals.ravel())).tolist())
    return sorted(id_ for id_, nucleus in review.nuclei.items() if verdict(nucleus.state) and id_ in proposed)


def start_second_reading(review: Review, reader: str, seed: int | None = None) -> Review:
    """Draw a tenth of what was answered, and begin a review of it as it was proposed.

    Parameters
    ----------
    review : Review
        With a folder. Nothing is changed in it.
    reader : str
        Who reads; may be the same person.
    seed : int, optional
        Drawn at random if not given.

    Returns
    -------
    Review
        Its journal is in a folder within that of the review. It holds nothing but the nuclei that were drawn,
        all to do, with their proposed outlines; `drawn` gives their order.

    Raises
    ------
    ReviewError
        If nothing was answered yet, or nothing can be written.
    """
    ids = candidates(review)
    if review.folder is None or not ids:
        raise ReviewError("nothing can be read a second time yet; answer some nuclei first")
    numbers = second_reading(ids, secrets.randbelow(2**31) if seed is None else seed).tolist()
    labels = np.where(np.isin(review.proposals, numbers), review.proposals, 0)
    accepted = [id_ for id_ in numbers if review.nuclei[id_].state in ACCEPTED]
    outlines = np.where(np.isin(review.labels, accepted), review.labels, 0)
    reading = Review.start(_free_folder(review.folder), review.identity, labels, reader, model=review.findings.model)
    reading.note(
        NAME,
        {
            "of": review.head.started,
            "first reader": review.who,
            "drawn": [[id_, review.nuclei[id_].state.value] for id_ in numbers],
            "outlines": base64.b64encode(whole(outlines).to_bytes()).decode("ascii"),
        },
    )
    return reading


def _free_folder(folder: Path) -> Path:
    number = 1
    while (folder / f"{NAME} {number}").exists():
        number += 1
    return folder / f"{NAME} {number}"


def drawn(reading: Review) -> list[int]:
    """Nuclei of a second reading, in the order of serving."""
    return [int(id_) for id_, _ in _note(reading)["drawn"]]


def _note(reading: Review) -> dict[str, Any]:
    notes = reading.notes.get(NAME)
    if not notes:
        raise ReviewError(f"{reading.folder} holds no second reading; start one anew")
    return dict(notes[0])


def told(reading: Review) -> Reading:
    """Compare a second reading with the first one as it was when the nuclei were drawn.

    Raises
    ------
    ReviewError
        If it is no second reading.
    """
    note = _note(reading)
    try:
        first = {int(id_): State(state) for id_, state in note["drawn"]}
        packed = base64.b64decode(note["outlines"], validate=True)
        outlines = np.zeros(reading.labels.shape, np.int32)
        PixelChange.from_bytes(packed, reading.findings.shape).apply(outlines)
    except (KeyError, TypeError, ValueError) as error:
        raise ReviewError(f"the second reading in {reading.folder} is damaged ({error!r}); start one anew") from error
    second = {id_: reading.nuclei[id_].state for id_ in first if id_ in reading.nuclei}
    nuclei = tuple((id_, state, second.get(id_, State.TO_DO)) for id_, state in first.items())
    compared = agreement(first, second, outlines, _only(reading.labels, first))
    return Reading(reading.folder or Path(), str(note.get("first reader", "")), reading.head.who, nuclei, compared)


def _only(labels: NDArray[np.int32], ids: Iterable[int]) -> NDArray[np.int32]:
    return np.asarray(np.where(np.isin(labels, list(ids)), labels, 0), np.int32)


def second_readings(review: Review) -> tuple[list[Reading], list[str]]:
    """All second readings of a review; those of a review that was set aside are left out.

    Parameters
    ----------
    review : Review
        None of its second readings may be open for writing in this process.

    Returns
    -------
    readings : list of Reading
        The oldest first.
    problems : list of str
        Why others can't be read, a sentence each.
    """
    found: list[Reading] = []
    problems: list[str] = []
    for folder in _folders(review):
        try:
            with Review.open(folder, review.identity) as reading:
                notes = reading.notes.get(NAME)
                if notes and notes[0].get("of") == review.head.started:
                    found.append(told(reading))
        except ReviewError as error:
            problems.append(f"{folder.name}: {error}")
    return found, problems


def _folders(review: Review) -> list[Path]:
    if review.folder is None or not review.folder.is_dir():
        return []
    numbered = [
        (int(folder.name.removeprefix(NAME)), folder)
        for folder in review.folder.glob(f"{NAME} *")
        if folder.name.removeprefix(NAME).strip().isdecimal() and (folder / JOURNAL).exists()
    ]
    return [folder for _, folder in sorted(numbered)]


def write_readings(path: str | Path, readings: Iterable[Reading]) -> None:
    """Write `second_reading.csv`: a row per reading and nucleus.

    Parameters
    ----------
    path : str or Path
        Written beside and renamed.
    readings : iterable of Reading
    """
    with written_beside(Path(path)) as beside, beside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for number, reading in enumerate(readings, start=1):
            readers = (safe_text(reading.first_reader), safe_text(reading.second_reader))
            for id_, first, second in reading.nuclei:
                same = "" if not verdict(second) else "yes" if verdict(first) == verdict(second) else "no"
                writer.writerow([number, *readers, id_, first.value, second.value, same])


def summary(reading: Reading) -> dict[str, Any]:
    """For `review.json`; what isn't defined is None."""
    found, (low, high) = reading.agreement, reading.agreement.interval
    return {
        "first reader": reading.first_reader,
        "second reader": reading.second_reader,
        "drawn": len(reading.nuclei),
        "read twice": found.read,
        "same verdict": found.same,
        "share of same verdicts, 95 % interval": [round(low, 4), round(high, 4)],
        "kappa": _number(found.kappa),
        "F1 of outlines": _number(found.f1),
    }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 4)
