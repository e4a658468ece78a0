"""What `PickleMachine` makes of a pickle: names that are never imported, and placeholders for unknown objects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from ..errors import CheckpointError

__all__ = ["Buildable", "Name", "Placeholder", "as_key", "is_hostile", "plain"]


@dataclass(frozen=True)
class Name:
    """A class or function that the file mentions; never imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"[:120]


@dataclass(eq=False)
class Placeholder:
    """Stands for an object whose class is not among the builders: its parts, but none of its behaviour."""

    name: Name | None
    args: Any = ()
    items: dict[Any, Any] = field(default_factory=dict)
    elements: list[Any] = field(default_factory=list)
    state: Any = None


class Buildable(ABC):
    """Base class of objects that are made by builders and take a state afterwards."""

    @abstractmethod
    def set_state(self, state: Any) -> None:
        """Check and take the state of a BUILD opcode."""


_BUILTINS = ("builtins", "__builtin__")
_HOSTILE_MODULES = frozenset(
    "os posix nt subprocess pty shutil socket ctypes importlib runpy code codeop sys webbrowser multiprocessing "
    "platform commands pickle _pickle marshal types pip pdb timeit asyncio".split()
)
_HOSTILE_BUILTINS = frozenset("eval exec execfile compile open __import__ getattr setattr delattr input apply".split())


def is_hostile(name: Name) -> bool:
    """Whether no honest checkpoint would call this; such a file is refused instead of read with a placeholder."""
    if name.module in _BUILTINS:
        return name.name.split(".")[0] in _HOSTILE_BUILTINS
    return name.module.split(".")[0] in _HOSTILE_MODULES


_MAX_SETTINGS = 100_000


def plain(value: Any) -> Any:
    """Replace placeholders of containers in `value` by dicts and lists, for reading settings.

    Raises:
        CheckpointError: it is deeper or larger than any configuration; a small pickle can refer to one object many
            times and so describe an endless one.
    """
    return _plain(value, 0, [_MAX_SETTINGS])


def _plain(value: Any, depth: int, budget: list[int]) -> Any:
    budget[0] -= 1
    if depth > 50 or budget[0] < 0:
        raise CheckpointError("settings nested more than 50 levels deep or endless; the file is broken or hostile")
    if isinstance(value, Placeholder):
        if value.elements:
            value = value.elements
        elif value.items or not isinstance(value.state, dict):
            value = value.items
        else:
            value = value.state
    if isinstance(value, dict):
        return {key: _plain(item, depth + 1, budget) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, depth + 1, budget) for item in value]
    return value


def as_key(value: Any) -> Any:
    """A dictionary key that is safe to hash: hashing a deeply nested tuple overflows the C stack."""
    if isinstance(value, memoryview):
        return bytes(value)
    if value is None or isinstance(value, (str, bytes, int, float, bool, Name, Placeholder)):
        return value
    is_flat = isinstance(value, tuple) and len(value) <= 8
    if is_flat and all(isinstance(part, (str, bytes, int, float, bool)) for part in value):
        return value
    return Placeholder(None, value)
