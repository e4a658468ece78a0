"""Small arrow files of every family, with pictures that can be told apart."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from bridgetower.inputs.tokenizer import BridgeTowerTokenizer
from bridgetower.preparation.train_tokenizer import train_tokenizer

Write = Callable[..., Path]
TEXTS = ["a red car on a road", "two dogs and a cat", "what color is the car?", "how many dogs are there?"]


def encoded_picture(number: int, size: tuple[int, int] = (8, 8), form: str = "PNG") -> bytes:
    """A picture of one grey value, 20 + number."""
    stream = io.BytesIO()
    Image.new("RGB", size, (20 + number,) * 3).save(stream, form)
    return stream.getvalue()


@pytest.fixture
def picture() -> Callable[..., bytes]:
    return encoded_picture


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """write(name, columns, chunk=2): an Arrow IPC file in tmp_path, `chunk` rows per record batch."""

    def save(name: str, columns: dict[str, Any] | pa.Table, chunk: int = 2) -> Path:
        table = columns if isinstance(columns, pa.Table) else pa.table(columns)
        path = tmp_path / f"{name}.arrow"
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=chunk)
        return path

    return save


@pytest.fixture
def captions(write: Write) -> Write:
    """captions(name, lists, first=0): a caption table with one picture per list."""

    def save(name: str, lists: list[list[str] | None], first: int = 0) -> Path:
        rows = range(first, first + len(lists))
        texts = pa.array(lists, pa.list_(pa.string()))
        return write(name, {"image": [encoded_picture(n) for n in rows], "caption": texts,
                            "image_id": [f"image{n}" for n in rows], "split": ["train"] * len(lists)})

    return save


@pytest.fixture
def questions(write: Write) -> Write:
    """questions(name, per_image=2, images=3, test=False, first=0): a table in the VQAv2 schema.

    Question n has id 100 + n, and the answers 0 ("yes", score 1.0) and n % 3 ("answer<n % 3>", 0.3) where they differ.
    """

    def save(name: str, per_image: int = 2, images: int = 3, test: bool = False, first: int = 0) -> Path:
        numbers = [[first + row * per_image + k for k in range(per_image)] for row in range(images)]
        labels = [[[0, n % 3] if n % 3 else [0] for n in row] for row in numbers]
        return write(name, {
            "image": [encoded_picture(row) for row in range(images)],
            "questions": [[f"what is {n}?" for n in row] for row in numbers],
            "answers": [[]] * images if test else
            [[["yes", *(f"answer{k}" for k in ids[1:])] for ids in row] for row in labels],
            "answer_labels": [[]] * images if test else labels,
            "answer_scores": [[]] * images if test else [[[1.0, 0.3][: len(ids)] for ids in row] for row in labels],
            "image_id": list(range(images)),
            "question_id": [[100 + n for n in row] for row in numbers],
            "split": ["train"] * images,
        })

    return save


@pytest.fixture(scope="session")
def tokenizer() -> BridgeTowerTokenizer:
    return BridgeTowerTokenizer(train_tokenizer(TEXTS * 5, 300), "roberta")


def grey(pixel_values: np.ndarray) -> np.ndarray:
    """The numbers of the pictures in (..., 3, S, S) arrays of the `clip` transform."""
    values = pixel_values[..., 0, 4, 4] * 0.26862954 + 0.48145466
    return np.rint(values * 255 - 20).astype(int)


@pytest.fixture
def numbers() -> Callable[[np.ndarray], np.ndarray]:
    return grey
