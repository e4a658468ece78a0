"""Results on standard output: JSON lines for machines, a table for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

__all__ = ["print_json", "print_table"]

#: Rows that are looked at to choose the widths of the columns; the rest is printed as it comes.
_LOOKED_AT = 100
_WIDEST = 100


def print_json(records: Iterable[Any]) -> None:
    """Print one JSON value per line as soon as it comes."""
    for record in records:
        print(json.dumps(record, ensure_ascii=False), flush=True)


def print_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows in columns as wide as the first hundred rows need; numbers stand at the right."""
    cells: Iterator[list[str]] = ([_text(value) for value in row] for row in rows)
    first = list(islice(cells, _LOOKED_AT))
    widths = [min(_WIDEST, max(map(len, column))) for column in zip(header, *first, strict=True)]
    at_right = [bool(column) and all(map(_is_number, column)) for column in zip(*first, strict=True)]
    at_right = at_right or [False] * len(header)
    for row in chain([list(header)], first, cells):
        line = "  ".join(cell.rjust(width) if right else cell.ljust(width)
                         for cell, width, right in zip(row, widths, at_right, strict=True))
        print(line.rstrip())
    sys.stdout.flush()


def _text(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _is_number(cell: str) -> bool:
    return cell.replace(".", "", 1).removeprefix("-").isdigit()
