"""The data sets by key: which arrow tables make up each split, and how their rows are to be read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..known import nearest
from ..picture_files.picture_reading import PictureReading
from .description import described_reading, description_path, is_described, read_description
from .shard_paths import is_shard_pattern

__all__ = ["DATASETS", "DatasetSpec", "Split", "dataset_spec"]

Split = Literal["train", "val", "test"]
Kind = Literal["caption", "vqa", "nlvr2", "snli", "classify", "pair_classify"]
Modality = Literal["image+text", "image", "text"]

_TEXT_COLUMNS: dict[str, str] = {
    "caption": "caption", "vqa": "questions", "nlvr2": "questions", "snli": "sentences", "classify": "sentences",
    "pair_classify": "questions",
}
_CLASSES: dict[str, tuple[str, ...]] = {
    "snli": ("contradiction", "neutral", "entailment"), "nlvr2": ("False", "True"),
}


@dataclass(frozen=True)
class DatasetSpec:
    """One data set.

    Attributes:
        key: its name in configurations.
        kind: what its rows hold.
        train, val, test: the tables of each split. The published numbers select models on the test split.
        clean_train, clean_val: the tables when validation must be disjoint from training and test.
        shards: read all numbered files of which `train` names the common prefix.
        classes: names of the classes by id, where the kind does not say them.
        modality: what a sample of tables with classes consists of.
        reading: how pictures are read unless a run says otherwise.
    """

    key: str
    kind: Kind
    train: tuple[str, ...]
    val: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    clean_train: tuple[str, ...] | None = None
    clean_val: tuple[str, ...] | None = None
    shards: bool = False
    classes: tuple[str, ...] = ()
    modality: Modality = "image+text"
    reading: PictureReading = PictureReading()

    def tables(self, split: Split, clean_splits: bool = False) -> tuple[str, ...]:
        """The names of the tables of a split, in order."""
        if split not in ("train", "val", "test"):
            raise ValueError(f"split={split!r} is unknown; use 'train', 'val' or 'test'")
        if clean_splits and split == "train" and self.clean_train is not None:
            return self.clean_train
        if clean_splits and split == "val" and self.clean_val is not None:
            return self.clean_val
        return {"train": self.train, "val": self.val, "test": self.test}[split]

    @property
    def text_column(self) -> str:
        """The list column that holds the texts."""
        return _TEXT_COLUMNS[self.kind]

    @property
    def image_columns(self) -> tuple[str, ...]:
        """The columns that hold the encoded images."""
        return ("image_0", "image_1") if self.holds_pairs else ("image",)

    @property
    def holds_pairs(self) -> bool:
        """Whether a row holds two pictures."""
        return self.kind in ("nlvr2", "pair_classify")

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes by id; empty for data sets without classes."""
        return self.classes or _CLASSES.get(self.kind, ())

    @property
    def label_ids(self) -> dict[Any, int]:
        """The id of each class, by what the tables hold of it: its name for pairs of pictures, else the id itself."""
        return {name if self.holds_pairs else index: index for index, name in enumerate(self.class_names)}


def _karpathy(key: str, train: tuple[str, ...], clean_train: tuple[str, ...] | None = None) -> DatasetSpec:
    """Captions in the Karpathy split; validation reads the test images unless `clean_splits` is set."""
    prefix = f"{key}_caption_karpathy"

    def names(splits: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f"{prefix}_{split}" for split in splits)

    return DatasetSpec(key, "caption", names(train), names(("test",)), names(("test",)),
                       None if clean_train is None else names(clean_train), names(("val",)))


DATASETS: dict[str, DatasetSpec] = {
    spec.key: spec
    for spec in (
        _karpathy("coco", ("train", "restval")),
        _karpathy("f30k", ("train", "val"), clean_train=("train",)),
        DatasetSpec("gcc", "caption", ("conceptual_caption_train",), shards=True),
        DatasetSpec("cc12m", "caption", ("cc12m",), shards=True),
        DatasetSpec("sbu", "caption", ("sbu",), shards=True),
        DatasetSpec("vg", "caption", ("vg",)),
        DatasetSpec(
            "vqa", "vqa", ("vqav2_train_fix", "vqav2_val_fix"), ("vqav2_val_fix",), ("vqav2_test",),
            clean_train=("vqav2_train_fix", "vqav2_trainable_val_fix"), clean_val=("vqav2_rest_val_fix",),
        ),
        DatasetSpec("nlvr2", "nlvr2", ("nlvr2_train",), ("nlvr2_dev", "nlvr2_test1"), ("nlvr2_dev", "nlvr2_test1")),
        DatasetSpec("snli", "snli", ("snli_train",), ("snli_dev", "snli_test"), ("snli_dev", "snli_test")),
        DatasetSpec("easy_vqa", "vqa", ("easy_vqa_train",), ("easy_vqa_test",), ("easy_vqa_test",)),
        DatasetSpec("easy_vqa_caption", "caption", ("easy_vqa_caption_train",), ("easy_vqa_caption_test",),
                    ("easy_vqa_caption_test",)),
        DatasetSpec("easy_vqa_shape", "classify", ("easy_vqa_shape_train",), ("easy_vqa_shape_test",),
                    ("easy_vqa_shape_test",), classes=("circle", "rectangle", "triangle"), modality="image"),
    )
}


def dataset_spec(key: str, data_root: str | os.PathLike[str] | None = None) -> DatasetSpec:
    """Look up a data set: a published one, a user's own that `KEY.json` in `data_root` describes, or tar shards.

    Raises:
        KeyError: an unknown key, with the nearest known one.
        ValueError: `KEY.json` is damaged or something else.
    """
    if key in DATASETS:
        return DATASETS[key]
    if is_shard_pattern(key):
        return DatasetSpec(key, "caption", (key,))
    root = None if data_root is None else Path(data_root).expanduser()
    if root is not None and is_described(root, key):
        return _own_spec(read_description(root, key))
    place = "" if root is None else f"; own data needs {description_path(root, key)}"
    known = ", ".join(DATASETS)
    raise KeyError(f"unknown data set {key!r}{nearest(key, DATASETS, cutoff=0.0)} Known: {known}{place}")


def _own_spec(description: Mapping[str, Any]) -> DatasetSpec:
    """Own tables; without a test split, validation serves as one."""
    tables = {split: (name,) for split, name in description["tables"].items()}
    val = tables.get("val", ())
    return DatasetSpec(
        description["name"], description["kind"], tables.get("train", ()), val, tables.get("test", val), shards=True,
        classes=tuple(description["classes"]), modality=description["modality"],
        reading=PictureReading(**described_reading(description)),
    )
