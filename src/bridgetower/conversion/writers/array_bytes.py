"""Write one tensor at a time: its type in the file, its number of bytes, and the bytes themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import IO

import numpy as np

from ..readers.arrays import as_dtype, dtype_name, is_float

Progress = Callable[[int], None]
Tensors = Mapping[str, np.ndarray]

_CHUNK = 1 << 24  # bytes written at once


def result_type(array: np.ndarray, dtype: str) -> tuple[str, int]:
    """(type name, bytes per element) of `as_dtype(array, dtype)`, without converting it."""
    if dtype == "source" or not is_float(array):
        return dtype_name(array), array.itemsize
    return dtype, np.dtype(dtype).itemsize


def num_bytes(tensors: Tensors, dtype: str) -> int:
    """The number of bytes that the tensors take in a file."""
    return sum(array.size * result_type(array, dtype)[1] for array in tensors.values())


def write_array(file: IO[bytes], array: np.ndarray, dtype: str, progress: Progress) -> None:
    """Write the numbers in C order; only a transposed or converted tensor is copied."""
    plain = np.ascontiguousarray(as_dtype(array, dtype))
    data = memoryview(plain.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
    for start in range(0, len(data), _CHUNK):
        progress(file.write(data[start : start + _CHUNK]))
