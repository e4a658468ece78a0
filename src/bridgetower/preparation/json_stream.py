"""Reads large JSON files element by element, as some annotations would take gigabytes when parsed at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from bridgetower.preparation.tables import PreparationError, read_lines

CHUNK = 1 << 20


class _Scanner:
    """Decodes the JSON values of a text stream one after another; holds about one value and one chunk of text."""

    def __init__(self, path: Path, stream: TextIO) -> None:
        self.path, self.stream = path, stream
        self.text, self.position = "", 0
        self.ended = False
        self.decoder = json.JSONDecoder()

    def _read(self, size: int = CHUNK) -> None:
        more = self.stream.read(size)
        self.ended = not more
        self.text, self.position = self.text[self.position :] + more, 0

    def peek(self) -> str:
        """The next character that is no white space, not consumed; empty at the end."""
        while True:
            while self.position < len(self.text) and self.text[self.position] in " \t\r\n":
                self.position += 1
            if self.position < len(self.text) or self.ended:
                return self.text[self.position : self.position + 1]
            self._read()

    def take(self, expected: str) -> str:
        """Consume the next character, which must be one of `expected`."""
        character = self.peek()
        if not character or character not in expected:
            found = repr(character) if character else "the end of the file"
            raise PreparationError(f"{self.path}: not valid JSON, {found} where one of {expected!r} should be")
        self.position += 1
        return character

    def value(self) -> Any:
        """Consume and decode the next value."""
        self.peek()
        size = CHUNK
        while True:
            try:
                value, end = self.decoder.raw_decode(self.text, self.position)
                # A number at the end of the text may go on in the next chunk.
                if end < len(self.text) or self.ended:
                    self.position = end
                    return value
            except json.JSONDecodeError as error:
                if self.ended:
                    raise PreparationError(f"{self.path}: not valid JSON or cut off ({error.msg})") from error
            self._read(size)
            size *= 2  # so that a value of many chunks is not tried once per chunk

    def elements(self) -> Iterator[Any]:
        """Consume an array, element by element."""
        self.take("[")
        if self.peek() == "]":
            self.take("]")
            return
        while True:
            yield self.value()
            if self.take(",]") == "]":
                return

    def enter(self, key: str) -> None:
        """Consume an object up to the value of `key`."""
        self.take("{")
        separator = "," if self.peek() != "}" else self.take("}")
        while separator == ",":
            found = self.value()
            self.take(":")
            if found == key:
                return
            if self.peek() == "[":
                for _ in self.elements():
                    pass
            else:
                self.value()
            separator = self.take(",}")
        raise PreparationError(f"{self.path}: no key {key!r}; is it the right file?")


def stream_array(path: Path, key: str | None = None, fields: tuple[str, ...] = ()) -> Iterator[Any]:
    """The elements of a JSON file's array, one at a time.

    Args:
        path: the file.
        key: key of the array in the file's object; None when the file is the array itself.
        fields: keys that every element must have; `a[].b` means that `a` holds a list of objects with `b`.

    Raises:
        PreparationError: the file is missing or not valid JSON, has no such array, or an element lacks a field.
    """
    with _open(path) as stream:
        scanner = _Scanner(path, stream)
        if key is not None:
            scanner.enter(key)
        for number, element in enumerate(scanner.elements()):
            _check_fields(f"{path}: element {number} of {key or 'the array'}", element, fields)
            yield element


def read_json(path: Path, fields: tuple[str, ...] = ()) -> Any:
    """The value of a small JSON file, with fields as in `stream_array`.

    Raises:
        PreparationError: the file is missing or not valid JSON, or it lacks a field.
    """
    with _open(path) as stream:
        value = _Scanner(path, stream).value()
    _check_fields(str(path), value, fields)
    return value


def read_json_lines(path: Path, fields: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a file with one JSON object per line, each with the place for error texts.

    Raises:
        PreparationError: the file is missing, or a line is not valid JSON or lacks a field.
    """
    if not path.is_file():
        raise PreparationError(f"{path}: no such file; check --source")
    for number, line in read_lines(path):
        where = f"{path}, line {number}"
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            raise PreparationError(f"{where}: not valid JSON ({error.msg})") from error
        _check_fields(where, entry, fields)
        yield where, entry


def _open(path: Path) -> TextIO:
    try:
        return path.open(encoding="utf-8")
    except OSError as error:
        raise PreparationError(f"{path}: {error.strerror}; check --source") from error


def _check_fields(where: str, element: Any, fields: tuple[str, ...]) -> None:
    for field in fields:
        key, _, inner = field.partition("[].")
        if not isinstance(element, dict) or key not in element:
            raise PreparationError(f"{where} is no object with {key!r}; is it the right file?")
        for member in element[key] if inner else ():
            _check_fields(f"{where}, {key}", member, (inner,))
