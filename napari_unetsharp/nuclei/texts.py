"""Numbers and free words as they are written to files that people open in a spreadsheet."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FORMULA = "=+\\-@＝＋－＠|%"
"""What a cell begins with that a spreadsheet runs; wide forms are turned into narrow ones by some."""
_UNSAFE = re.compile(rf"(^|[;,])(\s*)(?=[{_FORMULA}'])")
_SAFE = re.compile(rf"(^|[;,])(\s*)'(?=[{_FORMULA}'])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_TAG_END = re.compile(r"\\(.)|( / )", re.DOTALL)


def number_texts(values: NDArray[Any]) -> list[str]:
    """Write numbers with 7 digits and a point; what isn't finite is left empty.

    Parameters
    ----------
    values : array, (n,)

    Returns
    -------
    list of str
    """
    if values.dtype.kind in "iub":
        return [str(int(value)) for value in values.tolist()]
    finite = np.isfinite(values).tolist()
    return [f"{value:.7g}" if known else "" for value, known in zip(values.tolist(), finite, strict=True)]


def safe_text(text: str) -> str:
    """Free words for a cell of a table, so that no spreadsheet takes them for a formula.

    An apostrophe is put before what begins like a formula, also after a comma or semicolon: spreadsheets of
    another language may cut there. Line breaks and other control characters become spaces.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
        What `plain_text` turns back.
    """
    return _UNSAFE.sub(r"\1\2'", _CONTROL.sub(" ", text).strip())


def plain_text(cell: str) -> str:
    """Inverse of `safe_text` for what it gives; other texts stay as they are."""
    return _SAFE.sub(r"\1\2", cell).strip()


def join_tags(tags: Sequence[str]) -> str:
    """Several free words as one, with " / " between them; `split_tags` takes them apart again."""
    return " / ".join(tag.replace("\\", "\\\\").replace("/", "\\/") for tag in tags)


def split_tags(text: str) -> tuple[str, ...]:
    """Inverse of `join_tags`."""
    if not text:
        return ()
    tags, tag, place = [], "", 0
    for found in _TAG_END.finditer(text):
        tag += text[place : found.start()] + (found[1] or "")
        place = found.end()
        if found[2]:
            tags.append(tag)
            tag = ""
    return (*tags, tag + text[place:])
