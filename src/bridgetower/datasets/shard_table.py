"""Captions out of tar shards, one sample at a time, with the interface of an arrow table."""

from __future__ import annotations

import logging
import os
import random
import tarfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..progress import progress_bar
from .shard_index import ShardIndex, caption_of

__all__ = ["ShardTable", "open_shards"]

logger = logging.getLogger(__name__)

_OPEN_FILES = 64
_SHOWN_FROM = 20  # shards; fewer are indexed in a moment
_BLOCK = 512


class _OpenFile:
    """A file that is read at any place; it closes with the last reference to it."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)

    def read(self, offset: int, size: int) -> bytes:
        return os.pread(self._descriptor, size, offset)


@lru_cache(maxsize=_OPEN_FILES)
def _opened(path: Path) -> _OpenFile:
    """An open shard. Not all stay open: there may be thousands, and processes may open about a thousand files."""
    return _OpenFile(path)


class ShardTable:
    """The samples of one tar shard, each a picture with one caption.

    Attributes:
        path: the file.
        name: what the table is called in messages.
        num_rows: number of samples.
        index: where they are in the file.
    """

    def __init__(self, path: Path, name: str) -> None:
        """Read the shard's index, or make it.

        Raises:
            ValueError: see `ShardIndex.of`.
        """
        self.path, self.name = Path(path), name
        self.index = ShardIndex.of(self.path)
        self.num_rows = len(self.index)

    def __reduce__(self) -> tuple[type[ShardTable], tuple[Path, str]]:
        return ShardTable, (self.path, self.name)

    def __repr__(self) -> str:
        return f"ShardTable({self.path}, {self.num_rows} samples)"

    def has_column(self, column: str) -> bool:
        """Whether the samples have a column of a caption table."""
        return column in ("image", "caption", "image_id")

    def require_columns(self, *columns: str) -> None:
        """Check that columns exist.

        Raises:
            KeyError: a column of another kind of data set.
        """
        missing = [column for column in columns if not self.has_column(column)]
        if missing:
            raise KeyError(f"{self.path} has no column {', '.join(missing)}; tar shards hold pictures and captions")

    def value(self, column: str, row: int) -> Any:
        """One cell: the list of the caption, the picture's encoded bytes, or the name of its member."""
        if column == "image":
            return bytes(self.image_bytes(column, row))
        return [self._caption(row)] if column == "caption" else self._member(row)

    def item(self, column: str, row: int, position: int) -> Any:
        """The caption of a sample; None for any position but the first."""
        return self._caption(row) if position == 0 else None

    def image_bytes(self, column: str, row: int) -> memoryview:
        """The encoded picture of a sample."""
        return memoryview(_opened(self.path).read(int(self.index.image[row]), int(self.index.image_size[row])))

    def text_index(self, column: str, unique: bool) -> tuple[np.ndarray, np.ndarray]:
        """The row of each caption, and its position in the row's list, which is always 0."""
        return np.arange(self.num_rows), np.zeros(self.num_rows, dtype=np.int64)

    def where(self, row: int) -> str:
        """File and member, for messages."""
        return f"{self.path} member {self._member(row)}"

    def _caption(self, row: int) -> str:
        index = self.index
        data = _opened(self.path).read(int(index.text[row]), int(index.text_size[row]))
        try:
            return caption_of(data, bool(index.is_json[row]))
        except ValueError as error:  # it was sound when the index was made
            raise ValueError(f"{self.path}: sample {row} has changed since the run began ({error})") from error

    def _member(self, row: int) -> str:
        """The name of the picture's member; its header stands right before it."""
        header = _opened(self.path).read(int(self.index.image[row]) - _BLOCK, _BLOCK)
        try:
            return tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape").name
        except tarfile.TarError:  # the file has changed
            return f"number {row}"


def open_shards(paths: Sequence[Path], name: str) -> list[ShardTable]:
    """Open tar shards in order; samples without a picture or a caption are counted and the first ones named.

    Raises:
        ValueError: see `ShardIndex.of`.
    """
    tables: dict[Path, ShardTable] = {}
    # Every process makes missing indexes in an order of its own and finds those that others have made meanwhile.
    order = random.Random(os.getpid()).sample(list(paths), len(paths))
    for path in progress_bar(order, desc="reading shards", unit=" shards", disable=len(paths) < _SHOWN_FROM):
        tables[path] = ShardTable(path, name)
    for path in paths:
        index = tables[path].index
        if index.broken:
            more = ", ..." if index.broken > len(index.named) else ""
            logger.warning("%s: %d of %d samples are left out: %s%s", path, index.broken, index.broken + len(index),
                           ", ".join(index.named), more)
    return [tables[path] for path in paths]
