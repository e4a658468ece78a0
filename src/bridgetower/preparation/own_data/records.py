"""Reads the rows of a source file, whatever its format, one at a time."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...datasets.soundness import reading_problem
from ..annotation_shapes import problem_of
from ..json_stream import read_json_lines
from ..tables import PreparationError
from ..text_files import open_text
from .json_records import json_elements

ROWS_AT_ONCE = 64
_COLUMNAR = (".parquet", ".arrow")
#: Stands for the bytes of an embedded picture where only the other columns are read.
EMBEDDED = b""
_MAX_FIELD = 1 << 27
_BUFFER = 1 << 20


@dataclass(frozen=True)
class Record:
    """One row of a source.

    Attributes:
        where: file and row, for messages.
        values: cell by column; a picture is a path, its encoded bytes, or a dict with `bytes` and `path`.
    """

    where: str
    values: dict[str, Any]


def read_columns(path: Path) -> list[str]:
    """The columns of a file, for JSON those of its first object.

    Raises:
        PreparationError: the file cannot be read or is empty.
    """
    if path.suffix.lower() in _COLUMNAR:
        return list(_schema(path).names)
    first = next(read_records(path), None)
    if first is None:
        raise PreparationError(f"{path}: no rows")
    return list(first.values)


def read_records(path: Path, without_bytes: bool = False) -> Iterator[Record]:
    """The rows of a CSV, TSV, JSON, JSON lines, Parquet or Arrow file.

    Args:
        path: the file.
        without_bytes: leave the bytes of embedded pictures out, which is faster; `EMBEDDED` stands for them.

    Raises:
        PreparationError: the file cannot be read, with the row where that is known.
    """
    if not path.is_file():
        raise PreparationError(f"{path}: no such file; check --source")
    if path.suffix.lower() in _COLUMNAR:
        yield from _arrow_records(path, without_bytes)
    else:
        yield from TEXT_FORMATS[path.suffix.lower()](path)


def class_names(path: Path, column: str) -> list[str] | None:
    """The names of the numbered classes of a column, which the `datasets` library stores in Parquet and Arrow files."""
    if path.suffix.lower() not in _COLUMNAR:
        return None
    try:
        names = json.loads((_schema(path).metadata or {})[b"huggingface"])["info"]["features"][column]["names"]
    except (KeyError, TypeError):  # the library writes other things there, too
        return None
    except (ValueError, RecursionError) as error:
        raise PreparationError(f"{path}: its metadata 'huggingface' are not valid JSON ({error})") from error
    if names is not None and (problem := problem_of(names, [str])):
        raise PreparationError(f"{path}: the class names of {column!r}{problem}")
    return names


def _csv_records(path: Path) -> Iterator[Record]:
    csv.field_size_limit(_MAX_FIELD)
    number = 1
    try:
        with io.TextIOWrapper(open_text(path), encoding="utf-8", newline="") as file:
            head = file.readline()
            reader = csv.reader(chain([head], file), delimiter=_delimiter(path, head), strict=True)
            header = [name.strip() for name in next(reader, [])]
            repeated = {name for name in header if header.count(name) > 1}
            if repeated:
                raise PreparationError(f"{path}, line 1: column {min(repeated)!r} occurs twice")
            number = reader.line_num + 1
            for row in reader:
                if row and len(row) != len(header):
                    raise PreparationError(
                        f"{path}, line {number}: {len(row)} fields, but the header has {len(header)}"
                    )
                if row:
                    yield Record(f"{path}, line {number}", dict(zip(header, row, strict=True)))
                number = reader.line_num + 1
    except csv.Error as error:
        raise PreparationError(f"{path}, line {number}: not valid CSV ({error}); check its quotes") from error


def _delimiter(path: Path, head: str) -> str:
    if path.suffix.lower() == ".tsv":
        return "\t"
    return max(",;\t", key=head.count) if "," not in head else ","


def _json_line_records(path: Path) -> Iterator[Record]:
    for where, entry in read_json_lines(path):
        if not isinstance(entry, dict):
            raise PreparationError(f"{where}: not a JSON object")
        yield Record(where, entry)


def _json_records(path: Path) -> Iterator[Record]:
    for where, entry in json_elements(path):
        if not isinstance(entry, dict):
            raise PreparationError(f"{where}: not a JSON object")
        yield Record(where, entry)


#: Formats of text, by the suffix of a file.
TEXT_FORMATS: dict[str, Callable[[Path], Iterator[Record]]] = {
    ".csv": _csv_records,
    ".tsv": _csv_records,
    ".json": _json_records,
    ".jsonl": _json_line_records,
    ".ndjson": _json_line_records,
}


def _require_readable(path: Path) -> None:
    if problem := reading_problem(path):
        raise PreparationError(f"{path}: cannot be read ({problem}); download it again")


def _schema(path: Path) -> pa.Schema:
    is_parquet = path.suffix.lower() == ".parquet"
    if not is_parquet:
        _require_readable(path)
    try:
        with pa.memory_map(str(path)) as source:
            schema = pq.read_schema(source) if is_parquet else _open(source).schema
        str(schema)  # decodes all names, which need not be UTF-8
        return schema
    except (pa.ArrowException, ValueError, OSError) as error:
        raise PreparationError(f"{path}: cannot be read ({_one_line(error)}); download it again") from error


def _arrow_records(path: Path, without_bytes: bool) -> Iterator[Record]:
    schema = _schema(path)
    binary = [field for field in schema if _holds_bytes(field.type)] if without_bytes else []
    number = 0
    try:
        for batch in _batches(path, [_without_bytes(schema, field) for field in schema] if without_bytes else None):
            for start in range(0, batch.num_rows, ROWS_AT_ONCE):
                for values in batch.slice(start, ROWS_AT_ONCE).to_pylist():
                    for field in binary:
                        name = (values.get(field.name) or {}).get("path") if pa.types.is_struct(field.type) else None
                        values[field.name] = {"bytes": EMBEDDED, "path": name}
                    yield Record(f"{path}, row {number}", values)
                    number += 1
    except (pa.ArrowException, ValueError, OSError, OverflowError) as error:  # values that Python has not, or no UTF-8
        raise PreparationError(f"{path}: cannot be read after row {number} ({_one_line(error)})") from error


def _without_bytes(schema: pa.Schema, field: pa.Field) -> str | None:
    """What to read of a column so that no embedded picture is read: its name, its path alone, or nothing."""
    if not _holds_bytes(field.type):
        return field.name
    return f"{field.name}.path" if pa.types.is_struct(field.type) and field.type.get_field_index("path") >= 0 else None


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _batches(path: Path, columns: list[str | None] | None) -> Iterator[pa.RecordBatch]:
    """Record batches of a Parquet or Arrow file; of `columns` only (a struct's path alone is `NAME.path`)."""
    wanted = None if columns is None else [name for name in columns if name is not None]
    if path.suffix.lower() == ".parquet":
        # Neither mapped nor buffered as a whole, so that memory does not grow with the file.
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER) as file:
            yield from file.iter_batches(ROWS_AT_ONCE, columns=wanted)
        return
    with pa.OSFile(str(path)) as source:
        reader = _open(source)
        batches = (
            (reader.get_batch(index) for index in range(reader.num_record_batches))
            if isinstance(reader, pa.RecordBatchFileReader)
            else iter(reader)
        )
        for batch in batches:
            yield batch if wanted is None else _select(batch, wanted)


def _select(batch: pa.RecordBatch, columns: list[str]) -> pa.RecordBatch:
    names = set(batch.schema.names)
    arrays = {}
    for column in columns:
        name, _, inner = column.rpartition(".") if column not in names else (column, "", "")
        arrays[name] = (
            pa.StructArray.from_arrays([batch.column(name).field(inner)], [inner]) if inner else (batch.column(name))
        )
    return pa.RecordBatch.from_pydict(arrays)


def _open(source: pa.NativeFile) -> pa.RecordBatchFileReader | pa.RecordBatchStreamReader:
    """An Arrow file, or an Arrow stream, which is what the `datasets` library writes."""
    try:
        return pa.ipc.open_file(source)
    except pa.ArrowInvalid:
        source.seek(0)
        return pa.ipc.open_stream(source)


def _one_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
