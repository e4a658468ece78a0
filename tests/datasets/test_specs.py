"""Data sets by key: the published ones, and own tables that a file describes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bridgetower.datasets import DATASETS, build_dataset
from bridgetower.datasets.description import FORMAT
from bridgetower.datasets.image_text import DatasetOptions
from bridgetower.datasets.specs import dataset_spec


def describe(folder: Path, **changes: Any) -> None:
    description = {"format": FORMAT, "name": "mine", "kind": "classify", "modality": "image+text",
                   "classes": ["a", "b"],
                   "tables": {"train": "mine_train", "val": "mine_val"}}
    (folder / "mine.json").write_text(json.dumps(description | changes))


@pytest.mark.parametrize("key", DATASETS)
def test_published_data_sets_need_no_folder(key: str, tmp_path: Path) -> None:
    assert dataset_spec(key) is dataset_spec(key, tmp_path) is DATASETS[key]


def test_own_tables(tmp_path: Path) -> None:
    describe(tmp_path)
    spec = dataset_spec("mine", tmp_path)
    assert (spec.tables("train"), spec.tables("val"), spec.tables("test")) == (
        ("mine_train",), ("mine_val",), ("mine_val",))
    assert spec.shards and spec.text_column == "sentences" and spec.image_columns == ("image",)
    describe(tmp_path, tables={"test": "mine_test"})
    spec = dataset_spec("mine", str(tmp_path))
    assert (spec.tables("train"), spec.tables("val"), spec.tables("test")) == ((), (), ("mine_test",))


@pytest.mark.parametrize(
    ("kind", "classes", "expected"),
    [
        ("classify", ["x", "y", "z"], {0: 0, 1: 1, 2: 2}),
        ("pair_classify", ["x", "y"], {"x": 0, "y": 1}),
        ("caption", [], {}),
        ("vqa", [], {}),
    ],
)
def test_ids_of_classes(tmp_path: Path, kind: str, classes: list[str], expected: dict[Any, int]) -> None:
    describe(tmp_path, kind=kind, classes=classes)
    assert dataset_spec("mine", tmp_path).label_ids == expected


def test_ids_of_published_classes() -> None:
    assert DATASETS["snli"].label_ids == {0: 0, 1: 1, 2: 2} and DATASETS["nlvr2"].label_ids == {"False": 0, "True": 1}
    assert DATASETS["coco"].label_ids == DATASETS["vqa"].label_ids == {}


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"format": "other"}'])
def test_a_damaged_description(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.json").write_text(text)
    with pytest.raises(ValueError, match=r"mine\.json"):
        dataset_spec("mine", tmp_path)


def test_unknown_data_sets(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="unknown data set 'f30'; did you mean 'f30k'") as error:
        dataset_spec("f30")
    assert "own data needs" not in str(error.value)
    with pytest.raises(KeyError, match="own data needs .*f30.json"):
        dataset_spec("f30", tmp_path)


def test_own_tables_of_another_class_are_refused(captions: Any, write: Any, picture: Any, tmp_path: Path) -> None:
    describe(tmp_path)
    for number in range(2):
        write(f"mine_train_{number}", {"image": [picture(number)], "sentences": [[["", f"text {number}"]]],
                                       "labels": [[number * 2]]})
    dataset = build_dataset(["mine"], "train", tmp_path, DatasetOptions(image_size=32, transform="clip"))
    assert dataset.table_names == ["mine_train", "mine_train"] and dataset[0].label == 0
    with pytest.raises(ValueError, match=r"mine_train_1\.arrow row 0: labels\[0\] is 2, expected one of \[0, 1\]"):
        dataset[1]
