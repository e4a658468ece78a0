"""Types and ranges of settings, written beside their fields as annotations and checked before anything is allocated.

A field says what it may hold: `image_size: Annotated[int, Range(1, 4096)] = 288`. `checked` compares a value from a
file with such an annotation, and `argument` makes the annotation the type of an option of a command line.
"""

from __future__ import annotations

import argparse
import math
import numbers
import reprlib
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

__all__ = ["Count", "ImageSide", "Range", "Vocabulary", "argument", "checked", "shown"]


@dataclass(frozen=True)
class Range:
    """Numbers from `least` to `most`, both included unless `above`, which leaves `least` out."""

    least: float
    most: float
    above: bool = False

    def __contains__(self, value: float) -> bool:
        return self.least <= value <= self.most and not (self.above and value == self.least)

    def __str__(self) -> str:
        least, most = _number(self.least), _number(self.most)
        return f"above {least} and at most {most}" if self.above else f"between {least} and {most}"


#: A number of things that exist one by one.
Count = Annotated[int, Range(1, 1_000_000)]
#: Number of tokens that a tokenizer knows and a text tower has embeddings of.
Vocabulary = Annotated[int, Range(1, 500_000)]
#: Side of a square picture, in pixels.
ImageSide = Annotated[int, Range(1, 4096)]

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = 60


def shown(value: object) -> str:
    """A value in a message: its `repr`, cut so that the message stays one short line."""
    return _repr.repr(value)


def _number(value: float) -> str:
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}" if abs(value) >= 10_000 else str(int(value))
    return f"{value:g}"


def checked(value: Any, hint: Any, key: str) -> Any:
    """A value from a file, if it is what an annotation allows; whole numbers become floats where floats are wanted.

    Args:
        value: any JSON value, or what a caller passed in place of one.
        hint: `int`, `float`, `bool`, `str`, a number with a `Range` (`Annotated`), a `Literal` of texts, `X | None`, a
            tuple or list of X, a mapping, or `Any`.
        key: name of the setting in messages.

    Raises:
        ValueError: another type, or a number outside of the range; the message names the key and the value.
    """
    kind, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if kind is Annotated:
        return _in_range(checked(value, inner[0], key), inner[1], key)
    if kind is typing.Literal:
        if not isinstance(value, str) or value not in inner:
            raise ValueError(f"{key}={shown(value)} is none of {', '.join(inner)}")
        return value
    if kind in (typing.Union, types.UnionType):
        return None if value is None and type(None) in inner else checked(value, inner[0], key)
    if kind in (tuple, list):
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"{key}={shown(value)} is {type(value).__name__}, expected a list; write [{shown(value)}]")
        return kind(checked(item, inner[0], f"{key}[{i}]") for i, item in enumerate(value))
    if not _is(value, kind or hint):
        raise ValueError(f"{key}={shown(value)} is {type(value).__name__}, expected {_expected(kind or hint)}")
    return _as_float(value, key) if hint is float else value


def _is(value: Any, kind: type) -> bool:
    if kind in (int, float):
        wanted = numbers.Integral if kind is int else numbers.Real
        return isinstance(value, wanted) and not isinstance(value, bool)
    return isinstance(value, kind)


def _expected(kind: type) -> str:
    return "an object with settings" if issubclass(kind, Mapping) else kind.__name__


def _as_float(value: Any, key: str) -> float:
    number = float(value) if abs(value) < 1e300 else math.inf  # a huge whole number has no float
    if not math.isfinite(number):
        raise ValueError(f"{key}={shown(value)} is not a finite number")
    return number


def _in_range(value: Any, allowed: Range, key: str) -> Any:
    if value is not None and value not in allowed:
        raise ValueError(f"{key}={shown(value)} is not {allowed}")
    return value


def argument(hint: Any) -> Callable[[str], Any]:
    """The `type` of an option of argparse whose value is a number with a range.

    Args:
        hint: `int` or `float` with a `Range`, as `Annotated`.
    """
    plain, allowed = typing.get_args(hint)

    def read(text: str) -> Any:
        try:
            value = plain(text)
        except ValueError:
            value = math.nan
        if value not in allowed:
            what = "a whole number" if plain is int else "a number"
            raise argparse.ArgumentTypeError(f"{shown(text)} is not {what} {allowed}")
        return value

    return read
