"""Reads the rows of a user's JSON file one at a time, as Python writes them: an array, an object with one, or lines.

The standard parser reads each element by itself. It takes NaN and half surrogates, so that the row that has them can be
named or left out, while `json_stream` refuses the whole file.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..json_stream import read_json_lines
from ..tables import PreparationError
from ..text_files import open_text

_CHUNK = 1 << 18
_SPACE = " \t\n\r"
_LONGEST_FIRST_LINE = 1 << 22
_LONGEST_WORD = 16  # characters of -Infinity or of two escape sequences


def json_elements(path: Path) -> Iterator[tuple[str, Any]]:
    """The elements of the file's array, or of the first array in its object, or its lines, each with its place.

    Raises:
        PreparationError: there is no array, or something is not valid JSON.
    """
    if _is_lines(path):
        yield from read_json_lines(path)
        return
    with io.TextIOWrapper(open_text(path), encoding="utf-8") as file:
        yield from _Scanner(path, file).elements()


def _is_lines(path: Path) -> bool:
    """Whether the first line is an object by itself and another one follows."""
    with open_text(path) as file:
        first, second = file.readline(_LONGEST_FIRST_LINE).strip(), file.readline(_LONGEST_FIRST_LINE).strip()
    if not (first.startswith(b"{") and second.startswith(b"{")):
        return False
    try:
        return isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False


class _Scanner:
    """Reads values of a text that is in memory in parts."""

    def __init__(self, path: Path, file: io.TextIOWrapper) -> None:
        self.path, self.file = path, file
        self.text, self.at = "", 0
        self.count: int | None = None  # elements before
        self.decoder = json.JSONDecoder()

    def elements(self) -> Iterator[tuple[str, Any]]:
        """See `json_elements`."""
        inside = self._peek() == "{"
        if inside:
            self._enter_object()
        elif self._peek() != "[":
            raise PreparationError(f"{self.path}: no array; is it the right file?")
        self._expect("[")
        self.count = 0
        while self._peek() != "]":
            if self.count:
                self._expect(",")
            value = self._value()
            yield f"{self.path}, element {self.count}", value
            self.count += 1
        self._expect("]")
        if inside:
            self._rest_of_object()
        if self._peek():
            self._fail("more text after its end")

    def _enter_object(self) -> None:
        """Go to the first array that is a value of the object."""
        self._expect("{")
        while self._peek() == '"':
            self._value()
            self._expect(":")
            if self._peek() == "[":
                return
            self._value()
            if self._peek() == ",":
                self._expect(",")
        self._expect("}")
        raise PreparationError(f"{self.path}: no array; is it the right file?")

    def _rest_of_object(self) -> None:
        while self._peek() == ",":
            self._expect(",")
            self._value()
            self._expect(":")
            self._value()
        self._expect("}")

    def _more(self) -> bool:
        """Read on, by as much again as there is, so that a long value is not tried too often."""
        rest = self.text[self.at :]
        more = self.file.read(max(_CHUNK, len(rest)))
        self.text, self.at = rest + more, 0
        return bool(more)

    def _peek(self) -> str:
        """The next character that is not space; none at the end."""
        while True:
            while self.at < len(self.text):
                if self.text[self.at] not in _SPACE:
                    return self.text[self.at]
                self.at += 1
            if not self._more():
                return ""

    def _expect(self, mark: str) -> None:
        if (found := self._peek()) != mark:
            self._fail(f"{found!r} where {mark!r} should be" if found else "its end comes too early")
        self.at += 1

    def _value(self) -> Any:
        self._peek()
        while True:
            try:
                value, end = self.decoder.raw_decode(self.text, self.at)
                if end < len(self.text):
                    self.at = end
                    return value
                if not self._more():  # else a number may go on in what follows
                    self.at = len(self.text)
                    return value
            except json.JSONDecodeError as error:
                is_cut = error.msg.startswith("Unterminated") or len(self.text) - error.pos < _LONGEST_WORD
                if not is_cut or not self._more():
                    self._fail(error.msg)
            except (ValueError, RecursionError) as error:  # a number of very many digits, or nested too deeply
                self._fail(str(error))

    def _fail(self, reason: str) -> None:
        after = "" if self.count is None else f" after {self.count} elements"
        raise PreparationError(f"{self.path}: not valid JSON or cut off{after} ({reason})")
