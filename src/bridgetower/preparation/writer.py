"""Writes rows to arrow files: bounded record batches, complete files only, shards that resume."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..datasets.soundness import forget_checksums, record_checksums
from ..files import write_beside
from ..progress import progress_bar
from .arrow_input import open_arrow
from .images import ImageReader
from .schemas import image_columns
from .tables import PreparationError, Row, Table

logger = logging.getLogger(__name__)

MAX_BATCH_ROWS = 1000
MAX_BATCH_BYTES = 64 << 20
PLAN_KEY = b"bridgetower.plan"


@dataclass(frozen=True)
class Written:
    """One arrow file after a run: rows in it, rows left out for a bad image, and whether it was there already."""

    path: Path
    rows: int
    skipped: int = 0
    kept: bool = False


@contextmanager
def arrow_file(path: Path, schema: pa.Schema) -> Iterator[pa.ipc.RecordBatchFileWriter]:
    """A writer whose file appears under its name only when it is complete."""
    with write_beside(path) as beside, pa.OSFile(str(beside), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        yield writer


class Batches:
    """Collects rows and writes them as record batches of at most MAX_BATCH_ROWS rows and about MAX_BATCH_BYTES."""

    def __init__(self, writer: pa.ipc.RecordBatchFileWriter, schema: pa.Schema) -> None:
        self.writer, self.schema = writer, schema
        self.images = image_columns(schema)
        self.columns: dict[str, list[Any]] = {name: [] for name in schema.names}
        self.pending = self.bytes = self.rows = 0

    def add(self, row: Row, images: list[bytes]) -> None:
        """Collect a row."""
        for name, value in (*zip(self.images, images, strict=True), *row.values.items()):
            self.columns[name].append(value)
        self.rows += 1
        self.pending += 1
        self.bytes += sum(map(len, images))
        if self.pending >= MAX_BATCH_ROWS or self.bytes >= MAX_BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what was collected."""
        if self.pending:
            arrays = [self._array(field) for field in self.schema]
            self.writer.write_batch(pa.record_batch(arrays, schema=self.schema))
        self.columns = {name: [] for name in self.schema.names}
        self.pending = self.bytes = 0

    def _array(self, field: pa.Field) -> pa.Array:
        try:
            return pa.array(self.columns[field.name], field.type)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise PreparationError(
                f"column {field.name} does not hold {field.type}: {error}; check the raw data"
            ) from error


def write_table(
    table: Table,
    output: Path,
    reader: ImageReader,
    *,
    skip_bad: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> Iterator[Written]:
    """Write a table, as one file or as numbered shards; yields each file when it is complete.

    A file that is there already and was made by the same plan is kept, so an interrupted run goes on at the next
    missing one. A table without rows makes no file.

    Args:
        table: what to write.
        output: folder; made when it does not exist.
        reader: reads the images.
        skip_bad: leave out and count rows with a missing or unreadable image, instead of stopping.
        overwrite: remake files that exist already.
        progress: show a progress bar.

    Raises:
        PreparationError: a bad image without `skip_bad`, or an existing file of another plan without `overwrite`.
    """
    if table.missing and not skip_bad:
        raise PreparationError(
            f"{table.name}: {len(table.missing)} annotated images are not on disk, the first is {table.missing[0]}; "
            "add them, or leave them out with --skip_bad"
        )
    for image in table.missing:
        logger.warning("left out, no such file: %s", image)
    if not table.items:
        logger.warning("%s has no images, no file is written", table.name)
    missing = len(table.missing)
    for path, items in _shards(table, output):
        plan = _plan(table, items)
        if path.exists() and not overwrite:
            rows = _matching_rows(path, plan)
            yield Written(path, rows, missing + len(items) - rows, kept=True)
        else:
            forget_checksums(path.parent, path.name)
            rows = _write_file(table, items, path, plan, reader, skip_bad, progress)
            record_checksums(path.parent, path.name)
            yield Written(path, rows, missing + len(items) - rows)
        missing = 0  # counted with the first file


def _shards(table: Table, output: Path) -> Iterator[tuple[Path, Sequence[str]]]:
    if table.shard_size is None:
        if table.items:
            yield output / f"{table.name}.arrow", table.items
        return
    for number, start in enumerate(range(0, len(table.items), table.shard_size)):
        yield output / f"{table.name}_{number}.arrow", table.items[start : start + table.shard_size]


def _plan(table: Table, items: Sequence[str]) -> bytes:
    """A digest of what a file holds: which rows in which order, under which columns."""
    digest = hashlib.sha256(json.dumps([table.name, table.variant, table.schema.names]).encode())
    for item in items:
        # Without the folders, so that moving the raw data does not matter.
        digest.update(os.path.basename(item).encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest().encode()


def _matching_rows(path: Path, plan: bytes) -> int:
    with open_arrow(path) as file:
        metadata = file.schema.metadata or {}
        rows = sum(file.get_batch(index).num_rows for index in range(file.num_record_batches))
    if metadata.get(PLAN_KEY) != plan:
        raise PreparationError(
            f"{path}: exists and was made from other images, another order (--seed, --shard_size) or another program; "
            "remove it, choose another --output or give --overwrite"
        )
    return rows


def _write_file(
    table: Table,
    items: Sequence[str],
    path: Path,
    plan: bytes,
    reader: ImageReader,
    skip_bad: bool,
    progress: bool,
) -> int:
    schema = table.schema.with_metadata({PLAN_KEY: plan})
    bar = progress_bar(total=len(items), desc=path.name, unit=" rows", disable=not progress)
    with arrow_file(path, schema) as writer, bar:
        batches = Batches(writer, schema)
        for row, images in reader.read(map(table.row, items)):
            bar.update()
            if not isinstance(images, str):
                batches.add(row, images)
            elif skip_bad:
                logger.warning("left out, %s", images)
            else:
                raise PreparationError(f"{images}; replace the file, or leave such images out with --skip_bad")
        batches.flush()
        if not batches.rows:
            raise PreparationError(f"{path}: all of its {len(items)} rows have a bad image, nothing to write")
    return batches.rows
