"""SNLI-VE: does a Flickr30k image entail, contradict or leave open a sentence?"""

from __future__ import annotations

from collections.abc import Iterator

from . import splits
from .annotation_shapes import FileName
from .json_stream import read_json_lines
from .karpathy import FLICKR30K, ROOT
from .schemas import SNLI_VE
from .tables import PreparationError, Row, Settings, Table

LABELS = {"contradiction": 0, "neutral": 1, "entailment": 2}
_LINE = {"Flickr30K_ID": FileName | int, "sentence1": str, "sentence2": str, "gold_label": str}


def tables(settings: Settings) -> Iterator[Table]:
    """`snli_{train,dev,test}`: one row per image, in the order of the first line about it."""
    for split in filter(settings.wants, splits.SNLI_VE):
        yield _table(settings, split)


def _table(settings: Settings, split: str) -> Table:
    images: dict[str, tuple[list[list[str]], list[int]]] = {}
    path = settings.find(*(f"{root}snli_ve/snli_ve_{split}.jsonl" for root in (f"{ROOT}/", "")))
    for where, entry in read_json_lines(path, _LINE):
        if entry["gold_label"] not in LABELS:
            raise PreparationError(f"{where}: label {entry['gold_label']!r} is none of {', '.join(LABELS)}")
        sentences, labels = images.setdefault(str(entry["Flickr30K_ID"]), ([], []))
        sentences.append([entry["sentence1"], entry["sentence2"]])
        labels.append(LABELS[entry["gold_label"]])
    (name,) = FLICKR30K.folders
    folder = settings.find(f"{ROOT}/{name}", name)

    def row(image_id: str) -> Row:
        sentences, labels = images[image_id]
        return Row((folder / f"{image_id}.jpg",), {"sentences": sentences, "labels": labels})

    return Table(f"snli_{split}", SNLI_VE, list(images), row)
