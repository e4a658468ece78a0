"""Write a `.safetensors` file tensor by tensor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .array_bytes import Progress, Tensors, result_type, write_array

_SAFETENSORS_TYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32",
    "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip


def write_safetensors(
    path: Path, tensors: Tensors, dtype: str, progress: Progress, metadata: dict[str, str] | None = None
) -> None:
    """Write a safetensors file.

    Args:
        path: the file.
        tensors: arrays by name; an array is converted and copied only when it is written.
        dtype: `float32`, `float16` or `source`.
        progress: called with the number of bytes after each write.
        metadata: texts stored in the header; `format` tells loaders which framework wrote the file.
    """
    header: dict[str, Any] = {"__metadata__": metadata or {"format": "np"}}
    offset = 0
    for name, array in tensors.items():
        kind, itemsize = result_type(array, dtype)
        end = offset + array.size * itemsize
        header[name] = {"dtype": _SAFETENSORS_TYPES[kind], "shape": list(array.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in tensors.values():
            write_array(file, array, dtype, progress)
