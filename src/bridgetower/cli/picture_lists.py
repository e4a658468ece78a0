"""What a command line may name as its pictures: a file, a folder, a pattern, or a list with texts."""

from __future__ import annotations

import csv
import glob
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..known import nearest

__all__ = ["PICTURE_SUFFIXES", "Row", "picture_files", "read_rows", "read_texts"]

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
LIST_SUFFIXES = (".csv", ".tsv", ".jsonl")
_IMAGE_COLUMNS = ("image", "file_name", "path", "picture", "left")
_SECOND_COLUMNS = ("image2", "second", "right")
_TEXT_COLUMNS = ("question", "text", "caption", "sentence")


@dataclass(frozen=True)
class Row:
    """A picture, and what a list says of it.

    Attributes:
        image: path of the picture; empty in a list of texts.
        second: path of a second picture, or empty.
        text: the text that meets it, or None.
    """

    image: str
    second: str = ""
    text: str | None = None


def picture_files(folder: Path) -> list[str]:
    """The pictures of a folder and those below it, sorted by name.

    Raises:
        ValueError: there are none.
    """
    found = sorted(str(path) for path in folder.rglob("*")
                   if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file())
    if not found:
        raise ValueError(f"{folder} has no pictures ({', '.join(PICTURE_SUFFIXES)})")
    return found


def read_rows(source: str, needs_image: bool = True) -> Iterator[Row]:
    """The rows of a source.

    Args:
        source: a picture, a folder, a pattern such as `photos/*.jpg`, or a list: CSV, TSV or JSON lines with the
            columns `image` (relative to the list) and perhaps `question` or `text`, and `image2`.
        needs_image: whether rows of a list without a picture are wrong.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: there are no pictures, or the list lacks a column.
    """
    path = Path(source).expanduser()
    if path.suffix.lower() in LIST_SUFFIXES and path.is_file():
        return _list_rows(path, needs_image)
    if path.is_dir():
        return iter([Row(file) for file in picture_files(path)])
    if path.is_file():
        return iter([Row(source)])
    if source.startswith(("http://", "https://")):
        raise ValueError(f"{source} is a URL; download the picture and give its path")
    if glob.has_magic(source):
        found = [file for file in sorted(glob.glob(str(path), recursive=True)) if os.path.isfile(file)]
        if not found:
            raise ValueError(f"{source}: no file has such a name")
        return iter([Row(file) for file in found])
    raise FileNotFoundError(f"{source}: no such picture, folder or list")


def read_texts(source: str) -> Iterator[str]:
    """The texts of a file: the lines of a `.txt`, or the column of a list.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it has no texts.
    """
    path = Path(source).expanduser()
    if path.suffix.lower() in LIST_SUFFIXES:
        for row in read_rows(source, needs_image=False):
            if row.text is None:
                raise ValueError(f"{source} has no column of texts; name it {' or '.join(_TEXT_COLUMNS)}")
            yield row.text
        return
    if not path.is_file():
        raise FileNotFoundError(f"{source}: no such file of texts")
    with open(path, encoding="utf-8") as lines:
        yield from (line.strip() for line in lines if line.strip())


def _list_rows(path: Path, needs_image: bool) -> Iterator[Row]:
    for number, record in _records(path):
        image, second, text = (_value(record, names) for names in (_IMAGE_COLUMNS, _SECOND_COLUMNS, _TEXT_COLUMNS))
        if not image and needs_image:
            columns = [str(column) for column in record]
            raise ValueError(f"{path}, row {number}: no picture{nearest('image', columns)} Name the column "
                             f"{', '.join(_IMAGE_COLUMNS[:-1])} or {_IMAGE_COLUMNS[-1]}; it has {', '.join(columns)}")
        yield Row(_beside(path, image), _beside(path, second), text)


def _beside(path: Path, name: str | None) -> str:
    return str(path.parent / Path(name).expanduser()) if name else ""


def _records(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The rows of a list, counted from 1."""
    with open(path, encoding="utf-8-sig", newline="") as stream:
        if path.suffix.lower() != ".jsonl":
            reader: Iterator[Mapping[str, Any]] = csv.DictReader(stream, dialect=_dialect(path))
            yield from enumerate(reader, 1)
            return
        for number, line in enumerate(stream, 1):
            if line.strip():
                yield number, _object(path, number, line)


def _dialect(path: Path) -> type[csv.Dialect]:
    return csv.excel_tab if path.suffix.lower() == ".tsv" else csv.excel


def _object(path: Path, number: int, line: str) -> Mapping[str, Any]:
    parse: Callable[[str], Any] = json.loads
    try:
        record = parse(line)
    except ValueError as error:
        raise ValueError(f"{path}, line {number} is not JSON: {error}") from None
    if not isinstance(record, dict):
        raise ValueError(f"{path}, line {number} holds no object")
    return record


def _value(record: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    return next((str(record[name]) for name in names if record.get(name)), None)
