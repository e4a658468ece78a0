"""Reads JSON annotations; large arrays element by element, as some would take gigabytes when parsed at once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import ijson

from .annotation_shapes import problem_of
from .tables import PreparationError
from .text_files import open_text, read_lines

CHUNK = 1 << 16

#: An escaped backslash, a pair of surrogates, or (as the group) half of a pair, which is no character.
_ESCAPE = re.compile(rb"\\\\|\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(\\u[dD][89a-fA-F]..)")
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
#: Lists and objects in each other. ijson's memory grows with the square of their number, and no annotations come near.
_DEEPEST = 500
_NO_MARKS = bytes({*range(256)} - {*b"[]{}"})


class _Bytes:
    """The bytes of a JSON file, checked for what ijson would not bear.

    Half surrogates would become question marks, and deep nesting would take gigabytes or end the process.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self.file, self.rest = path, file, b""
        self.depth, self.in_string = 0, False

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
        _refuse_half_pairs(str(self.path), data[:end])
        self._refuse_depth(data[:end])
        return data[:end]

    def _refuse_depth(self, data: bytes) -> None:
        between, quote, _ = _STRING.sub(b"", b'"' + data if self.in_string else data).partition(b'"')
        self.in_string = bool(quote)
        marks, before, levels = between.translate(None, _NO_MARKS), -1, 0
        while len(marks) != before and levels <= _DEEPEST:  # without what opens and closes here, level by level
            before, levels = len(marks), levels + 1
            marks = marks.replace(b"[]", b"").replace(b"{}", b"")
        opened = marks.count(b"[") + marks.count(b"{")
        if self.depth + opened + levels > _DEEPEST:
            raise PreparationError(f"{self.path}: not valid JSON (nested more than {_DEEPEST} levels deep)")
        self.depth += 2 * opened - len(marks)


def _refuse_half_pairs(where: str, data: bytes) -> None:
    half = next((match[1] for match in _ESCAPE.finditer(data) if match[1]), None)
    if half is not None:
        raise PreparationError(f"{where}: {half.decode()} is half of a surrogate pair; repair this text")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _parsed(where: str, text: bytes, strict: bool = True) -> Any:
    """The value of JSON; if strict, without what only Python reads: NaN, infinite numbers and half surrogates.

    Raises:
        PreparationError: there is something else.
    """
    if strict:
        _refuse_half_pairs(where, text)
    try:
        return json.loads(text, parse_constant=_refuse_constant if strict else None)
    except json.JSONDecodeError as error:
        raise PreparationError(f"{where}: not valid JSON or cut off ({error.msg})") from error
    except (ValueError, RecursionError) as error:
        raise PreparationError(f"{where}: not valid JSON ({error})") from error


def stream_array(path: Path, key: str | None = None, shape: Any = None) -> Iterator[Any]:
    """The elements of a JSON file's array, one at a time.

    Args:
        path: the file.
        key: key of the array in the file's object; None when the file is the array itself.
        shape: what every element must be, see `problem_of`; None for anything.

    Raises:
        PreparationError: the file is missing or not valid JSON, has no such array, or an element is something else.
    """
    number = -1
    with open_text(path) as file:
        try:
            elements = ijson.items(_Bytes(path, file), f"{key}.item" if key else "item", buf_size=CHUNK, use_float=True)
            for number, element in enumerate(elements):
                if shape is not None and (problem := problem_of(element, shape)):
                    raise PreparationError(f"{path}: element {number} of {key or 'the array'}{problem}")
                yield element
        except ijson.JSONError as error:
            raise PreparationError(f"{path}: not valid JSON or cut off ({_reason(error)})") from error
    if number < 0:
        _require_array(path, key)


def _events(path: Path, file: BinaryIO) -> Iterator[tuple[str, str, Any]]:
    # Without use_float, a whole number of more than 4300 digits ends the process.
    return ijson.parse(_Bytes(path, file), buf_size=CHUNK, use_float=True)


def _require_array(path: Path, key: str | None) -> None:
    """Tell an array without elements from one that is not there."""
    with open_text(path) as file:
        events = _events(path, file)
        if not any(prefix == (key or "") and event == "start_array" for prefix, event, _ in events):
            raise PreparationError(f"{path}: no {f'key {key!r} with an ' if key else ''}array; is it the right file?")


def _reason(error: Exception) -> str:
    """What ijson says, without its picture of the place."""
    text = error.args[0] if error.args else ""
    return str(text.decode(errors="replace") if isinstance(text, bytes) else text).strip().partition("\n")[0]


def read_json(path: Path, shape: Any = None) -> Any:
    """The value of a small JSON file, with a shape as in `stream_array`.

    Raises:
        PreparationError: the file is missing or not valid JSON, or it holds something else.
    """
    with open_text(path) as file:
        value = _parsed(str(path), file.read())
    if shape is not None and (problem := problem_of(value, shape)):
        raise PreparationError(f"{path}{problem}")
    return value


def read_json_lines(path: Path, shape: Any = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a file with one JSON object per line, each with its place for error texts.

    Raises:
        PreparationError: the file is missing, or a line is not valid JSON or something else than the shape says.
    """
    if not path.is_file():
        raise PreparationError(f"{path}: no such file; check --source")
    for number, line in read_lines(path):
        where = f"{path}, line {number}"
        # The rows of a user's own files are checked cell by cell, and may be left out.
        entry = _parsed(where, line.encode(), strict=shape is not None)
        if shape is not None and (problem := problem_of(entry, shape)):
            raise PreparationError(f"{where}{problem}")
        yield where, entry


class Unique:
    """Refuses a value that occurs a second time in a file.

    Args:
        path: the file, for messages.
        key: what the values are called.
    """

    def __init__(self, path: Path, key: str) -> None:
        self._path, self._key = path, key
        self._seen: set[Any] = set()

    def take(self, value: Any, where: str = "") -> Any:
        """The value, if it is new.

        Args:
            value: a number or a text.
            where: the place in the file; else that is the number of values before it.

        Raises:
            PreparationError: it is not.
        """
        count = len(self._seen)
        try:
            self._seen.add(value)
        except TypeError as error:
            raise PreparationError(f"{where or self._path}: {self._key} {value!r:.60} is no number or text") from error
        if len(self._seen) == count:
            place = where or f"{self._path}: element {count}"
            raise PreparationError(f"{place}: {self._key} {value!r} occurs a second time; remove one")
        return value
