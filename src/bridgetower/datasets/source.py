"""One data set of one split: its tables, the order of its samples and access to the cells."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from PIL import Image

from ..picture_files.picture_reading import PictureReading
from .arrow import ArrowTable
from .samples import VqaTarget
from .shard_table import ShardTable
from .specs import DatasetSpec
from .table_values import check_values
from .unreadable import open_image, read_image

__all__ = ["Mode", "Source", "Table"]

Mode = Literal["pairs", "image_only", "text_only"]
_MODALITIES: dict[Mode, tuple[str, ...]] = {
    "pairs": ("image+text",), "image_only": ("image+text", "image"), "text_only": ("image+text", "text"),
}


class Table(Protocol):
    """The rows of one file: an `ArrowTable` or a `ShardTable`.

    Attributes:
        path: the file.
        name: the table's name.
        num_rows: number of rows.
    """

    path: Path
    name: str
    num_rows: int

    def has_column(self, column: str) -> bool:
        """Whether the file has the column with values in it."""

    def require_columns(self, *columns: str) -> None:
        """Raise a KeyError for columns that are missing."""

    def value(self, column: str, row: int) -> Any:
        """One cell as a Python object."""

    def item(self, column: str, row: int, position: int) -> Any:
        """One element of a list cell; None where there is none."""

    def image_bytes(self, column: str, row: int) -> memoryview | None:
        """The encoded image of one cell."""

    def text_index(self, column: str, unique: bool) -> tuple[np.ndarray, np.ndarray]:
        """The row of each text, and its position in the row's list."""

    def where(self, row: int) -> str:
        """File and row, for messages."""


class Source:
    """The samples of one data set.

    Attributes:
        spec: which data set.
        tables: its tables, in order.
        num_rows: rows (images, or pairs of images) of all tables.
        sample_rows: (number of samples,) the row of each sample.
        sample_texts: (number of samples,) the position of its text in the row's list; -1 for image_only.
    """

    def __init__(self, spec: DatasetSpec, tables: Sequence[Table], mode: Mode = "pairs", limit: int = 0) -> None:
        """Index the samples.

        Args:
            spec: which data set.
            tables: its tables.
            mode: a sample is a text with its image ("pairs"), an image ("image_only") or a text ("text_only").
            limit: keep only the first samples; 0 keeps all.

        Raises:
            KeyError: a table lacks a column.
            ValueError: own tables lack the pictures or texts that the mode needs, or a table holds values that
                cannot be.
        """
        if spec.modality not in _MODALITIES[mode]:
            raise ValueError(f"{spec.key} holds samples of {spec.modality} alone; mode {mode!r} cannot read them")
        self.spec = spec
        self.tables = list(tables)
        self._starts = list(accumulate((table.num_rows for table in self.tables), initial=0))
        self.num_rows = self._starts[-1]
        for table in self.tables:
            table.require_columns(
                *(() if mode == "text_only" else spec.image_columns),
                *(() if mode == "image_only" else (spec.text_column,)),
            )
            if isinstance(table, ArrowTable):
                check_values(table, spec)
        if mode == "image_only":
            rows, texts = np.arange(self.num_rows), np.full(self.num_rows, -1)
        else:
            rows, texts = self._text_index()
        end = limit or len(rows)
        # 32 bits: the tables of pre-training hold ten million texts, and every process keeps the index.
        self.sample_rows = rows[:end].astype(np.int32)
        self.sample_texts = texts[:end].astype(np.int32)

    def _text_index(self) -> tuple[np.ndarray, np.ndarray]:
        unique = self.spec.kind == "caption"
        rows, texts = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
        for start, table in zip(self._starts, self.tables, strict=False):
            if table.num_rows:
                row, text = table.text_index(self.spec.text_column, unique)
                rows.append(row + start)
                texts.append(text)
        return np.concatenate(rows), np.concatenate(texts)

    def __len__(self) -> int:
        return len(self.sample_rows)

    def locate(self, row: int) -> tuple[int, Table, int]:
        """Which table a row lies in: the table's index, the table, and the row's number in it."""
        index = bisect_right(self._starts, row) - 1
        return index, self.tables[index], row - self._starts[index]

    def where(self, row: int) -> str:
        """The file and the row in it, for messages."""
        _, table, local = self.locate(row)
        return table.where(local)

    @property
    def shards(self) -> list[tuple[int, int]]:
        """First and past-the-last sample of each tar shard, whose samples are read fastest one after the other."""
        bounds = np.searchsorted(self.sample_rows, self._starts).tolist()
        return [(first, stop) for table, first, stop in zip(self.tables, bounds, bounds[1:], strict=False)
                if isinstance(table, ShardTable) and first < stop]

    def drawn_from(self, sample: int) -> tuple[int, int]:
        """First and past-the-last sample of those that non-matching ones are drawn from for a sample.

        All of them; in a tar shard those of the shard, as reading anywhere in terabytes of shards would be slow.
        """
        number = self.locate(int(self.sample_rows[sample]))[0]
        if not isinstance(self.tables[number], ShardTable):
            return 0, len(self)
        first, stop = np.searchsorted(self.sample_rows, self._starts[number:number + 2]).tolist()
        return first, stop

    def cell(self, column: str, row: int) -> Any:
        """One cell as a Python object; None where the table lacks the column."""
        _, table, local = self.locate(row)
        return table.value(column, local) if table.has_column(column) else None

    def image(self, column: str, row: int, reading: PictureReading | None = None) -> Image.Image:
        """Decode the image of one cell, and read it as told, or else as the description of the tables says.

        Raises:
            UnreadableImageError: names file and row.
        """
        _, table, local = self.locate(row)
        where = f"{table.where(local)}, column {column}"
        return read_image(open_image(table.image_bytes(column, local), where), where, reading or self.spec.reading)

    def text(self, sample: int) -> str:
        """The text of a sample: a caption, a question, or the hypothesis of SNLI-VE (its premise is never read).

        Raises:
            ValueError: the cell holds something else.
        """
        row, position = int(self.sample_rows[sample]), int(self.sample_texts[sample])
        text = self._item(self.spec.text_column, row, position)
        if self.spec.text_column == "sentences":
            text = text[1].strip() if isinstance(text, list) and len(text) == 2 and text[1] is not None else None
        if not isinstance(text, str):
            raise ValueError(f"{self.where(row)}: {self.spec.text_column}[{position}] is no text; make the file again")
        return text

    def vqa_target(self, sample: int) -> VqaTarget | None:
        """The answers of a question; None for other data sets."""
        if self.spec.kind != "vqa":
            return None
        row, position = int(self.sample_rows[sample]), int(self.sample_texts[sample])
        labels, scores = self._item("answer_labels", row, position), self._item("answer_scores", row, position)
        question_id = self._item("question_id", row, position)
        if question_id is None:
            raise ValueError(f"{self.where(row)}: question_id[{position}] is missing; make the file again")
        return VqaTarget(int(question_id), labels, scores, self.where(row))

    def label(self, sample: int) -> int | None:
        """The class of a sample; None for data sets without classes.

        Raises:
            ValueError: the stored label is none of the known ones.
        """
        known = self.spec.label_ids
        if not known:
            return None
        row, position = int(self.sample_rows[sample]), max(0, int(self.sample_texts[sample]))
        column = "answers" if self.spec.holds_pairs else "labels"
        stored = self._item(column, row, position)
        if stored not in known:
            raise ValueError(f"{self.where(row)}: {column}[{position}] is {stored!r}, expected one of {list(known)}")
        return known[stored]

    def _item(self, column: str, row: int, position: int) -> Any:
        """An element of a list cell; None where the split has no such values."""
        _, table, local = self.locate(row)
        return table.item(column, local, position) if table.has_column(column) else None
