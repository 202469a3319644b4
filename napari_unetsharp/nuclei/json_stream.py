"""JSON files element by element: a file of gigabytes, or one made to hurt, needs no memory to match."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from napari_unetsharp.errors import LabelsError

LARGEST = 1 << 25
"""Characters that one element may have; an outline of a million corners has half of that."""

_CHUNK = 1 << 18
_SPACE = re.compile("[ \\t\\r\\n]*")


def read_elements(path: Path, key: str, alone: frozenset[str]) -> Iterator[Any]:
    """Read the elements of a list, one at a time.

    Parameters
    ----------
    path : Path
        A JSON file: a list; or an object, where the list is the value of `key`, or which is itself the only
        element if it lacks that key.
    key : str
    alone : frozenset of str
        Keys to keep of an object that is itself the only element.

    Yields
    ------
    object
        All numbers are float, however many digits they have.

    Raises
    ------
    LabelsError
        If it isn't JSON, is nested too deeply, or has an element of more than `LARGEST` characters.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield from _Reader(file, path.name).elements(key, alone)
    except UnicodeDecodeError as error:
        reason = "compressed; unpack it first" if path.name.endswith(".gz") else "not text in UTF-8; JSON is needed"
        raise LabelsError(f"{path.name} is {reason}") from error
    except OSError as error:
        raise LabelsError(f"{path} can't be read: {error.strerror or error}") from error


class _Reader:
    def __init__(self, file: TextIO, name: str) -> None:
        self._file, self._name = file, name
        self._text, self._place, self._ended = "", 0, False
        self._decoder = json.JSONDecoder(parse_int=float)

    def elements(self, key: str, alone: frozenset[str]) -> Iterator[Any]:
        first = self._next()
        if first == "[":
            yield from self._list()
        elif first == "{":
            yield from self._object(key, alone)
        else:
            raise self._wrong(f"begins with {first!r}" if first else "is empty")
        if self._next():
            raise self._wrong("goes on after its end")

    def _list(self) -> Iterator[Any]:
        self._take("[")
        if self._next() == "]":
            self._take("]")
            return
        while True:
            yield self._value()
            if self._take(",]") == "]":
                return

    def _object(self, key: str, alone: frozenset[str]) -> Iterator[Any]:
        """Hand on the list as it comes; without one, the object itself."""
        self._take("{")
        rest: dict[str, Any] = {}
        found = False
        while self._next() == '"':
            name = self._value()
            self._take(":")
            if name == key and self._next() == "[":
                found = True
                yield from self._list()
            else:
                value = self._value()
                rest |= {name: value} if name in alone else {}
            if self._take(",}") == "}":
                break
        else:
            self._take("}")
        if not found:
            yield rest

    def _next(self) -> str:
        """Give the next character that isn't space, without taking it; empty at the end."""
        while True:
            space = _SPACE.match(self._text, self._place)
            self._place = space.end() if space else self._place
            if self._place < len(self._text):
                return self._text[self._place]
            if not self._more(_CHUNK):
                return ""

    def _take(self, wanted: str) -> str:
        found = self._next()
        if not found or found not in wanted:
            what = repr(found) if found else "its end"
            raise self._wrong(f"has {what} where {' or '.join(wanted)} should be")
        self._place += 1
        return found

    def _value(self) -> Any:
        """Decode the next value; what the text so far isn't enough for is tried again with twice as much."""
        self._next()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._place)
            except RecursionError:
                raise self._wrong("is nested more deeply than any outline") from None
            except ValueError as error:
                if not self._more(max(_CHUNK, len(self._text) - self._place)):
                    raise self._wrong(f"can't be decoded ({error.args[0]})") from error
                continue
            if end == len(self._text) and self._more(_CHUNK):  # a number may go on
                continue
            self._place = end
            return value

    def _more(self, size: int) -> bool:
        """Read on; False at the end of the file."""
        left = len(self._text) - self._place
        if left + size > 2 * LARGEST:
            raise self._wrong(f"has an element of more than {LARGEST:,} characters")
        added = "" if self._ended else self._file.read(size)
        self._ended = not added
        if added:
            self._text, self._place = self._text[self._place :] + added, 0
        return bool(added)

    def _wrong(self, how: str) -> LabelsError:
        return LabelsError(f"{self._name} {how}; GeoJSON is needed")
