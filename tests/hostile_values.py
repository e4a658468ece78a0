"""Values that nobody means: of another type, out of any range, or not numbers at all."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

#: In place of a number, a text, a switch, a list or an object.
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 3, 10**9, -10**9, 10**30, 2**31, 2**63, 0.5, -0.5, 1e300, float("nan"), float("inf"),
    float("-inf"), "", "7", "nan", "x" * 10_000, "\0", "\ud800", [], [1], [[]], [None], {}, {"a": 1}, {"0": None},
    [[[[[[]]]]]], {"a": {"b": {"c": []}}})
#: In place of a text or the name of a file.
TEXTS: tuple[str, ...] = (
    "../../../etc/passwd", "/etc/passwd", "/dev/zero", ".", "..", "a/b", "a\nb", "a\tb", "\"", "'", ",", "\u2028",
    "\ufeff", "\udc80", "\u0000x", "-", "_", "x.jpg", "\u0661", "\u00b2", "NaN", "[", "[1,", "{}", "[" * 5000, "1e999",
    "True", "1" * 5000)
#: Whole files that are no settings.
FILES: tuple[bytes, ...] = (
    b"", b" ", b"null", b"1", b'"text"', b"[]", b"[{}]", b"{", b'{"a": 1', b'{"a": 1, "a": 2}', b'{"a": NaN}',
    b'{"a": -Infinity}', b'{"a": 1e999}', b"\xff\xfe{}", b'{"a": "\xff"}', b"[" * 100_000, b'{"a":' * 100_000,
    b'{"a": ' + b"9" * 10_000 + b"}", b"\0" * 64, b"%PDF-1.4", b"PK\x03\x04")


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to all values inside nested objects and lists; of long lists, to the first three entries."""
    entries = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    inner = [way for key, entry in entries for way in paths(entry, (*path, key))]
    return [*([path] if path else []), *inner]


def with_value(value: Any, path: tuple[Any, ...], hostile: Any) -> Any:
    """A copy of nested objects and lists with one value replaced."""
    if not path:
        return hostile
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[path[0]] = with_value(value[path[0]], path[1:], hostile)
    return copied


def damaged(data: bytes, draw: random.Random) -> bytes:
    """The bytes of a file cut off, or with some of them changed, doubled or left out."""
    start, end = sorted(draw.randrange(len(data) + 1) for _ in range(2))
    kind = draw.randrange(5)
    if kind == 0:
        return data[:start]
    if kind == 1:
        return data[:start] + data[end:]
    if kind == 2:
        return data[:end] + data[start:]
    changed = bytearray(data)
    for _ in range(draw.choice((1, 3, 20))):
        if changed:
            changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed)


def damaged_json(data: bytes, draw: random.Random) -> bytes:
    """A JSON file with a value replaced, or with damaged bytes."""
    if draw.random() < 0.3:
        return draw.choice(FILES) if draw.random() < 0.3 else damaged(data, draw)
    value = json.loads(data)
    ways = paths(value)
    return json.dumps(with_value(value, draw.choice(ways), draw.choice(VALUES)) if ways else value).encode()


def write_over(path: Path, data: bytes) -> None:
    """Replace a file, which may be a link into a folder that stays as it is."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def damaged_annotations(data: bytes, suffix: str, draw: random.Random) -> bytes:
    """An annotation file with a hostile value, without a key or with an entry twice, in another encoding, or cut."""
    kind = draw.random()
    if kind < 0.2 or suffix in (".parquet", ".tar"):
        return draw.choice(FILES) if draw.random() < 0.2 else damaged(data, draw)
    text = data.decode()
    if kind < 0.3:
        return text.encode(draw.choice(("utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-7")))
    if suffix == ".json" and "\n" not in text.strip():
        return json.dumps(_damaged_value(json.loads(text), draw)).encode()
    lines = text.splitlines(keepends=True)
    number = draw.randrange(len(lines))
    lines[number] = _damaged_line(lines[number], draw) if kind < 0.9 else draw.choice(("", "\n", lines[number] * 2))
    return "".join(lines).encode(errors="surrogatepass")


def _damaged_value(value: Any, draw: random.Random) -> Any:
    """Nested objects and lists with a value replaced, left out or repeated."""
    way = draw.choice(paths(value))
    *outer, key = way
    holder = value
    for step in outer:
        holder = holder[step]
    kind = draw.randrange(4)
    if kind == 0:
        rest = {name: each for name, each in holder.items() if name != key} if isinstance(holder, dict) else \
            [*holder[:key], *holder[key + 1:]]
        return with_value(value, tuple(outer), rest)
    if kind == 1 and isinstance(holder, list):
        return with_value(value, tuple(outer), [*holder, holder[key]])
    return with_value(value, way, draw.choice((*VALUES, *TEXTS)))


def _damaged_line(line: str, draw: random.Random) -> str:
    """A line of JSON lines, CSV, TSV or a plain list with a value replaced."""
    if line.startswith("{"):
        return json.dumps(_damaged_value(json.loads(line), draw)) + "\n"
    separator = "\t" if "\t" in line else ","
    cells = line.rstrip("\r\n").split(separator)
    value = draw.choice((*VALUES, *TEXTS))
    cells[draw.randrange(len(cells))] = value if isinstance(value, str) else json.dumps(value)
    return separator.join(cells[:draw.choice((1, len(cells), len(cells), len(cells)))]) + "\n"
