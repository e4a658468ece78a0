"""NLVR2: is a sentence true of a pair of images?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from . import splits
from .annotation_shapes import FileName, problem_of
from .json_stream import Unique, read_json_lines
from .schemas import NLVR2_WITH_SENTENCES
from .tables import PreparationError, Row, Settings, Table

_ANNOTATIONS = {
    "train": "train",
    "dev": "dev",
    "test1": "test1",
    "balanced_dev": "balanced/balanced_dev",
    "balanced_test1": "balanced/balanced_test1",
    "unbalanced_dev": "unbalanced/unbalanced_dev",
    "unbalanced_test1": "unbalanced/unbalanced_test1",
}
_LINE = {"identifier": FileName, "sentence": str, "label": str}


@dataclass
class _Pair:
    """An image pair: where its files are, and its sentences with their names and labels."""

    stem: Path
    identifiers: list[str] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)


def tables(settings: Settings) -> Iterator[Table]:
    """`nlvr2_*`: one row per image pair, in the order of the first line about it."""
    for split in filter(settings.wants, splits.NLVR2):
        yield _table(settings, split)


def _table(settings: Settings, split: str) -> Table:
    annotations = f"nlvr2/data/{_ANNOTATIONS[split]}.json"
    root = settings.find(f"nlvr/{annotations}", annotations)
    images = root.parents[annotations.count("/")]
    pairs: dict[str, _Pair] = {}
    unique = Unique(root, "identifier")
    for where, entry in read_json_lines(root, _LINE):
        unique.take(entry["identifier"], where)
        if entry["label"] not in ("True", "False"):
            raise PreparationError(f"{where}: label {entry['label']!r} is neither True nor False")
        key = entry["identifier"].rpartition("-")[0]
        if not key:
            raise PreparationError(f"{where}: identifier {entry['identifier']!r:.60} is not PAIR-NUMBER; repair it")
        if key not in pairs:
            if split == "train" and "directory" not in entry:
                raise PreparationError(f"{where}: no directory, which a training line must have")
            if split == "train" and (problem := problem_of(entry, {"directory": FileName | int})):
                raise PreparationError(f"{where}{problem}")
            folder = f"images/train/{entry['directory']}" if split == "train" else key.partition("-")[0]
            pairs[key] = _Pair(images / folder / key)
        pairs[key].identifiers.append(entry["identifier"])
        pairs[key].sentences.append(entry["sentence"])
        pairs[key].labels.append(entry["label"])

    def row(key: str) -> Row:
        pair = pairs[key]
        files = tuple(pair.stem.with_name(f"{key}-img{number}.png") for number in (0, 1))
        texts = {"questions": pair.sentences, "answers": pair.labels, "identifiers": pair.identifiers}
        return Row(files, {**texts, "identifier": key})

    return Table(f"nlvr2_{split}", NLVR2_WITH_SENTENCES, list(pairs), row)
