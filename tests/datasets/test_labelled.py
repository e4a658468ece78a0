"""CIFAR and GLUE: files of their authors and of the `datasets` library, pairs of sentences, and damaged files."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from transformers import PreTrainedTokenizerFast

from bridgetower.datasets import CifarDataset, Collator, GlueDataset
from bridgetower.inputs.tokenizer import BridgeTowerTokenizer
from bridgetower.preparation.train_tokenizer import train_tokenizer

DRAW = np.random.default_rng(0)
PICTURES = DRAW.integers(0, 256, (6, 3, 32, 32)).astype(np.uint8)
LABELS = [3, 9, 0, 1, 7, 2]
TRAINED = train_tokenizer(["the cat sat on a mat with two long hats and one short dog"] * 3, 300)
TOKENIZER = BridgeTowerTokenizer(TRAINED, "roberta")


def write_binary(folder: Path, name: str) -> None:
    """Six pictures in the files of both splits."""
    folder.mkdir(parents=True, exist_ok=True)
    prefix = [[label] if name == "cifar10" else [label // 5, label] for label in LABELS]
    rows = np.concatenate([np.array(prefix, np.uint8), PICTURES.reshape(6, -1)], axis=1)
    names = ([*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"] if name == "cifar10"
             else ["train.bin", "test.bin"])
    for file in names:
        rows.tofile(folder / file)


def write_parquet(folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    images = []
    for picture in PICTURES:
        stream = io.BytesIO()
        Image.fromarray(picture.transpose(1, 2, 0)).save(stream, "PNG")
        images.append({"bytes": stream.getvalue(), "path": None})
    table = pa.table({"img": images, "label" if name == "cifar10" else "fine_label": LABELS})
    for split in ("train", "test"):
        pq.write_table(table, folder / f"{split}-00000-of-00001.parquet")


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
@pytest.mark.parametrize("write", [write_binary, write_parquet])
def test_pictures_and_classes(tmp_path: Path, name: str, write: Any) -> None:
    write(tmp_path / name, name)
    dataset = CifarDataset(name, "val", tmp_path, image_size=64)
    assert (len(dataset), dataset.num_labels) == (6, int(name[5:]))
    assert [dataset[row].label for row in range(6)] == LABELS
    assert dataset[2].pixel_values.shape == (3, 64, 64)
    # Both kinds of files hold the same pixels: the mean survives resizing to a multiple of the size.
    mean, deviation = np.array([0.48145466, 0.4578275, 0.40821073]), np.array([0.26862954, 0.26130258, 0.27577711])
    found = dataset[2].pixel_values.mean((1, 2)) * deviation + mean
    np.testing.assert_allclose(found, PICTURES[2].mean((1, 2)) / 255, atol=0.01)
    assert len(CifarDataset(name, "train", tmp_path, 64, limit=4)) == 4


def test_cifar_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"cifar10 has no test split; put test.parquet"):
        CifarDataset("cifar10", "test", tmp_path, 32)
    with pytest.raises(KeyError, match="unknown data set 'cifar11'"):
        CifarDataset("cifar11", "test", tmp_path, 32)
    write_binary(tmp_path / "cifar10", "cifar10")
    with pytest.raises(ValueError, match="random"):
        CifarDataset("cifar10", "test", tmp_path, 32, "clip_randaug")
    (tmp_path / "cifar10" / "test_batch.bin").write_bytes(b"\x0b" * 3073)
    with pytest.raises(ValueError, match="labels from 11 to 11 are not the 10 classes"):
        CifarDataset("cifar10", "test", tmp_path, 32)
    (tmp_path / "cifar10" / "test_batch.bin").write_bytes(b"\x00" * 3000)
    with pytest.raises(ValueError, match="test_batch.bin has 3000 bytes, no multiple of 3073"):
        CifarDataset("cifar10", "test", tmp_path, 32)


def write_glue(folder: Path, split: str, kind: str, **columns: list) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.table({**columns, "idx": list(range(len(next(iter(columns.values())))))})
    if kind == "parquet":
        pq.write_table(table, folder / f"{split}-00000-of-00001.parquet")
    elif kind == "arrow":
        with pa.OSFile(str(folder / f"glue-{split}.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as out:
            out.write_table(table)
    else:
        (folder / f"{split}.jsonl").write_text("\n".join(json.dumps(row) for row in table.to_pylist()))


@pytest.mark.parametrize("kind", ["parquet", "arrow", "jsonl"])
def test_sentences_and_labels(tmp_path: Path, kind: str) -> None:
    write_glue(tmp_path / "glue" / "cola", "validation", kind, sentence=["the cat", "a mat on"], label=[1, 0])
    dataset = GlueDataset("cola", "val", tmp_path)
    assert [(dataset[row].text, dataset[row].label) for row in range(2)] == [("the cat", 1), ("a mat on", 0)]
    batch = Collator(TOKENIZER, 16)([dataset[0], dataset[1]])
    assert batch["labels"].dtype == np.int64 and batch["labels"].tolist() == [1, 0]
    assert "pixel_values" not in batch and dataset.record(1).text == "a mat on"


def test_numbers_pairs_and_parts(tmp_path: Path) -> None:
    write_glue(tmp_path / "glue" / "stsb", "train", "parquet", sentence1=["a", "b"], sentence2=["c", "d"],
               label=[2.5, 0.0])
    dataset = GlueDataset("stsb", "train", tmp_path)
    assert dataset[0].text == ("a", "c")
    assert Collator(TOKENIZER, 16)([dataset[0], dataset[1]])["labels"].tolist() == [2.5, 0.0]
    for part in ("matched", "mismatched"):
        write_glue(tmp_path / "glue" / "mnli", f"test_{part}", "parquet", premise=[part], hypothesis=["b"], label=[-1])
    dataset = GlueDataset("mnli", "test", tmp_path)
    assert dataset.table_names == ["mnli_test_matched", "mnli_test_mismatched"]
    assert [(dataset[row].text[0], dataset[row].table_index, dataset[row].label) for row in range(2)] == [
        ("matched", 0, None), ("mismatched", 1, None)]


def test_glue_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="did you mean 'cola'"):
        GlueDataset("colla", "train", tmp_path)
    with pytest.raises(FileNotFoundError, match="cola has no train split"):
        GlueDataset("cola", "train", tmp_path)
    folder = tmp_path / "glue" / "cola"
    write_glue(folder, "train", "parquet", text=["a"], label=[0])
    with pytest.raises(KeyError, match="has no column 'sentence'; its columns are text, label, idx"):
        GlueDataset("cola", "train", tmp_path)
    write_glue(folder, "train", "parquet", sentence=["a"], label=[2])
    with pytest.raises(ValueError, match="row 0: label 2 is none of the 2 classes"):
        GlueDataset("cola", "train", tmp_path)
    (folder / "train-00000-of-00001.parquet").write_bytes(b"PAR1 cut off")
    with pytest.raises(ValueError, match="cannot be read"):
        GlueDataset("cola", "train", tmp_path)


WORDS = st.lists(st.sampled_from("cat hats mat dog the long".split()), max_size=9).map(" ".join)


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=4), st.integers(6, 20))
def test_pairs_are_encoded_as_by_the_hugging_face_tokenizer(pairs: list[tuple[str, str]], limit: int) -> None:
    theirs = PreTrainedTokenizerFast(tokenizer_object=TRAINED)  # works on a copy
    expected = theirs([a for a, _ in pairs], [b for _, b in pairs], truncation="longest_first", max_length=limit)
    assert TOKENIZER.encode_texts(pairs, limit).ids == expected["input_ids"]


def test_pairs_need_room() -> None:
    with pytest.raises(ValueError, match="max_length=5 leaves no room for two texts; use 6 or more"):
        TOKENIZER.encode_texts([("a", "b")], 5)
