"""JSON files with settings: read whole, and refused when they are damaged, ambiguous or far too large."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["read_json_file", "read_json_object"]

#: No settings or vocabulary come near it, and parsing it takes less than a gigabyte.
LARGEST = 32 << 20


def read_json_file(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        FileNotFoundError: there is no such regular file.
        ValueError: not UTF-8 or not JSON, a key that occurs twice in one object, NaN or an infinite number, or larger
            than a file of settings can be; the message names the file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file" if path.exists() else f"{path} does not exist")
    size = path.stat().st_size
    if size > LARGEST:
        raise ValueError(f"{path} has {size / 1e6:,.0f} MB; a file of settings has {LARGEST / 1e6:.0f} MB at most")
    try:
        return json.loads(path.read_bytes().decode("utf-8-sig"), object_pairs_hook=_unique, parse_constant=_no_number)
    except RecursionError:
        raise ValueError(f"{path} is damaged: its lists and objects are nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None


def read_json_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        FileNotFoundError, ValueError: see `read_json_file`; or the file holds another kind of value.
    """
    value = read_json_file(path)
    if not isinstance(value, dict):
        raise ValueError(f"{path} is damaged: it holds a {type(value).__name__}, not a JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in value if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} occurs twice in one object")
    return value


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is not a number in JSON")
