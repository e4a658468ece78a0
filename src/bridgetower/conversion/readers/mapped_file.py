"""Map a file into memory as one read-only buffer."""

from __future__ import annotations

import mmap
from pathlib import Path

from ..errors import CheckpointError


def map_file(path: Path) -> memoryview:
    """Memory-map `path`: nothing is read before it is used, and arrays made from it share the file's pages.

    Raises:
        CheckpointError: the file is empty.
        OSError: it cannot be opened.
    """
    with open(path, "rb") as file:
        if path.stat().st_size == 0:
            raise CheckpointError("the file is empty; download it again")
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
