"""Files of vectors: Parquet, JSON lines, or a NumPy array; they say which model made them and what the rows are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..files import FileSet
from ..known import nearest

__all__ = ["SUFFIXES", "VectorFile", "check_suffix", "content_hash", "write_vectors"]

SUFFIXES = (".parquet", ".jsonl", ".npy")
_METADATA = "bridgetower"
#: Rows that are held at once.
_GROUP = 1024


class Described(Protocol):
    """What a vector is of: a picture by its path, a text, or both."""

    @property
    def image(self) -> str: ...

    @property
    def text(self) -> str | None: ...


@dataclass(frozen=True)
class Made:
    """Which model made vectors: its class, see `bridgetower.search.identity` for `probe`, and their width."""

    model_class: str
    probe: list[float]
    width: int


def content_hash(path: str | Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() if hasattr(hashlib, "file_digest") \
            else hashlib.sha256(stream.read()).hexdigest()


def check_suffix(path: Path) -> None:
    """Refuse a file whose name does not say a known format.

    Raises:
        ValueError: names those that are.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path} ends with {path.suffix!r}{nearest(path.suffix, SUFFIXES)} Formats are "
                         f"{', '.join(SUFFIXES)}")


def write_vectors(path: Path, found: Iterable[tuple[Described, np.ndarray]], model_class: str, probe: list[float]
                  ) -> int:
    """Write vectors as they come; the file appears complete or not at all.

    Args:
        path: see `check_suffix`; beside `.jsonl` and `.npy` a file `NAME.json` says what the rows are.
        found: what each vector is of, and the vector (C,).
        model_class, probe: see `Made`.

    Returns:
        The number of vectors.

    Raises:
        ValueError: there are none.
    """
    check_suffix(path)
    groups = _groups(found)
    first = next(groups, None)
    if first is None:
        raise ValueError("no picture could be read; nothing is written")
    made = Made(model_class, probe, len(first[0]["vector"]))
    writer = {".parquet": _write_parquet, ".jsonl": _write_json_lines, ".npy": _write_array}[path.suffix.lower()]
    with FileSet() as files:
        count = writer(files, path, chain([first], groups), made)
    return count


def _groups(found: Iterable[tuple[Described, np.ndarray]]) -> Iterator[list[dict[str, Any]]]:
    records = ({"image": row.image, "text": row.text or "", "sha256": content_hash(row.image) if row.image else "",
                "vector": np.asarray(vector, np.float32)} for row, vector in found)
    while group := list(islice(records, _GROUP)):
        yield group


def _schema(made: Made) -> pa.Schema:
    fields = [pa.field(name, pa.string()) for name in ("image", "text", "sha256")]
    return pa.schema([*fields, pa.field("vector", pa.list_(pa.float32(), made.width))],
                     metadata={_METADATA: json.dumps(asdict(made))})


def as_table(group: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Records with `image`, `text`, `sha256` and `vector` as a table."""
    columns = [pa.array([record[name] for record in group], pa.string()) for name in ("image", "text", "sha256")]
    flat = pa.array(np.concatenate([record["vector"] for record in group]), pa.float32())
    vectors = pa.FixedSizeListArray.from_arrays(flat, schema.field("vector").type.list_size)
    return pa.Table.from_arrays([*columns, vectors], schema=schema)


def _write_parquet(files: FileSet, path: Path, groups: Iterator[list[dict[str, Any]]], made: Made) -> int:
    counts: list[int] = []

    def write(beside: Path) -> None:
        schema = _schema(made)
        with pq.ParquetWriter(beside, schema) as writer:
            for group in groups:
                writer.write_table(as_table(group, schema))
                counts.append(len(group))

    files.write(path, write)
    return sum(counts)


def _write_json_lines(files: FileSet, path: Path, groups: Iterator[list[dict[str, Any]]], made: Made) -> int:
    counts: list[int] = []

    def write(beside: Path) -> None:
        with open(beside, "w", encoding="utf-8") as stream:
            for group in groups:
                for record in group:
                    values = {**record, "vector": [round(float(value), 7) for value in record["vector"]]}
                    stream.write(json.dumps(values, ensure_ascii=False) + "\n")
                counts.append(len(group))

    files.write(path, write)
    files.text(_companion(path), json.dumps(asdict(made)) + "\n")
    return sum(counts)


def _write_array(files: FileSet, path: Path, groups: Iterator[list[dict[str, Any]]], made: Made) -> int:
    rows: list[list[str]] = []

    def write(beside: Path) -> None:
        with open(beside, "wb") as stream:
            _write_header(stream, 0, made.width)
            for group in groups:
                stream.write(np.stack([record["vector"] for record in group]).tobytes())
                rows.extend([record["image"], record["text"], record["sha256"]] for record in group)
            stream.seek(0)
            _write_header(stream, len(rows), made.width)

    files.write(path, write)
    files.text(_companion(path), json.dumps({**asdict(made), "rows": rows}, ensure_ascii=False) + "\n")
    return len(rows)


def _write_header(stream: BinaryIO, count: int, width: int) -> None:
    """NumPy leaves room in a header for more rows, so that it can be written again when their number is known."""
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": (count, width)})


def _companion(path: Path) -> Path:
    return path.with_name(path.name + ".json")


class VectorFile:
    """A file that `write_vectors` wrote.

    Attributes:
        made: which model made it.

    Raises:
        FileNotFoundError: the file, or the one beside it, is missing.
        ValueError: it is no such file.
    """

    def __init__(self, path: Path) -> None:
        check_suffix(path)
        for file in (path,) if path.suffix.lower() == ".parquet" else (path, _companion(path)):
            if not file.is_file():
                raise FileNotFoundError(f"{file} does not exist; make it with bridgetower embed")
        self.path = path
        try:
            self.made = Made(**{name: value for name, value in self._described().items() if name != "rows"})
        except (ValueError, KeyError, TypeError, pa.ArrowInvalid) as error:
            raise ValueError(f"{path} was not written by bridgetower embed ({error})") from None

    def _described(self) -> dict[str, Any]:
        if self.path.suffix.lower() == ".parquet":
            text = (pq.read_schema(self.path).metadata or {})[_METADATA.encode()].decode()
        else:
            text = _companion(self.path).read_text(encoding="utf-8")
        values: dict[str, Any] = json.loads(text)
        return values

    def tables(self) -> Iterator[pa.Table]:
        """The rows in tables with the columns `image`, `text`, `sha256` and `vector`."""
        suffix, schema = self.path.suffix.lower(), _schema(self.made)
        if suffix == ".parquet":
            for batch in pq.ParquetFile(self.path).iter_batches(_GROUP):
                yield pa.Table.from_batches([batch.cast(schema)])
            return
        records = self._array_records() if suffix == ".npy" else self._json_records()
        while group := list(islice(records, _GROUP)):
            yield as_table(group, schema)

    def _array_records(self) -> Iterator[dict[str, Any]]:
        vectors = np.load(self.path, mmap_mode="r")
        for (image, text, digest), vector in zip(self._described()["rows"], vectors, strict=True):
            yield {"image": image, "text": text, "sha256": digest, "vector": vector}

    def _json_records(self) -> Iterator[dict[str, Any]]:
        with open(self.path, encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                yield {**record, "vector": np.asarray(record["vector"], np.float32)}
