"""Read the safetensors format: a length, a JSON header, then the numbers without gaps."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from ..errors import CheckpointError
from .arrays import bfloat16

_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
    "U8": "|u1", "BOOL": "|b1",
}  # fmt: skip
_MAX_HEADER = 100_000_000


def looks_like_safetensors(data: memoryview) -> bool:
    """Whether a file starts with a plausible length and a JSON object."""
    return len(data) >= 10 and int.from_bytes(data[:8], "little") <= _MAX_HEADER and bytes(data[8:9]) == b"{"


def read_safetensors(data: memoryview) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read views of all tensors, and the metadata.

    Raises:
        CheckpointError: the header is broken, or the tensors do not fill the file exactly.
    """
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(str(data[8 : 8 + length], "utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise CheckpointError("the safetensors header is truncated or broken; download the file again") from error
    if not isinstance(header, dict):
        raise CheckpointError("the safetensors header is not a JSON object; download the file again")
    metadata = header.pop("__metadata__", {})
    body = data[8 + length :]
    end = 0
    tensors = {}
    entries = {name: _entry(name, value) for name, value in header.items()}
    for name, (dtype, shape, start, stop) in sorted(entries.items(), key=lambda item: item[1][2:]):
        if start != end:
            raise CheckpointError(f"tensor {name!r} starts at byte {start} instead of {end}; download the file again")
        end = stop
        if stop > len(body):
            raise CheckpointError(f"tensor {name!r} is cut off; copy or download the file again")
        array = np.frombuffer(body[start:stop], _TYPES[dtype]).reshape(shape)
        tensors[name] = bfloat16(array) if dtype == "BF16" else array
    if end != len(body):
        raise CheckpointError(f"{len(body) - end} unexpected bytes at the end; the file is broken")
    return tensors, metadata if isinstance(metadata, dict) else {}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name twice")
    return result


def _entry(name: str, value: Any) -> tuple[str, tuple[int, ...], int, int]:
    """(type, shape, start, stop) of one header entry, checked."""
    broken = CheckpointError(f"the description of tensor {name[:80]!r} is broken; download the file again")
    if not isinstance(value, dict):
        raise broken
    dtype, shape, offsets = value.get("dtype"), value.get("shape"), value.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in _TYPES:
        raise CheckpointError(f"tensor {name[:80]!r} has type {str(dtype)[:20]}, which is not supported; save float32")
    if not isinstance(shape, list) or not isinstance(offsets, list) or len(offsets) != 2 or len(shape) > 8:
        raise broken
    if not all(type(number) is int and 0 <= number < 1 << 48 for number in shape + offsets):
        raise broken
    if offsets[1] - offsets[0] != math.prod(shape) * np.dtype(_TYPES[dtype]).itemsize:
        raise broken
    return dtype, tuple(shape), offsets[0], offsets[1]
