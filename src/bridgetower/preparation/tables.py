"""Plans of tables: what a data set hands to the writer, which asks for one row at a time."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")


class PreparationError(ValueError):
    """Raw data or arrow files that cannot be used; the text says which file, what is wrong and what to do."""


@dataclass(frozen=True)
class Settings:
    """Where the raw data is and how it becomes tables.

    Attributes:
        source: folder of the raw data; None where a data set brings its own.
        output: folder of the arrow files.
        seed: seed of the row order.
        splits: the only splits to make; None for all of them.
        shard_size: planned images per file, of data sets that are cut into numbered files.
        held_out: images that a split by number sets aside (see the data set); None for its usual number.
        raw_tsv: split TSV lines at tabs only, instead of reading quotes as CSV does.
    """

    source: Path | None
    output: Path
    seed: int = 0
    splits: tuple[str, ...] | None = None
    shard_size: int = 100_000
    held_out: int | None = None
    raw_tsv: bool = False

    def wants(self, split: str) -> bool:
        """Whether the tables of `split` are to be made."""
        return self.splits is None or split in self.splits

    def search(self, *candidates: str) -> Path | None:
        """The first of some paths below `source` that exists, or None.

        Raises:
            PreparationError: there is no `source`.
        """
        if self.source is None:
            raise PreparationError("this data set needs a folder of raw data; give --source")
        return next((path for path in map(self.source.joinpath, candidates) if path.exists()), None)

    def find(self, *candidates: str, hint: str = "check --source") -> Path:
        """Like `search`, but a path must exist; `hint` tells the user what to do when none does.

        Raises:
            PreparationError: there is no such path.
        """
        path = self.search(*candidates)
        if path is None:
            raise PreparationError(f"{self.source}: no {' and no '.join(dict.fromkeys(candidates))}; {hint}")
        return path


@dataclass(frozen=True)
class Row:
    """One row before its images are read.

    Attributes:
        images: per image column a file, or the encoded bytes themselves.
        values: the other columns.
    """

    images: tuple[Path | bytes, ...]
    values: dict[str, Any]


@dataclass(frozen=True)
class Table:
    """The plan of one arrow file, or of a numbered series of them.

    Attributes:
        name: file name without `.arrow` (and without the number of a shard).
        schema: columns; the binary ones are filled from `Row.images`, in order.
        items: one key per row, in row order; an image path or a name. Resuming compares the names.
        row: makes the row of an item. Called in order, once, shortly before the row is written.
        missing: images that the annotations promise and the disk does not have.
        shard_size: planned rows per numbered file; None for a single file without a number.
        variant: what else decides the rows, such as how an annotation file is read; resuming compares it too.
    """

    name: str
    schema: pa.Schema
    items: Sequence[str]
    row: Callable[[str], Row]
    missing: Sequence[str] = ()
    shard_size: int | None = None
    variant: str = ""


def caption_rows(captions_of: Callable[[str], list[str]], split: str) -> Callable[[str], Row]:
    """The `row` function of a caption table whose items are image paths; `captions_of` is asked by file name."""

    def row(path: str) -> Row:
        name = os.path.basename(path)
        return Row((Path(path),), {"caption": captions_of(name), "image_id": name, "split": split})

    return row


def list_images(folders: Iterable[Path], suffix: str = "") -> list[str]:
    """Paths of the visible files directly in `folders` whose names end in `suffix`, each folder's sorted by name.

    Strings, because a `Path` takes several times the memory and there may be millions.

    Raises:
        PreparationError: a folder does not exist.
    """
    paths = []
    for folder in folders:
        if not folder.is_dir():
            raise PreparationError(f"{folder}: no such image folder; unpack the images there or correct --source")
        with os.scandir(folder) as entries:
            visible = (entry for entry in entries if entry.name.endswith(suffix) and not entry.name.startswith("."))
            paths += sorted(entry.path for entry in visible if entry.is_file())
    return paths


def image_number(path: str) -> int:
    """The number at the end of a file name, `12` of `COCO_val2014_000000000012.jpg`.

    Raises:
        PreparationError: there is none.
    """
    digits = os.path.splitext(os.path.basename(path))[0].rpartition("_")[2]
    if not digits.isdecimal():
        raise PreparationError(f"{path}: its name has no image number; remove the file if it is not of the data set")
    return int(digits)


def shuffled(items: Iterable[T], seed: int) -> list[T]:
    """The items in an order that depends on the seed alone."""
    result = list(items)
    random.Random(seed).shuffle(result)
    return result
