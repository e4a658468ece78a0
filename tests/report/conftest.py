"""A small arrow file in the VQAv2 layout, and submissions for it."""

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

from bridgetower.datasets.arrow import ArrowTable
from bridgetower.preparation import arrow_file
from bridgetower.preparation.schemas import VQA

#: A question: its text, and the score of each of its answers.
Question = tuple[str, dict[str, float]]


def _png(color: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), color).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def make_table(tmp_path: Path) -> Callable[..., ArrowTable]:
    """Writes `data.arrow` with one row per list of questions; question ids count from 100."""

    def make(rows: Sequence[Sequence[Question]], **replaced: list[Any]) -> ArrowTable:
        ids = iter(range(100, 10_000))
        columns: dict[str, list[Any]] = {
            "image": [
                _png(color) for color, _ in zip(["red", "green", "blue", "teal"] * len(rows), rows, strict=False)
            ],
            "questions": [[text for text, _ in row] for row in rows],
            "answers": [[list(answers) for _, answers in row] for row in rows],
            "answer_labels": [[list(range(len(answers))) for _, answers in row] for row in rows],
            "answer_scores": [[list(answers.values()) for _, answers in row] for row in rows],
            "image_id": list(range(len(rows))),
            "question_id": [[next(ids) for _ in row] for row in rows],
            "split": ["test"] * len(rows),
        }
        path = tmp_path / "data.arrow"
        with arrow_file(path, VQA) as writer:
            writer.write_table(pa.table({**columns, **replaced}, schema=VQA))
        return ArrowTable(path)

    return make


@pytest.fixture
def submit(tmp_path: Path) -> Callable[[dict[int, str]], Path]:
    """Writes a submission file from answers by question id."""

    def write(answers: dict[int, str]) -> Path:
        path = tmp_path / "predictions.json"
        path.write_text(json.dumps([{"question_id": number, "answer": answer} for number, answer in answers.items()]))
        return path

    return write


@pytest.fixture
def shapes(make_table: Callable[..., ArrowTable]) -> ArrowTable:
    """Three images of easy-VQA with four questions, 100 to 103."""
    return make_table(
        [
            [("what color is the circle?", {"red": 1.0}), ("is there a triangle?", {"no": 1.0})],
            [("what shape is present?", {"rectangle": 1.0})],
            [("is there a triangle?", {"yes": 1.0})],
        ]
    )
