"""The data sets by key: which arrow tables make up each split, and how their rows are to be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..known import nearest

__all__ = ["DATASETS", "DatasetSpec", "Split", "dataset_spec"]

Split = Literal["train", "val", "test"]
Kind = Literal["caption", "vqa", "nlvr2", "snli"]


@dataclass(frozen=True)
class DatasetSpec:
    """One data set.

    Attributes:
        key: its name in configurations.
        kind: what its rows hold.
        train, val, test: the tables of each split. The published numbers select models on the test split.
        clean_train, clean_val: the tables when validation must be disjoint from training and test.
        shards: read all numbered files of which `train` names the common prefix.
    """

    key: str
    kind: Kind
    train: tuple[str, ...]
    val: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    clean_train: tuple[str, ...] | None = None
    clean_val: tuple[str, ...] | None = None
    shards: bool = False

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
        return {"caption": "caption", "vqa": "questions", "nlvr2": "questions", "snli": "sentences"}[self.kind]

    @property
    def image_columns(self) -> tuple[str, ...]:
        """The columns that hold the encoded images."""
        return ("image_0", "image_1") if self.kind == "nlvr2" else ("image",)


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
    )
}


def dataset_spec(key: str) -> DatasetSpec:
    """Look up a data set.

    Raises:
        KeyError: an unknown key, with the nearest known one.
    """
    if key not in DATASETS:
        raise KeyError(f"unknown data set {key!r}{nearest(key, DATASETS, cutoff=0.0)} Known: {', '.join(DATASETS)}")
    return DATASETS[key]
