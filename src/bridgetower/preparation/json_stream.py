"""Reads JSON annotations; large arrays element by element, as some would take gigabytes when parsed at once."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import ijson

from .tables import PreparationError, read_lines

CHUNK = 1 << 16

#: An escaped backslash, a pair of surrogates, or (as the group) half of a pair, which is no character.
_ESCAPE = re.compile(rb"\\\\|\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(\\u[dD][89a-fA-F]..)")


class _Bytes:
    """The bytes of a JSON file, checked for half surrogates: ijson would replace them by question marks."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self.file = path, file
        self.rest = file.read(len(codecs.BOM_UTF8)).removeprefix(codecs.BOM_UTF8)

    def read(self, size: int) -> bytes:
        """About `size` bytes that end where no escape sequence is cut in two; none at the end of the file."""
        if not size:  # ijson looks at their type
            return b""
        data, end = self.rest, 0
        while not end and (more := self.file.read(size)):
            data += more
            end = max(map(data.rfind, (b'"', b",", b" "))) + 1
        end = end or len(data)
        self.rest = data[end:]
        half = next((match[1] for match in _ESCAPE.finditer(data, 0, end) if match[1]), None)
        if half is not None:
            raise PreparationError(f"{self.path}: {half.decode()} is half of a surrogate pair; repair this text")
        return data[:end]


def stream_array(path: Path, key: str | None = None, fields: tuple[str, ...] = ()) -> Iterator[Any]:
    """The elements of a JSON file's array, one at a time.

    Args:
        path: the file.
        key: key of the array in the file's object; None when the file is the array itself.
        fields: keys that every element must have; `a[].b` means that `a` holds a list of objects with `b`.

    Raises:
        PreparationError: the file is missing or not valid JSON, has no such array, or an element lacks a field.
    """
    number = -1
    with _open(path) as file:
        try:
            elements = ijson.items(_Bytes(path, file), f"{key}.item" if key else "item", buf_size=CHUNK, use_float=True)
            for number, element in enumerate(elements):
                _check_fields(f"{path}: element {number} of {key or 'the array'}", element, fields)
                yield element
        except ijson.JSONError as error:
            raise PreparationError(f"{path}: not valid JSON or cut off ({_reason(error)})") from error
    if number < 0:
        _require_array(path, key)


def _require_array(path: Path, key: str | None) -> None:
    """Tell an array without elements from one that is not there."""
    with _open(path) as file:
        events = ijson.parse(_Bytes(path, file))
        if not any(prefix == (key or "") and event == "start_array" for prefix, event, _ in events):
            raise PreparationError(f"{path}: no {f'key {key!r} with an ' if key else ''}array; is it the right file?")


def _reason(error: Exception) -> str:
    """What ijson says, without its picture of the place."""
    text = error.args[0] if error.args else ""
    return str(text.decode(errors="replace") if isinstance(text, bytes) else text).strip().partition("\n")[0]


def read_json(path: Path, fields: tuple[str, ...] = ()) -> Any:
    """The value of a small JSON file, with fields as in `stream_array`.

    Raises:
        PreparationError: the file is missing or not valid JSON, or it lacks a field.
    """
    with _open(path) as file:
        try:
            value = json.load(file)
        except ValueError as error:  # UnicodeDecodeError is one
            raise PreparationError(f"{path}: not valid JSON or cut off ({error})") from error
    _check_fields(str(path), value, fields)
    return value


def read_json_lines(path: Path, fields: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a file with one JSON object per line, each with its place for error texts.

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


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise PreparationError(f"{path}: {error.strerror}; check --source") from error


def _check_fields(where: str, element: Any, fields: tuple[str, ...]) -> None:
    for field in fields:
        key, _, inner = field.partition("[].")
        if not isinstance(element, dict) or key not in element:
            raise PreparationError(f"{where} is not an object with {key!r}; is it the right file?")
        for member in element[key] if inner else ():
            _check_fields(f"{where}, {key}", member, (inner,))
