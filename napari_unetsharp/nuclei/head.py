"""The first line of a journal: which image and plane it is about, who started it and when."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from napari_unetsharp.errors import ReviewError
from napari_unetsharp.nuclei import records
from napari_unetsharp.nuclei.identity import Identity
from napari_unetsharp.nuclei.journal import HEAD

JOURNAL = "journal"
"""Name of the file in the folder of a review."""

LAYOUT = "unetsharp review 1"
"""First words of a journal, with the version of its layout."""

LONGEST_HEAD = 2**20
"""A first line with more bytes is none of ours."""


@dataclass(frozen=True)
class Head:
    """First line of a journal: what it is about.

    Attributes
    ----------
    identity : Identity
        Of the image.
    shape : tuple of int
        (Y, X) of the plane, in pixels.
    who : str
        Who started it.
    started : str
        When, UTC, ISO 8601.
    limit : int
        Memory for steps that can be taken back, in bytes.
    written : str
        When the file was last written, UTC, ISO 8601; by its date.
    """

    identity: Identity
    shape: tuple[int, int]
    who: str
    started: str
    limit: int
    written: str = ""

    def to_json(self) -> dict[str, Any]:
        """For the journal."""
        return {
            "layout": LAYOUT,
            "identity": self.identity.to_json(),
            "shape": list(self.shape),
            "who": self.who,
            "started": self.started,
            "limit": self.limit,
        }

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Head:
        """Inverse of `to_json`.

        Raises
        ------
        ReviewError
        """
        if record.get("layout") != LAYOUT:
            raise ReviewError(f"the journal says that it is {record.get('layout')!r}; {LAYOUT!r} can be read")
        try:
            rows, columns = (int(side) for side in record["shape"])
            identity = Identity.from_json(record["identity"])
            return cls(identity, (rows, columns), str(record["who"]), str(record["started"]), int(record["limit"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ReviewError(f"the first line of the journal lacks something ({error!r})") from error


def find_review(folder: Path) -> Head | None:
    """What the review in a folder is about, without reading all of it; None where there is none.

    Raises
    ------
    ReviewError
        If there is a journal that can't be read.
    """
    path = folder / JOURNAL
    try:
        with path.open("rb") as file:
            line = file.readline(LONGEST_HEAD)
            written = os.fstat(file.fileno()).st_mtime
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ReviewError(f"{path} can't be read ({error.strerror or error}); allow it and try again") from error
    head = Head.from_json(records.from_line(line[HEAD:]))
    return replace(head, written=datetime.fromtimestamp(written, UTC).isoformat(timespec="seconds"))
