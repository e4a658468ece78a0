"""Own data in miniature, as a user would have it."""

from __future__ import annotations

import csv
import io
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bridgetower.preparation.own_data.records import Record
from tests.preparation.raw_data import encoded_image, rows, run


def picture(number: int) -> bytes:
    """A picture that differs for each number."""
    return encoded_image(number, size=(6 + number // 256, 4))


def write_pictures(folder: Path, count: int) -> list[str]:
    """Pictures 0.png, 1.png, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{number}.png").write_bytes(picture(number))
    return [f"{number}.png" for number in range(count)]


def write_csv(path: Path, header: Sequence[str], lines: Iterable[Sequence[Any]], delimiter: str = ",") -> Path:
    """A CSV file, whose folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(header)
        writer.writerows(lines)
    return path


def write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    """A tar shard."""
    with tarfile.open(path, "w") as file:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def make(source: object, task: str, output: Path, *options: object) -> int:
    """Exit status of the command `table` for a data set called mine."""
    return run("table", "--source", source, "--task", task, "--output", output, "--name", "mine", *options)


def table_rows(output: Path, split: str | None = None) -> list[dict[str, Any]]:
    """The rows of a split, or of all of them, in the order of the files."""
    return [row for path in sorted(output.glob(f"mine_{split or '*'}_*.arrow")) for row in rows(path)]


def values(records: Iterable[Record]) -> list[dict[str, Any]]:
    """The values of records."""
    return [record.values for record in records]
