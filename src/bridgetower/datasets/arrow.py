"""Memory-mapped read access to arrow files, one row at a time."""

from __future__ import annotations

import logging
import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .soundness import require_sound

__all__ = ["PREPARED_BY", "ArrowTable", "find_shards", "find_table"]

logger = logging.getLogger(__name__)

#: Other names under which a missing file may exist: pattern of its own name -> replacement.
_ALIASES: tuple[tuple[str, str], ...] = (
    (r"snli_(train|dev|test)", r"snli_ve_\1"),
    (r"conceptual_caption_train_(\d+)", r"cc_\1"),
    (r"vqav2_test", r"vqav2_test_fix"),
    (r"vqav2_test_fix", r"vqav2_test"),
)
#: What `python -m bridgetower.preparation` calls the data set of a table: start of the table's name -> name.
PREPARED_BY: dict[str, str] = {
    "coco_": "coco",
    "f30k_": "f30k",
    "conceptual_caption_": "gcc",
    "cc12m_": "cc12m",
    "sbu_": "sbu",
    "vgqa_coco_": "vgqa_coco",
    "vgqa_": "vgqa",
    "vg": "vg",
    "vqav2_": "vqa",
    "snli_": "snli",
    "nlvr2_": "nlvr2",
    "easy_vqa_": "easy_vqa",
}


class ArrowTable:
    """One memory-mapped Arrow IPC file.

    Attributes:
        path: the file.
        name: the table's name (the file may carry an alias).
        num_rows: number of rows; one row is one image, or one pair of images for NLVR2.
    """

    def __init__(self, path: Path, name: str | None = None) -> None:
        """Check the file if that was not done before (see `soundness`), and map it.

        Raises:
            ValueError: not an Arrow IPC file, or a damaged one.
        """
        self.path = Path(path)
        self.name = name or self.path.stem
        require_sound(self.path)
        with pa.ipc.open_file(pa.memory_map(str(self.path))) as reader:
            self.schema: pa.Schema = reader.schema
            # Every batch refers into the mapped file; nothing is copied until a value is read.
            self._batches = [reader.get_batch(index) for index in range(reader.num_record_batches)]
        self._starts = list(accumulate((batch.num_rows for batch in self._batches), initial=0))
        self.num_rows = self._starts[-1]

    def __reduce__(self) -> tuple[type[ArrowTable], tuple[Path, str]]:
        return ArrowTable, (self.path, self.name)

    def __repr__(self) -> str:
        return f"ArrowTable({self.path}, {self.num_rows} rows)"

    def has_column(self, column: str) -> bool:
        """Whether the file has the column with values in it (a column of type null holds none)."""
        index = self.schema.get_field_index(column)
        return index >= 0 and not pa.types.is_null(self.schema.field(index).type)

    def require_columns(self, *columns: str) -> None:
        """Check that columns exist; a file without rows passes.

        Raises:
            KeyError: names the file, the missing columns and the columns that are there.
        """
        missing = [column for column in columns if not self.has_column(column)]
        if missing and self.num_rows:
            raise KeyError(f"{self.path} has no column {', '.join(missing)}; it has {', '.join(self.schema.names)}")

    def _scalar(self, column: str, row: int) -> pa.Scalar:
        if not 0 <= row < self.num_rows:
            raise IndexError(f"{self.path} has no row {row}; it has {self.num_rows}")
        batch = bisect_right(self._starts, row) - 1
        return self._batches[batch].column(column)[row - self._starts[batch]]

    def value(self, column: str, row: int) -> Any:
        """One cell as a Python object; lists become lists."""
        return self._scalar(column, row).as_py()

    def item(self, column: str, row: int, position: int) -> Any:
        """One element of a list cell; None where there is none."""
        values = self._scalar(column, row).values
        return values[position].as_py() if values is not None and position < len(values) else None

    def image_bytes(self, column: str, row: int) -> memoryview | None:
        """The encoded image of one cell, still in the mapped file; None for a null cell."""
        buffer = self._scalar(column, row).as_buffer()
        return None if buffer is None else memoryview(buffer)

    def where(self, row: int) -> str:
        """File and row, for messages."""
        return f"{self.path} row {row}"

    def text_index(self, column: str, unique: bool) -> tuple[np.ndarray, np.ndarray]:
        """All texts of a list column in order: their row, and their position in the row's list.

        Args:
            column: a list column; a null list counts as empty.
            unique: keep only the first of equal texts in one row.

        Returns:
            Two int64 arrays of one length, the number of texts.

        Raises:
            ValueError: the column does not hold lists.
        """
        kind = self.schema.field(column).type if self.num_rows else None
        if kind is not None and not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
            raise ValueError(f"{self.path}: column {column} is {kind}, expected a list per row; make the file again")
        rows, positions = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
        for start, batch in zip(self._starts, self._batches, strict=False):
            if not batch.num_rows:
                continue
            texts = batch.column(column)
            lengths = pc.fill_null(pc.list_value_length(texts), 0).to_numpy().astype(np.int64)
            first = np.cumsum(lengths) - lengths
            row = np.repeat(np.arange(len(lengths)), lengths)
            position = np.arange(len(row)) - first[row]
            if unique and lengths.max() > 1:
                codes = texts.flatten().dictionary_encode("encode").indices.to_numpy()
                kept = np.sort(np.unique(row * (codes.max() + 1) + codes, return_index=True)[1])
                row, position = row[kept], position[kept]
            rows.append(row + start)
            positions.append(position)
        return np.concatenate(rows), np.concatenate(positions)

    def parts(self, column: str) -> Iterator[tuple[int, pa.Array]]:
        """A column batch by batch, each with the row that it begins at."""
        for start, batch in zip(self._starts, self._batches, strict=False):
            if batch.num_rows:
                yield start, batch.column(column)

    def flat_values(self, column: str) -> np.ndarray:
        """All innermost values of a nested list column, in order, as one array (objects for strings)."""
        parts = []
        for batch in self._batches:
            values = batch.column(column)
            while pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
                values = values.flatten()
            if len(values):
                parts.append(values.to_numpy(zero_copy_only=False))
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def find_table(data_root: Path, name: str) -> ArrowTable:
    """Open `<data_root>/<name>.arrow`, or the same table under an alias.

    Raises:
        FileNotFoundError: with the path and the command that makes the file.
    """
    for file in _file_names(name):
        if (data_root / f"{file}.arrow").is_file():
            return ArrowTable(data_root / f"{file}.arrow", name)
    raise FileNotFoundError(_missing(data_root, name))


def find_shards(data_root: Path, prefix: str) -> list[ArrowTable]:
    """Open all numbered files `<prefix>_<n>.arrow`, by increasing number; gaps in the numbers are warned about.

    Raises:
        FileNotFoundError: there is none, with the command that makes them.
    """
    numbers = set()
    for file in _file_names(f"{prefix}_0"):
        stem = file.removesuffix("0")
        found = (path.stem.removeprefix(stem) for path in data_root.glob(f"{stem}*.arrow"))
        numbers |= {int(number) for number in found if number.isdecimal()}
    if not numbers:
        raise FileNotFoundError(_missing(data_root, f"{prefix}_0"))
    for number in sorted(set(range(max(numbers))) - numbers):
        logger.warning("%s does not exist; going on without this shard", data_root / f"{prefix}_{number}.arrow")
    return [find_table(data_root, f"{prefix}_{number}") for number in sorted(numbers)]


def _file_names(name: str) -> list[str]:
    """The table's own name, then its aliases."""
    return [name, *(re.sub(pattern, alias, name) for pattern, alias in _ALIASES if re.fullmatch(pattern, name))]


def _missing(data_root: Path, name: str) -> str:
    """What to say about a table that does not exist."""
    others = ", ".join(f"{file}.arrow" for file in _file_names(name)[1:])
    command = next((command for start, command in PREPARED_BY.items() if name.startswith(start)), None)
    source = "" if command == "easy_vqa" else "--source DIR "  # its data come with a package
    return (
        f"{data_root / name}.arrow does not exist" + (f" (nor {others})" if others else "")
        + (f"; make it with: python -m bridgetower.preparation {command} {source}--output {data_root}"
           if command else "; check the name")
    )
