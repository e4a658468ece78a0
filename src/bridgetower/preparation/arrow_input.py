"""Finds and opens arrow files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from ..datasets.soundness import require_sound
from .tables import PreparationError


def arrow_files(sources: Iterable[Path], shards: bool = False) -> list[Path]:
    """Arrow files given one by one or by their folders, sorted within a folder.

    Args:
        sources: files and folders.
        shards: take .tar shards, too, of a folder where it has no arrow file.

    Raises:
        PreparationError: a path does not exist or a folder has no such file.
    """
    files: list[Path] = []
    for source in sources:
        found = sorted(source.glob("*.arrow")) if source.is_dir() else [source]
        found = found or (sorted(source.glob("*.tar")) if shards else [])
        if not found or not all(path.is_file() for path in found):
            raise PreparationError(f"{source}: no arrow file here; check --source")
        files += found
    return files


@contextmanager
def open_arrow(path: Path) -> Iterator[pa.ipc.RecordBatchFileReader]:
    """A memory-mapped arrow file, which is checked first if that was not done before (see `datasets.soundness`).

    Raises:
        PreparationError: the file is missing, cut off, damaged or in another format.
    """
    try:
        require_sound(path)
        source = pa.memory_map(str(path))
    except OSError as error:
        raise PreparationError(f"{path}: {error}") from error
    except ValueError as error:
        raise PreparationError(str(error)) from error
    with source, pa.ipc.open_file(source) as file:
        yield file
