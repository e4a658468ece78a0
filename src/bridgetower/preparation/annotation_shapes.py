"""Shapes of annotations: what the values of a JSON file must be, and in words what is wrong with one that is not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import NoneType
from typing import Any, get_args

__all__ = ["FileName", "problem_of"]

_WHOLE_NUMBERS = range(-2**63, 2**63)
_LONGEST_NAME = 255  # bytes, in the usual file systems


class FileName:
    """The shape of a text that names a file, or a part of such a name, without a folder."""


_NAMES = {str: "a text", int: "a whole number", FileName: "the name of a file", NoneType: "null"}


def problem_of(value: Any, shape: Any) -> str | None:
    """What is wrong with a value, to be put after its place; None if nothing is.

    Args:
        value: any value of JSON.
        shape: `str`, `int` (of 64 bits), `FileName`, a union of these, which may contain None; `object` for any value
            but null and infinite numbers; a mapping for an object with such keys, and others; a list of one shape for
            a list of any length, a tuple of shapes for a list of this length.
    """
    if isinstance(shape, Mapping):
        for key, inner in shape.items():
            if not isinstance(value, dict) or key not in value:
                return f" is not an object with {key!r}; is it the right file?"
            if problem := _plain_problem(value[key], inner):
                return f": {key!r} {problem}"
            if isinstance(inner, (Mapping, list, tuple)) and (problem := problem_of(value[key], inner)):
                return f", {key}{problem}"
        return None
    if isinstance(shape, (list, tuple)):
        if problem := _plain_problem(value, shape):
            return f" {problem}"
        shapes = shape if isinstance(shape, tuple) else shape * len(value)
        for number, (each, inner) in enumerate(zip(value, shapes, strict=True)):
            if problem := problem_of(each, inner):
                return f"[{number}]{problem}"
        return None
    problem = _plain_problem(value, shape)
    return problem and f" {problem}"


def _plain_problem(value: Any, shape: Any) -> str | None:
    """What is wrong with a value, whatever is inside of it."""
    kinds = get_args(shape) or (shape,)
    if value is None and NoneType not in kinds:
        return "is null; repair it"
    if isinstance(value, float) and not math.isfinite(value):
        return f"is {value}; repair it"
    if isinstance(shape, (list, tuple)):
        if not isinstance(value, list):
            return "is no list; is it the right file?"
        if isinstance(shape, tuple) and len(value) != len(shape):
            return f"has {len(value)} entries, not {len(shape)}; repair it"
    elif not isinstance(shape, Mapping) and not any(_is(value, kind) for kind in kinds):
        return f"is {value!r:.60}, not {' or '.join(_NAMES[kind] for kind in kinds)}; repair it"
    return None


def _is(value: Any, kind: type) -> bool:
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and value in _WHOLE_NUMBERS
    if kind is FileName:
        return isinstance(value, str) and value not in ("", ".", "..") and not {"/", "\\", "\0"} & {*value} \
            and len(value.encode()) <= _LONGEST_NAME
    return isinstance(value, kind)
