"""Which files a source stands for, and their splits."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from datasets import Dataset, DatasetDict

from bridgetower.preparation import PreparationError
from bridgetower.preparation.own_data.locations import find_sources, split_of_name
from tests.preparation.own_data.pictures import picture, values, write_csv, write_pictures, write_tar


def found(*sources: object) -> list[tuple[str, str | None]]:
    return [(file.path.name, file.split) for file in find_sources(map(str, sources))]


@pytest.mark.parametrize(
    ("name", "split"),
    [("train-00000-of-00002", "train"), ("my_validation", "val"), ("dev", "val"), ("test.v2", "test"), ("mine", None),
     ("trainer", None), ("train_test", None)],
)
def test_splits_of_names(name: str, split: str | None) -> None:
    assert split_of_name(name) == split


def test_tables_of_a_folder(tmp_path: Path) -> None:
    for name in ("train-00000-of-00002.csv", "train-00001-of-00002.csv", "test.csv"):
        write_csv(tmp_path / "data" / name, ["a"], [[1]])
    (tmp_path / "data/dataset_info.json").write_text("{}")
    expected = [("test.csv", "test"), ("train-00000-of-00002.csv", "train"), ("train-00001-of-00002.csv", "train")]
    assert found(tmp_path) == found(tmp_path / "data") == found(tmp_path / "data/*.csv") == expected


def test_splits_as_folders(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        write_csv(tmp_path / split / "metadata.csv", ["file_name", "text"], [["a.png", "x"]])
        write_csv(tmp_path / split / "other.csv", ["a"], [[1]])
    assert found(tmp_path) == [("metadata.csv", "train"), ("metadata.csv", "val")]


@pytest.mark.parametrize("splits", [(), ("train", "val")])
def test_a_folder_per_class(tmp_path: Path, splits: tuple[str, ...]) -> None:
    for split in splits or ("",):
        for label in ("cat", "dog"):
            write_pictures(tmp_path / split / label, 2)
    files = find_sources([str(tmp_path)])
    assert [file.split for file in files] == list(splits or (None,))
    for file in files:
        labels = [(Path(row["file_name"]).name, row["label"]) for row in values(file.records(False))]
        assert labels == [("0.png", "cat"), ("1.png", "cat"), ("0.png", "dog"), ("1.png", "dog")]


def test_a_class_may_be_called_like_a_split(tmp_path: Path) -> None:
    for label in ("bus", "train"):
        write_pictures(tmp_path / label, 1)
    assert found(tmp_path) == [(tmp_path.name, None)]


def test_pictures_beside_the_folders_of_classes_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for folder in (tmp_path, tmp_path / "cat", tmp_path / "dog"):
        write_pictures(folder, 2)
    find_sources([str(tmp_path)])
    assert "left out, 2 pictures in no folder of a class" in caplog.text and "0.png" in caplog.text


def test_what_the_datasets_library_keeps_beside_a_saved_table_is_not_read(tmp_path: Path) -> None:
    table = pa.table({"text": ["x"], "label": [0]})
    for name in ("data-00000-of-00001.arrow", "cache-0123456789abcdef.arrow"):
        with pa.ipc.new_stream(str(tmp_path / name), table.schema) as writer:
            writer.write_table(table)
    assert len(found(tmp_path)) == 2
    (tmp_path / "state.json").write_text("{}")
    assert found(tmp_path) == [("data-00000-of-00001.arrow", None)]


def test_ranges_of_shards(tmp_path: Path) -> None:
    for number in range(8, 12):
        write_tar(tmp_path / f"{number:05}.tar", [("1.png", picture(1)), ("1.txt", b"x")])
    assert [name for name, _ in found(tmp_path / "{00009..00011}.tar")] == ["00009.tar", "00010.tar", "00011.tar"]
    assert len(found(tmp_path)) == len(found(tmp_path / "*.tar")) == 4


@pytest.mark.parametrize(
    ("names", "source", "message"),
    [
        (["train-00000-of-00002.csv"], "train-00000-of-00002.csv", "train has 2 parts, but number 1 is missing"),
        (["train-00000-of-00002-0123456789abcdef.csv"], ".", "train has 2 parts, but number 1 is missing"),
        (["metadata.csv", "metadata.jsonl"], ".", "metadata.jsonl: metadata.csv has the same name; keep one"),
        (["train/x.csv", "val/x.csv", "junk/x.csv"], ".", "folders of splits (train, val) and others (junk)"),
        (["a.csv"], "b.csv", "b.csv: no such file or folder"),
        (["a.csv"], "{0..1}.tar", "0.tar: no such file or folder"),
        (["a.xlsx"], "a.xlsx", "format '.xlsx' is not read; use .csv"),
        ([], ".", "one folder per class"),
    ],
)
def test_what_cannot_be_found(tmp_path: Path, names: list[str], source: str, message: str) -> None:
    for name in names:
        write_csv(tmp_path / name, ["a"], [[1]])
    with pytest.raises(PreparationError) as error:
        find_sources([str(tmp_path / source)])
    assert message in str(error.value)


@pytest.mark.parametrize("gone", ["test", "train/data-00001-of-00002.arrow"])
def test_a_saved_dataset_is_whole(tmp_path: Path, gone: str) -> None:
    rows = {"image": ["a.png", "b.png"], "text": ["a", "b"]}
    dataset = Dataset.from_dict(rows)
    DatasetDict(train=dataset, test=dataset).save_to_disk(tmp_path / "saved", num_shards={"train": 2, "test": 1})
    assert [file.split for file in find_sources([str(tmp_path / "saved")])] == ["test", "train", "train"]
    lost = tmp_path / "saved" / gone
    lost.rename(tmp_path / "elsewhere")
    with pytest.raises(PreparationError, match=f"{lost.name} is missing"):
        find_sources([str(tmp_path / "saved")])
