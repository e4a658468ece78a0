"""Arrays of a checkpoint: bfloat16, which numpy lacks, widening to float32, and the check for NaN and infinity."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_CHUNK = 1 << 22  # elements processed together: few enough to bound the memory, enough to be fast


class BFloat16Array(np.ndarray):
    """The bits of bfloat16 numbers as uint16; views (slices, transposes) keep the mark."""


def bfloat16(array: np.ndarray) -> BFloat16Array:
    """Mark a uint16 array as bfloat16 numbers; no copy."""
    return array.view(BFloat16Array)


def dtype_name(array: np.ndarray) -> str:
    """`float32`, `bfloat16`, ... of a checkpoint array."""
    return "bfloat16" if isinstance(array, BFloat16Array) else array.dtype.name


def is_float(array: np.ndarray) -> bool:
    """Whether the array holds floating-point numbers, bfloat16 included."""
    return isinstance(array, BFloat16Array) or array.dtype.kind == "f"


def widen(array: np.ndarray) -> np.ndarray:
    """Convert float16 and bfloat16 numbers to float32 (exact); leave float64 and integers as they are."""
    if isinstance(array, BFloat16Array):
        bits = np.asarray(array).view(np.ndarray).astype(np.uint32)
        return (bits << np.uint32(16)).view(np.float32)
    if array.dtype == np.float16:
        return array.astype(np.float32)
    return array


def as_dtype(array: np.ndarray, dtype: str) -> np.ndarray:
    """`array` as float32, float16, or unchanged (`source`); integers are never converted.

    Raises:
        ValueError: a value does not fit into float16.
    """
    if dtype == "source" or not is_float(array) or dtype_name(array) == dtype:
        return array
    wide = widen(array)
    if wide.dtype == dtype:
        return wide
    with np.errstate(over="ignore"):
        narrow = wide.astype(dtype)
    if np.isfinite(wide).all() and not np.isfinite(narrow).all():
        raise ValueError(f"a value of {np.abs(wide).max():.3g} does not fit into {dtype}; use --dtype float32")
    return narrow


def flat_chunks(array: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the numbers of `array` in pieces of bounded size, in memory order where possible."""
    whole = array.T if array.flags.f_contiguous and not array.flags.c_contiguous else array
    flat = whole.reshape(-1)
    for start in range(0, flat.size, _CHUNK):
        yield flat[start : start + _CHUNK]


def count_nonfinite(array: np.ndarray) -> int:
    """How many of the numbers are NaN or infinite."""
    if not is_float(array):
        return 0
    return sum(int(chunk.size - np.count_nonzero(np.isfinite(widen(chunk)))) for chunk in flat_chunks(array))
