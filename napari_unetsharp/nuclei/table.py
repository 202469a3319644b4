"""Tables of nuclei and of what was done to them, as CSV that spreadsheets and statistics programs open."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_unetsharp.errors import LabelsError
from napari_unetsharp.images.files import first_line
from napari_unetsharp.images.tiff import written_beside
from napari_unetsharp.nuclei.measure import Measures
from napari_unetsharp.nuclei.states import Nucleus, State
from napari_unetsharp.nuclei.texts import join_tags, number_texts, plain_text, safe_text, split_tags

DESCRIBED = ("state", "reason", "class", "tags")
"""Columns of `nuclei.csv` after "id"; measures follow."""

HISTORY = ("action", "when", "who", "what", "mode", "nucleus", "from", "to", "model")
"""Columns of `history.csv`; "seconds" follows where it was asked for."""

_STATES = {state.value: state for state in State}


@dataclass(frozen=True)
class HistoryRow:
    """What one action did to one nucleus.

    Attributes
    ----------
    action : int
        Number of the action; several rows have the same where it changed several nuclei.
    when : str
        UTC, ISO 8601.
    who : str
    what : str
        "right", "split", "undo split" ...
    mode : str
        "one by one", "screen" or "bulk".
    nucleus : int
        0 where no nucleus was changed.
    before, after : str
        Words of `State`; empty where the nucleus isn't there.
    model : str
        Hash of the model whose proposals were reviewed.
    seconds : float, optional
        Time that the person took.
    """

    action: int
    when: str
    who: str
    what: str
    mode: str = ""
    nucleus: int = 0
    before: str = ""
    after: str = ""
    model: str = ""
    seconds: float | None = None


def write_nuclei(path: str | Path, nuclei: Mapping[int, Nucleus] | None, measures: Measures) -> None:
    """Write `nuclei.csv`: a row per nucleus, by ascending id.

    Numbers have a point and at most 7 digits; what is unknown is empty. Free words can't be taken for formulas
    (see `texts.safe_text`). UTF-8.

    Parameters
    ----------
    path : str or Path
        Written beside and renamed.
    nuclei : mapping of int to Nucleus, or None
        Without it, the columns `DESCRIBED` are left out.
    measures : dict of str to array
        From `measure`; nuclei that it lacks have empty cells.
    """
    names = [name for name in measures if name != "id"]
    texts = [_cells(measures[name]) for name in names]
    ids = measures["id"].tolist() if "id" in measures else []
    rows = dict(zip(ids, zip(*texts, strict=True) if texts else [()] * len(ids), strict=True))
    missing = ("",) * len(names)
    header = ["id", *(DESCRIBED if nuclei is not None else ()), *(safe_text(name) for name in names)]
    with written_beside(Path(path)) as beside, beside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for number in sorted(rows.keys() | (nuclei or {}).keys()):
            described = () if nuclei is None else _described(nuclei.get(number) or Nucleus(number))
            writer.writerow([number, *described, *rows.get(number, missing)])


def _cells(column: Any) -> list[str]:
    if column.dtype.kind in "iufb":
        return number_texts(column)
    return [safe_text(str(text)) for text in column]


def _described(nucleus: Nucleus) -> tuple[str, ...]:
    free = (nucleus.reason, nucleus.kind, join_tags(nucleus.tags))
    return (nucleus.state.value, *(safe_text(text) for text in free))


def write_history(path: str | Path, rows: Iterable[HistoryRow], seconds: bool = False) -> None:
    """Write `history.csv`, a row per action and nucleus, in order.

    Parameters
    ----------
    path : str or Path
        Written beside and renamed.
    rows : iterable of HistoryRow
    seconds : bool
        Write how long each took as well.
    """
    with written_beside(Path(path)) as beside, beside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*HISTORY, "seconds"] if seconds else HISTORY)
        for row in rows:
            texts = (row.before, row.after, row.model)
            cells = [row.action, row.when, *map(safe_text, (row.who, row.what, row.mode)), row.nucleus or "", *texts]
            took = "" if row.seconds is None else f"{row.seconds:.7g}"
            writer.writerow([*cells, took] if seconds else cells)


def read_nuclei(path: str | Path) -> tuple[dict[int, Nucleus], Measures]:
    """Read `nuclei.csv`, also one that a spreadsheet saved again (semicolons and commas in numbers).

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    tuple of dict of int to Nucleus, and dict of str to array
        Nuclei by id, those without a state as to do; and the other columns as float64 (NaN where empty) or, where
        they hold words, as str. "id" is int64; order of the rows.

    Raises
    ------
    LabelsError
        If it is no such table, or an id or state makes no sense.
    """
    path = Path(path)
    nuclei: dict[int, Nucleus] = {}
    columns: dict[str, list[str]] = {}
    for line, row in _rows(path, ("id",)):
        number = _whole(row["id"], f"line {line} of {path.name}")
        if number in nuclei or number == 0:
            raise LabelsError(f"line {line} of {path.name} has the id {number}, which is 0 or there already")
        nuclei[number] = _nucleus(number, row, f"line {line} of {path.name}")
        for name, cell in row.items():
            if name not in ("id", *DESCRIBED):
                columns.setdefault(name, []).append(cell)
    measures: Measures = {"id": np.array(list(nuclei), np.int64)}
    return nuclei, measures | {name: _column(cells) for name, cells in columns.items()}


def _nucleus(number: int, row: Mapping[str, str], where: str) -> Nucleus:
    state, reason, kind, tags = (plain_text(row.get(name, "")) for name in DESCRIBED)
    if state and state not in _STATES:
        raise LabelsError(f"{where} has the state {state[:40]!r}; one of {', '.join(_STATES)} is needed")
    return Nucleus(number, _STATES.get(state, State.TO_DO), reason, kind, split_tags(tags))


def _column(cells: Sequence[str]) -> Any:
    try:
        return np.array([float(cell) if cell else np.nan for cell in cells])
    except ValueError:
        return np.array([plain_text(cell) for cell in cells], dtype=str)


def read_history(path: str | Path) -> list[HistoryRow]:
    """Read `history.csv`.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    list of HistoryRow

    Raises
    ------
    LabelsError
        If it is no such table.
    """
    path = Path(path)
    found = []
    for line, row in _rows(path, HISTORY):
        where = f"line {line} of {path.name}"
        who, what, mode = (plain_text(row[name]) for name in ("who", "what", "mode"))
        seconds = _column([row.get("seconds", "")])[0]
        if not isinstance(seconds, float):
            raise LabelsError(f"{where} has {row['seconds'][:40]!r} where seconds should be")
        number, nucleus = _whole(row["action"], where), _whole(row["nucleus"] or "0", where)
        words = (row["from"], row["to"], row["model"])
        took = None if np.isnan(seconds) else float(seconds)
        found.append(HistoryRow(number, row["when"], who, what, mode, nucleus, *words, took))
    return found


def _rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells by column of each row that isn't empty."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            file.seek(0)
            semicolons = header.count(";") > header.count(",")
            reader = csv.reader(file, delimiter=";" if semicolons else ",")
            names = [plain_text(name) for name in next(reader, [])]
            if not set(needed) <= set(names) or len(set(names)) < len(names):
                raise LabelsError(f"{path.name} has no columns {', '.join(needed)}, each once; is it another table?")
            for cells in reader:
                if not any(cells):
                    continue
                if len(cells) != len(names):
                    raise LabelsError(
                        f"line {reader.line_num} of {path.name} has {len(cells)} cells, the first has {len(names)}"
                    )
                yield reader.line_num, _by_name(names, cells, semicolons)
    except UnicodeDecodeError as error:
        raise LabelsError(f'{path.name} is not in UTF-8; save it as "CSV UTF-8"') from error
    except (OSError, csv.Error) as error:
        raise LabelsError(f"{path} can't be read: {first_line(error)}") from error


def _by_name(names: Sequence[str], cells: Sequence[str], semicolons: bool) -> dict[str, str]:
    row = dict(zip(names, cells, strict=True))
    if semicolons:  # so do spreadsheets in countries where numbers have a comma
        for name, cell in row.items():
            if cell.count(",") == 1 and cell.replace(",", "").lstrip("-").isdigit():
                row[name] = cell.replace(",", ".")
    return row


def _whole(cell: str, where: str) -> int:
    if not (cell.isascii() and cell.isdigit()) or len(cell) > 10 or int(cell) >= 2**31:
        raise LabelsError(f"{where} has {cell[:40]!r} where a whole number from 0 to {2**31 - 1} should be")
    return int(cell)
