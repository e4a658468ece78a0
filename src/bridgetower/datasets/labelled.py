"""Base of the data sets with one labelled item per row, for tasks of a single tower."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import pyarrow as pa

from .image_text import SampleRecord
from .samples import Sample

__all__ = ["LabelledDataset", "find_split", "read_table"]

_PATTERNS = ("{split}.{kind}", "{split}-*.{kind}", "*-{split}.{kind}", "{split}/*.{kind}")
_KINDS = ("parquet", "arrow", "jsonl")


class LabelledDataset(ABC):
    """Rows of several tables, one after the other.

    Attributes:
        name: of the data set.
        num_labels: classes; 1 when the label is a number.
        table_names: a sample's `table_index` points into it.
        image_rows: None: samples share no images.
        num_unreadable: always 0: an unreadable row is an error.
    """

    image_rows = None
    num_unreadable = 0

    def __init__(self, name: str, num_labels: int, table_names: Sequence[str], lengths: Sequence[int], limit: int = 0
                 ) -> None:
        """Count the rows of each table; `limit` keeps only the first rows of all, 0 keeps all."""
        self.name = name
        self.num_labels = num_labels
        self.table_names = list(table_names)
        self._starts = list(accumulate(lengths, initial=0))
        self._length = min(limit, self._starts[-1]) if limit else self._starts[-1]

    def __len__(self) -> int:
        return self._length

    def set_epoch(self, epoch: int) -> None:  # noqa: B027 - empty on purpose, not abstract
        """Do nothing: no draw depends on the epoch."""

    @abstractmethod
    def __getitem__(self, index: int) -> Sample:
        """Make a sample."""

    def record(self, index: int) -> SampleRecord:
        """Where a sample comes from."""
        table, row = self._locate(index)
        return SampleRecord(self.table_names[table], row, None, str(row), None, ())

    def _locate(self, index: int) -> tuple[int, int]:
        """The table of a sample, and its row there."""
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} does not exist; the dataset has {len(self)}")
        table = bisect_right(self._starts, index) - 1
        return table, index - self._starts[table]


def find_split(folder: Path, split: str) -> list[Path]:
    """The files of a split as the `datasets` library names them: parquet, arrow or JSON lines, in order.

    Raises:
        FileNotFoundError: none is there.
    """
    for kind in _KINDS:
        for pattern in _PATTERNS:
            files = sorted(folder.glob(pattern.format(split=split, kind=kind)))
            if files:
                return files
    raise FileNotFoundError(
        f"{folder} has no {split} split; put {split}.parquet, {split}-00000-of-00001.parquet, {split}.arrow or "
        f"{split}.jsonl there, as the `datasets` library downloads or saves it")


def read_table(files: Sequence[Path], columns: Sequence[str]) -> pa.Table:
    """Read the files of a split as one table.

    Raises:
        KeyError: a column is missing, with the file.
        ValueError: a file is damaged.
    """
    tables = []
    for file in files:
        try:
            table = _read(file)
        except (pa.ArrowInvalid, OSError) as error:
            raise ValueError(f"{file} cannot be read: {error}; download it again") from error
        missing = [column for column in columns if column not in table.column_names]
        if missing:
            raise KeyError(f"{file} has no column {missing[0]!r}; its columns are {', '.join(table.column_names)}")
        tables.append(table.select(list(columns)))
    return pa.concat_tables(tables)


def _read(file: Path) -> pa.Table:
    if file.suffix == ".parquet":
        import pyarrow.parquet as pq

        return pq.read_table(file)
    if file.suffix == ".jsonl":
        import pyarrow.json as pj

        return pj.read_json(file)
    with pa.memory_map(str(file)) as source:
        try:  # the `datasets` library writes streams
            return pa.ipc.open_stream(source).read_all()
        except pa.ArrowInvalid:
            return pa.ipc.open_file(source).read_all()
