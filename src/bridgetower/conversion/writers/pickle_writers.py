"""Write `.pdparams` and torch's zip format tensor by tensor, without torch or Paddle.

Both are pickles that are spelled out here opcode by opcode: `pickle.dump` would need every converted array in memory
at once.
"""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ..readers.arrays import bfloat16, dtype_name
from ..readers.tensor_pickle import STORAGE_TYPES
from .array_bytes import Progress, Tensors, result_type, write_array

_STORAGES = {
    dtype_name(bfloat16(np.zeros(0, "u2")) if bf16 else np.zeros(0, code)): name
    for name, (code, bf16) in STORAGE_TYPES.items()
}
_ALIGNMENT = 64


def _pickled(value: Any) -> bytes:
    """The opcodes that push a plain value, without the frame of a whole pickle."""
    return pickle.dumps(value, protocol=2)[2:-1]


def _name(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def write_pdparams(path: Path, tensors: Tensors, dtype: str, progress: Progress) -> None:
    """Write what `paddle.load` reads: a pickle of a dictionary of numpy arrays. Arguments as in `write_safetensors`.
    """
    with open(path, "wb") as file:
        file.write(b"\x80\x04}(")  # protocol 4, an empty dictionary, a mark
        for name, array in tensors.items():
            kind, itemsize = result_type(array, dtype)
            code = np.dtype("u2" if kind == "bfloat16" else kind).str
            file.write(_pickled(name))
            # numpy's own spelling: _reconstruct(ndarray, (0,), b"b") takes the state (1, shape, dtype, False, bytes).
            file.write(_name("numpy.core.multiarray", "_reconstruct") + _name("numpy", "ndarray"))
            file.write(_pickled((0,)) + b"C\x01b" + b"\x87R(" + _pickled(1) + _pickled(array.shape))
            file.write(_name("numpy", "dtype") + _pickled((code[1:], False, True)) + b"R")
            file.write(_pickled((3, code[0], None, None, None, -1, -1, 0)) + b"b\x89")
            file.write(b"\x8e" + (array.size * itemsize).to_bytes(8, "little"))
            write_array(file, array, dtype, progress)
            file.write(b"tb")
        file.write(b"u.")


def write_torch(
    path: Path, tensors: Tensors, dtype: str, progress: Progress, extra: dict[str, Any] | None = None
) -> None:
    """Write what `torch.load` reads: a zip archive with `{"state_dict": ..., **extra}` and one record per tensor.

    Other arguments as in `write_safetensors`; `extra` may hold plain Python values only.
    """
    body = [b"\x80\x02}("]
    for key, value in (extra or {}).items():
        body.append(_pickled(key) + _pickled(value))
    body.append(_pickled("state_dict") + _name("collections", "OrderedDict") + b")R(")
    for index, (name, array) in enumerate(tensors.items()):
        storage = _name("torch", _STORAGES[result_type(array, dtype)[0]])
        strides = tuple(int(np.prod(array.shape[axis + 1 :], dtype=np.int64)) for axis in range(array.ndim))
        body.append(_pickled(name) + _name("torch._utils", "_rebuild_tensor_v2") + b"(")
        body.append(b"(" + _pickled("storage") + storage + _pickled(str(index)) + _pickled("cpu"))
        body.append(_pickled(int(array.size)) + b"tQ" + _pickled(0) + _pickled(array.shape) + _pickled(strides))
        body.append(b"\x89" + _name("collections", "OrderedDict") + b")RtR")
    body.append(b"uu.")
    root = path.name.split(".")[0] or "archive"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        archive.writestr(f"{root}/data.pkl", b"".join(body))
        archive.writestr(f"{root}/byteorder", b"little")
        for index, array in enumerate(tensors.values()):
            with archive.open(_aligned(archive, f"{root}/data/{index}"), "w", force_zip64=True) as record:
                write_array(record, array, dtype, progress)
        archive.writestr(f"{root}/version", b"3\n")


def _aligned(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """A record whose numbers start at a multiple of 64 bytes, which torch needs for memory-mapping."""
    info = zipfile.ZipInfo(name)
    # 30 bytes of header, the name, 20 bytes of zip64 sizes that zipfile puts first, 4 bytes of padding header.
    start = archive.fp.tell() + 30 + len(name.encode()) + 20 + 4  # type: ignore[union-attr]
    padding = -start % _ALIGNMENT
    info.extra = b"FB" + padding.to_bytes(2, "little") + b"Z" * padding
    return info
