"""Finds the files of a source: tables, an image folder, or tar shards, and the split that each belongs to."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ...datasets.shard_paths import expand_paths
from ..annotation_shapes import FileName
from ..json_stream import read_json
from ..tables import PreparationError
from .records import TEXT_FORMATS, Record, class_names, read_columns, read_records
from .shards import read_shard, shard_columns

logger = logging.getLogger(__name__)

SPLITS = ("train", "val", "test")
#: What splits are called in folders, files and columns.
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_TABLES = (*TEXT_FORMATS, ".parquet", ".arrow")
#: JSON files that the `datasets` library writes beside its tables.
_BOOKKEEPING = ("dataset_info.json", "dataset_dict.json", "state.json", "dataset_infos.json")
#: Also with the check sum that the `datasets` library appended for a time.
_PART = re.compile(r"(?P<stem>.*)-(?P<number>\d+)-of-(?P<total>\d+)(-[0-9a-f]{16})?")
_STATE = {"_data_files": [{"filename": FileName}]}
_MAX_NAMED = 10


@dataclass(frozen=True)
class SourceFile:
    """A file with rows, or an image folder.

    Attributes:
        path: the file or folder.
        columns: its columns.
        records: reads its rows, without the bytes of embedded pictures if the argument is true.
        split: the split that its name says; None if it says none.
        names_of: the names of the numbered classes of a column, where the file holds them.
    """

    path: Path
    columns: list[str]
    records: Callable[[bool], Iterator[Record]]
    split: str | None = None
    names_of: Callable[[str], list[str] | None] = lambda column: None


def find_sources(sources: Iterable[str]) -> list[SourceFile]:
    """The files that some paths, globs or ranges such as `{000..331}.tar` stand for, in order.

    Raises:
        PreparationError: there is none, it cannot be read, or a part of a split is missing.
    """
    files: list[SourceFile] = []
    for path in (path for source in sources for path in _expand(source)):
        files += _folder(path) if path.is_dir() else [_file(path)]
    _check_parts([file.path for file in files])
    return files


def _expand(source: str) -> list[Path]:
    paths = expand_paths(source)
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        more = f" (and {len(missing) - 1} more: {', '.join(missing[1:_MAX_NAMED])})" if len(missing) > 1 else ""
        raise PreparationError(f"{missing[0]}: no such file or folder{more}; check --source")
    if not paths:
        raise PreparationError(f"{source}: its range is empty; write the smaller number first")
    return paths


def _file(path: Path, split: str | None = None) -> SourceFile:
    split = split or split_of_name(path.stem)
    if path.suffix.lower() == ".tar":
        return SourceFile(path, shard_columns(path), partial(read_shard, path), split)
    if path.suffix.lower() not in _TABLES:
        raise PreparationError(f"{path}: format {path.suffix!r} is not read; use {', '.join(_TABLES)} or .tar")
    return SourceFile(path, read_columns(path), partial(read_records, path), split, partial(class_names, path))


def split_of_name(name: str) -> str | None:
    """The split that a name of a file speaks of, if it speaks of one only: `train` of `train-00000-of-00002`."""
    found = {SPLIT_NAMES[word] for word in re.split(r"[^a-z]+", name.lower()) if word in SPLIT_NAMES}
    return found.pop() if len(found) == 1 else None


def _folder(folder: Path, split: str | None = None) -> list[SourceFile]:
    """The files of a folder: its metadata file, else its tables, else its shards, else its pictures by class."""
    visible = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    _check_saved(folder)
    tables = [path for path in visible if path.suffix.lower() in _TABLES and path.name not in _BOOKKEEPING]
    if (folder / "state.json").is_file():  # the `datasets` library also keeps results of its own beside a saved table
        tables = [path for path in tables if not path.name.startswith("cache-")]
    metadata = [path for path in tables if path.stem == "metadata"]
    found = metadata or tables or [path for path in visible if path.suffix.lower() == ".tar"]
    if found:
        _refuse_twins(found)
        return [_file(path, split) for path in found]
    folders = [path for path in visible if path.is_dir()]
    parts = {path: SPLIT_NAMES.get(path.name.lower()) for path in folders}
    splits = {part for part in parts.values() if part}
    if split is None and len(splits) > 1 and not all(parts.values()):
        others = ", ".join(path.name for path, part in parts.items() if not part)
        raise PreparationError(
            f"{folder}: has folders of splits ({', '.join(sorted(splits))}) and others ({others}), which would make "
            "the splits classes; move the others away, or name the splits as --source one by one"
        )
    if folders and split is None and all(parts.values()):
        return [file for path, part in parts.items() for file in _folder(path, part)]
    if len(folders) == 1 and folders[0].name == "data":
        return _folder(folders[0], split)
    return [_image_folder(folder, folders, split)]


def _check_saved(folder: Path) -> None:
    """Refuse a folder that the `datasets` library saved and that lacks a split or a part which its own files list."""
    listed: list[str] = []
    if (folder / "dataset_dict.json").is_file():
        listed = read_json(folder / "dataset_dict.json", {"splits": [FileName]})["splits"]
    state = read_json(folder / "state.json") if (folder / "state.json").is_file() else None
    if isinstance(state, dict) and "_data_files" in state:
        listed += [part["filename"] for part in read_json(folder / "state.json", _STATE)["_data_files"]]
    missing = [name for name in listed if not (folder / name).exists()]
    if missing:
        raise PreparationError(
            f"{folder}: {', '.join(missing[:_MAX_NAMED])} is missing, which the `datasets` library saved there; copy "
            "it too, or name what is there as --source one by one"
        )


def _refuse_twins(paths: Sequence[Path]) -> None:
    """Refuse one table in two formats, whose rows would be there twice."""
    seen: dict[str, Path] = {}
    for path in paths:
        twin = seen.setdefault(path.stem, path)
        if twin != path:
            raise PreparationError(f"{path}: {twin.name} has the same name; keep one, or give both as --source")


def _image_folder(folder: Path, classes: Sequence[Path], split: str | None) -> SourceFile:
    def records(without_bytes: bool) -> Iterator[Record]:
        for each in classes:
            for path in sorted(_pictures(each)):
                yield Record(path, {"file_name": path, "label": each.name})

    loose = [path for path in sorted(folder.iterdir()) if path.name.lower().endswith(IMAGE_SUFFIXES)]
    if classes and loose:
        logger.warning(
            "left out, %d pictures in no folder of a class, such as %s; move them into one", len(loose), loose[0]
        )
    if next(records(True), None) is None:
        raise PreparationError(
            f"{folder}: no table, no .tar shard and no folder of pictures per class in it; give a metadata.csv with "
            "the columns file_name and text, or one folder per class"
        )
    return SourceFile(folder, ["file_name", "label"], records, split)


def _pictures(folder: Path) -> Iterator[str]:
    for root, _, names in os.walk(folder):
        yield from (os.path.join(root, name) for name in names if name.lower().endswith(IMAGE_SUFFIXES))


def _check_parts(paths: Sequence[Path]) -> None:
    """Refuse numbered parts, `train-00000-of-00002`, of which some are missing."""
    parts: dict[tuple[Path, str, int], set[int]] = {}
    for path in paths:
        part = _PART.fullmatch(path.stem)
        if part:
            parts.setdefault((path.parent, part["stem"], int(part["total"])), set()).add(int(part["number"]))
    for (folder, stem, total), numbers in parts.items():
        missing = sorted(set(range(total)) - numbers)
        if missing and total > max(numbers):
            raise PreparationError(
                f"{folder}: {stem} has {total} parts, but number {', '.join(map(str, missing[:10]))} is missing; add "
                "it, or rename the others to use them alone"
            )
