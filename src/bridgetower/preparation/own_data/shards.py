"""Reads tar shards of img2dataset and webdataset: per sample a picture and its .txt, .json or .cls, of one name."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...datasets.shard_index import IMAGE_SUFFIXES, grouped_members, split_member_name
from ..tables import PreparationError
from .records import EMBEDDED, Record

_TEXTS = ("txt", "cls", "text", "caption")


def shard_columns(path: Path) -> list[str]:
    """The columns of a shard: `image`, `key`, the kinds of text files and the fields of the .json files.

    Raises:
        PreparationError: the shard cannot be read or holds no picture.
    """
    names: dict[str, None] = {}
    for _, record in zip(range(100), read_shard(path, True), strict=False):
        names.update(dict.fromkeys(record.values))
    if "image" not in names:
        raise PreparationError(f"{path}: no pictures in it ({', '.join(IMAGE_SUFFIXES)})")
    return list(names)


def read_shard(path: Path, without_bytes: bool = False) -> Iterator[Record]:
    """The samples of a shard.

    Args:
        path: a .tar file.
        without_bytes: pass over the pictures.

    Raises:
        PreparationError: the file is damaged or cut off; a damaged .json is a `problem` of its record instead.
    """
    count = 0
    try:
        with tarfile.open(path, "r:") as file:
            for key, members in grouped_members(file):
                yield _record(path, file, key, members, without_bytes)
                count += 1
    except (tarfile.TarError, OSError, EOFError) as error:
        raise PreparationError(
            f"{path}: cannot be read as an uncompressed tar file after sample {count} ({error}); download it again"
        ) from error


def _record(path: Path, file: tarfile.TarFile, key: str, members: list[tarfile.TarInfo], without_bytes: bool) -> Record:
    where = f"{path}, sample {key}"
    values: dict[str, Any] = {"key": key}
    for member in members:
        suffix = split_member_name(member.name)[1]
        if suffix in IMAGE_SUFFIXES:
            values["image"] = {"bytes": EMBEDDED if without_bytes else _read(file, member), "path": member.name}
        elif suffix in _TEXTS:
            values[suffix] = _read(file, member).decode("utf-8", "surrogateescape").strip()
        elif suffix == "json":
            try:
                fields = json.loads(_read(file, member))
                values = {**{str(name): value for name, value in fields.items()}, **values}
            except (ValueError, AttributeError) as error:
                return Record(where, {"key": key, "problem": f"its .json is not a JSON object ({error})"})
    return Record(where, values)


def _read(file: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = file.extractfile(member)
    data = stream.read() if stream is not None else b""
    if len(data) != member.size:
        raise tarfile.ReadError(f"{member.name} is cut off")
    return data
