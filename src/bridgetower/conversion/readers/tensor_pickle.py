"""The few names that a tensor pickle may call: builders of torch storages and tensors, and of numpy arrays.

They give `Tensor` objects, which know where their numbers are in the file and make a numpy view only on demand.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..errors import CheckpointError
from .arrays import bfloat16
from .pickle_machine import Builder
from .pickled_values import Buildable, Name, Placeholder

# Storage class to (numpy type, is bfloat16).
STORAGE_TYPES: dict[str, tuple[str, bool]] = {
    "FloatStorage": ("<f4", False),
    "DoubleStorage": ("<f8", False),
    "HalfStorage": ("<f2", False),
    "BFloat16Storage": ("<u2", True),
    "LongStorage": ("<i8", False),
    "IntStorage": ("<i4", False),
    "ShortStorage": ("<i2", False),
    "CharStorage": ("|i1", False),
    "ByteStorage": ("|u1", False),
    "BoolStorage": ("|b1", False),
}
_MAX_RANK = 8


class Tensor(Protocol):
    """Anything that can be turned into an array."""

    def array(self) -> np.ndarray:
        """A numpy view of the numbers."""


@dataclass(eq=False)
class Storage:
    """A contiguous run of numbers in the file.

    Attributes:
        key: its name in the container.
        dtype: numpy type of an element.
        numel: its number of elements, according to the pickle.
        load: returns the bytes; set by the reader of the container.
    """

    key: str
    dtype: np.dtype
    is_bfloat16: bool
    numel: int
    load: Callable[[], memoryview] | None = None

    def numbers(self) -> np.ndarray:
        """All elements as an array of one axis.

        Raises:
            CheckpointError: the record is missing or has another length.
        """
        if self.load is None:
            raise CheckpointError(f"the numbers of storage {self.key!r} are missing; download the file again")
        data = self.load()
        if len(data) != self.numel * self.dtype.itemsize:
            wanted = self.numel * self.dtype.itemsize
            raise CheckpointError(f"storage {self.key!r} has {len(data)} bytes instead of {wanted}; download it again")
        numbers = np.frombuffer(data, self.dtype)
        return bfloat16(numbers) if self.is_bfloat16 else numbers


@dataclass(eq=False)
class TorchTensor:
    """A view of a storage: element (i, j, ...) is number offset + i * stride[0] + j * stride[1] + ..."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def array(self) -> np.ndarray:
        numbers = self.storage.numbers()
        if math.prod(self.size) == 0:
            return numbers[:0].reshape(self.size)
        last = self.offset + sum((size - 1) * stride for size, stride in zip(self.size, self.stride, strict=True))
        # A view may not be larger than its storage: strides of 0 could turn one number into terabytes.
        if last >= numbers.size or math.prod(self.size) > numbers.size:
            raise CheckpointError(f"a tensor of shape {self.size} reaches outside its storage {self.storage.key!r}")
        strides = tuple(stride * numbers.itemsize for stride in self.stride)
        return np.lib.stride_tricks.as_strided(numbers[self.offset :], self.size, strides, subok=True, writeable=False)


@dataclass(eq=False)
class NumpyArray(Buildable):
    """An array that numpy pickled; empty until its state is set."""

    value: np.ndarray | None = None

    def set_state(self, state: Any) -> None:
        """State of numpy's own `__setstate__`: (version, shape, dtype, is Fortran-ordered, bytes)."""
        shape, dtype, fortran, data = state[-4:]
        if not isinstance(dtype, NumpyType) or not isinstance(data, (bytes, memoryview)):
            raise CheckpointError("a numpy array of objects cannot be read safely; save its numbers instead")
        self.value = _array(data, dtype.value, shape, "F" if fortran else "C")

    def array(self) -> np.ndarray:
        if self.value is None:
            raise CheckpointError("a numpy array without numbers; download the file again")
        # Paddle stores bfloat16 numbers as their bits, because numpy lacks the type.
        return bfloat16(self.value) if self.value.dtype == np.uint16 else self.value


@dataclass(eq=False)
class NumpyType(Buildable):
    """A numpy type of plain numbers."""

    value: np.dtype

    def set_state(self, state: Any) -> None:
        """State of numpy's own `__setstate__`: (version, byte order, subtype, names, fields, size, align, flags)."""
        order = state[1]
        if any(part is not None for part in state[2:5]) or order not in ("<", "|"):
            raise CheckpointError("numpy records and big-endian numbers cannot be read; save plain arrays")


def _shape(value: Any) -> tuple[int, ...]:
    if not isinstance(value, (tuple, list)) or len(value) > _MAX_RANK:
        raise CheckpointError("a tensor with a broken shape; download the file again")
    if not all(type(size) is int and 0 <= size < 1 << 48 for size in value):
        raise CheckpointError("a tensor with a broken shape; download the file again")
    return tuple(value)


def _array(data: bytes | memoryview, dtype: np.dtype, shape: Any, order: str) -> np.ndarray:
    shape = _shape(shape)
    if math.prod(shape) * dtype.itemsize != len(data):
        raise CheckpointError(f"an array of shape {shape} and type {dtype} with {len(data)} bytes; download it again")
    return np.frombuffer(data, dtype).reshape(shape, order=order)  # type: ignore[call-overload]


def _rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> TorchTensor | Placeholder:
    if not isinstance(storage, Storage):
        return Placeholder(Name("torch._utils", "_rebuild_tensor_v2"))
    (offset,) = _shape((offset,))
    size, stride = _shape(size), _shape(stride)
    if len(size) != len(stride):
        raise CheckpointError(f"a tensor with {len(size)} sizes and {len(stride)} strides; download the file again")
    return TorchTensor(storage, offset, size, stride)


def _rebuild_from_type(function: Any, _type: Any, args: Any, _state: Any = None) -> Any:
    builder = BUILDERS.get((function.module, function.name)) if isinstance(function, Name) else None
    if builder is None or not isinstance(args, tuple):
        return Placeholder(function if isinstance(function, Name) else None, args)
    return builder(*args)


def _numpy_type(text: Any, *_: Any) -> NumpyType | Placeholder:
    if not isinstance(text, str) or not re.fullmatch(r"[<|]?(f[248]|[iu][1248]|b1)", text):
        return Placeholder(Name("numpy", "dtype"), text)
    return NumpyType(np.dtype(text))


def _numpy_scalar(dtype: Any, data: Any = b"") -> Any:
    if not isinstance(dtype, NumpyType) or not isinstance(data, (bytes, memoryview)):
        return Placeholder(Name("numpy", "scalar"))
    return _array(data, dtype.value, (), "C").item()


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> NumpyArray:
    result = NumpyArray()
    result.set_state((shape, dtype, order == "F", data))
    return result


def _encode(text: Any, encoding: Any = "latin1") -> Any:
    # How protocol 2 spells bytes.
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        return Placeholder(Name("_codecs", "encode"))
    return text.encode("latin-1")


# Builders return their argument or something small. If they copied a large argument, a file could fill the memory by
# calling them again and again through the memo, three bytes per call.


def _empty_dict(*args: Any) -> dict[Any, Any] | Placeholder:
    return Placeholder(Name("collections", "OrderedDict"), args) if args and args[0] else {}


def _empty_bytes(*args: Any) -> bytes | Placeholder:
    return Placeholder(Name("builtins", "bytes"), args) if args else b""


def _first(value: Any = (), *_: Any) -> Any:
    return value


BUILDERS: dict[tuple[str, str], Builder] = {
    ("collections", "OrderedDict"): _empty_dict,
    ("collections", "defaultdict"): lambda *_: {},
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _first,
    ("torch._utils", "_rebuild_parameter_with_state"): _first,
    ("torch._tensor", "_rebuild_from_type_v2"): _rebuild_from_type,
    ("torch", "Size"): _first,
    ("_codecs", "encode"): _encode,
    ("numpy", "dtype"): _numpy_type,
}
for _package in ("builtins", "__builtin__"):
    BUILDERS[_package, "bytes"] = _empty_bytes
    for _name in ("tuple", "list", "set", "frozenset"):
        BUILDERS[_package, _name] = _first
for _package in ("numpy.core", "numpy._core"):
    BUILDERS[f"{_package}.multiarray", "_reconstruct"] = lambda *_: NumpyArray()
    BUILDERS[f"{_package}.multiarray", "scalar"] = _numpy_scalar
    BUILDERS[f"{_package}.numeric", "_frombuffer"] = _from_buffer


def storage_of(persistent_id: Any) -> Storage:
    """The storage that a persistent id of torch describes: ('storage', class, key, device, numel[, view]).

    Raises:
        CheckpointError: the id is malformed or the storage class unknown.
    """
    if not isinstance(persistent_id, tuple) or len(persistent_id) < 5 or persistent_id[0] != "storage":
        raise CheckpointError("a storage with a broken description; download the file again")
    _, kind, key, _, numel = persistent_id[:5]
    if len(persistent_id) > 5 and persistent_id[5] is not None:
        raise CheckpointError("the file was written by a torch older than 0.4; load and save it with a newer one")
    known = isinstance(kind, Name) and kind.module in ("torch", "torch.cuda") and kind.name in STORAGE_TYPES
    if not known or not isinstance(key, str) or not key.isalnum():
        raise CheckpointError(f"storage type {kind if isinstance(kind, Name) else '?'} cannot be read; save float32")
    (numel,) = _shape((numel,))
    dtype, is_bfloat16 = STORAGE_TYPES[kind.name]
    return Storage(key, np.dtype(dtype), is_bfloat16, numel)
