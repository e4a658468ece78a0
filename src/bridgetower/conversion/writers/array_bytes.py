"""What every writer shares: the type and the number of bytes of a tensor, and its numbers in a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import IO

import numpy as np

from ..readers.arrays import as_dtype, dtype_name, is_float

Progress = Callable[[int], None]
Tensors = Mapping[str, np.ndarray]

_CHUNK = 1 << 24  # bytes written at once


def result_type(array: np.ndarray, dtype: str) -> tuple[str, int]:
    """(type name, bytes per element) of `as_dtype(array, dtype)`, without converting."""
    if dtype == "source" or not is_float(array):
        return dtype_name(array), array.itemsize
    return dtype, np.dtype(dtype).itemsize


def num_bytes(tensors: Tensors, dtype: str) -> int:
    """How many bytes of numbers a file of `tensors` holds."""
    return sum(array.size * result_type(array, dtype)[1] for array in tensors.values())


def write_array(file: IO[bytes], array: np.ndarray, dtype: str, progress: Progress) -> None:
    """The numbers in C order; only a transposed or converted tensor is copied, one at a time."""
    plain = np.ascontiguousarray(as_dtype(array, dtype))
    data = memoryview(plain.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
    for start in range(0, len(data), _CHUNK):
        progress(file.write(data[start : start + _CHUNK]))
