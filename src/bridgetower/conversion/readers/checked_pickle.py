"""Check a pickle before `pickle` itself builds it: only numbers, texts, arrays and containers, and not too many.

`pickle` imports and calls what a file names. With the allowed names alone a file could still hang or fill the memory:
by endless references to one list, by keys that take for ever to hash, by a memo index of four billion. So the file is
interpreted first, by a machine that builds nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from .mapped_file import map_file
from .pickle_machine import PickleMachine
from .pickled_values import Buildable, Name, Placeholder

__all__ = ["check_pickle"]

_MAX_VISITS = 4_000_000
_MAX_DEPTH = 32
#: FROZENSET, ADDITEMS, EMPTY_SET hash what they hold; the others import what a registry or a persistent id says.
_REFUSED = frozenset(b"\x8f\x90\x91\x82\x83\x84PQ\x97\x98")
_DTYPE = re.compile(r"[<>|=]?[a-zA-NP-Z?]\d{0,3}")


def check_pickle(path: Path) -> None:
    """Check one file.

    Raises:
        CheckpointError: it is broken, calls what no checkpoint needs, or is deeper or larger than any checkpoint.
        OSError: it cannot be opened.
    """
    if not path.is_file():
        raise CheckpointError("it is not a regular file")
    with map_file(path) as data:
        _check_extent(_CheckingMachine(data).run())


class _Array(Buildable):
    """Stands for an array, whose numbers come with its state."""

    def set_state(self, state: Any) -> None:
        if not (isinstance(state, tuple) and len(state) == 5 and isinstance(state[4], (bytes, memoryview, str))):
            raise CheckpointError("an array without plain numbers")


class _Settable(Buildable):
    """Stands for a type of numbers, or the state of a random generator."""

    def set_state(self, state: Any) -> None:
        """Take any state: the class itself checks it."""


class _CheckingMachine(PickleMachine):
    """A pickle machine that refuses every name but a few, and what would make `pickle` slow or large."""

    max_operations = 4_000_000  # a large model with its optimizer needs about 200,000

    def __init__(self, data: memoryview) -> None:
        super().__init__(data, {})
        self._encoded = 0

    def _execute(self, opcode: int) -> None:
        if opcode in _REFUSED:
            raise CheckpointError(f"it has the operation {bytes([opcode])!r}, which no checkpoint needs")
        super()._execute(opcode)

    def _call(self, callee: Any, args: Any) -> None:
        builder = _ALLOWED.get((callee.module, callee.name)) if isinstance(callee, Name) else None
        if builder is None:
            raise CheckpointError(f"it calls {callee if isinstance(callee, Name) else 'an object'}, which no "
                                  "checkpoint needs")
        self._push(builder(self, *args))

    def _set_items(self, values: list[Any]) -> None:
        if not all(isinstance(key, (str, int, bytes)) for key in values[::2]):
            raise CheckpointError("it has a key that is neither a text nor a number")
        super()._set_items(values)

    def _memo_put(self, index: int) -> None:
        if index > 2 * len(self._memo) + 1000:  # `pickle` makes a table up to this index
            raise CheckpointError(f"it has a memo index of {index}")
        super()._memo_put(index)

    def encode(self, text: Any, encoding: Any = "utf-8") -> bytes:
        """`_codecs.encode`, as old pickles write bytes; one text may be encoded many times."""
        if not (isinstance(text, str) and encoding in ("latin1", "latin-1", "utf-8", "ascii")):
            raise CheckpointError("it encodes something that is no text")
        self._encoded += len(text)
        if self._encoded > 2 * len(self._data):
            raise CheckpointError("it encodes one text many times")
        return text.encode(encoding)


def _dtype(machine: _CheckingMachine, name: Any, *_: Any) -> _Settable:
    if not (isinstance(name, str) and _DTYPE.fullmatch(name)):
        raise CheckpointError(f"it has numbers of the type {str(name)[:40]!r}")
    return _Settable()


def _reconstruct(machine: _CheckingMachine, kind: Any, shape: Any, code: Any) -> _Array:
    if shape != (0,):
        raise CheckpointError("it makes an array before its numbers are known")
    return _Array()


def _with_numbers(machine: _CheckingMachine, *args: Any) -> _Array:
    return _Array()


def _settable(machine: _CheckingMachine, *args: Any) -> _Settable:
    return _Settable()


#: All that the files of a checkpoint need to build: numbers, arrays and the states of random generators.
_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): _dtype,
    ("collections", "OrderedDict"): lambda machine, *args: {},
    ("_codecs", "encode"): _CheckingMachine.encode,
    ("paddle.base.libpaddle", "GeneratorState"): _settable,
}
for _package in ("numpy.core", "numpy._core"):
    _ALLOWED |= {(f"{_package}.multiarray", "_reconstruct"): _reconstruct,
                 (f"{_package}.multiarray", "scalar"): _with_numbers,
                 (f"{_package}.numeric", "_frombuffer"): _with_numbers}


def _check_extent(value: Any) -> None:
    """Bound how deep and how large the object is when each of its parts is followed, as Paddle does on loading."""
    pending, visits = [(value, 0)], 0
    while pending:
        part, depth = pending.pop()
        visits += 1
        if depth > _MAX_DEPTH or visits > _MAX_VISITS:
            raise CheckpointError("it is nested more deeply, or repeats its parts more often, than any checkpoint")
        if isinstance(part, dict):
            pending += [(each, depth + 1) for each in part.values()]
        elif isinstance(part, (list, tuple)):
            pending += [(each, depth + 1) for each in part]
        elif isinstance(part, Placeholder):
            raise CheckpointError("it holds an object of an unknown kind")
