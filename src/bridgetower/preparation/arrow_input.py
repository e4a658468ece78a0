"""Finds and opens arrow files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from .tables import PreparationError


def arrow_files(sources: Iterable[Path]) -> list[Path]:
    """Arrow files given one by one or by their folders, sorted within a folder.

    Raises:
        PreparationError: a path does not exist or a folder has no arrow file.
    """
    files: list[Path] = []
    for source in sources:
        found = sorted(source.glob("*.arrow")) if source.is_dir() else [source]
        if not found or not all(path.is_file() for path in found):
            raise PreparationError(f"{source}: no arrow file here; check --source")
        files += found
    return files


@contextmanager
def open_arrow(path: Path) -> Iterator[pa.ipc.RecordBatchFileReader]:
    """A memory-mapped arrow file.

    Raises:
        PreparationError: the file is missing, cut off or in another format.
    """
    try:
        source = pa.memory_map(str(path))
    except OSError as error:
        raise PreparationError(f"{path}: {error}") from error
    with source:
        try:
            file = pa.ipc.open_file(source)
        except pa.ArrowInvalid as error:
            raise PreparationError(f"{path}: not a complete arrow file ({error}); remove and remake it") from error
        with file:
            yield file
