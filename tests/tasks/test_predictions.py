"""Prediction files: whole or not at all, each question once."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bridgetower.datasets import AnswerVocabulary
from bridgetower.tasks.predictions import (
    PredictionSource,
    write_class_predictions,
    write_vqa_submission,
)


def test_vqa_submission(tmp_path: Path) -> None:
    columns = {"question_id": np.array([7, 3, 7]), "answer_id": np.array([0, 1, 0])}
    source = PredictionSource(SimpleNamespace(), AnswerVocabulary({0: "Größe", 2: "x"}))  # type: ignore[arg-type]
    write_vqa_submission(tmp_path / "new" / "vqa.json", columns, source)
    assert json.loads((tmp_path / "new" / "vqa.json").read_text(encoding="utf-8")) == [
        {"question_id": 3, "answer": "unknown"}, {"question_id": 7, "answer": "Größe"}]


def test_columns_of_unequal_length_are_refused(tmp_path: Path) -> None:
    columns = {"question_id": np.array([7, 3]), "answer_id": np.array([0])}
    source = PredictionSource(SimpleNamespace(), AnswerVocabulary({0: "a"}))  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        write_vqa_submission(tmp_path / "vqa.json", columns, source)
    assert not list(tmp_path.iterdir())


def test_the_evaluation_script_of_nlvr2_can_read_its_predictions(tmp_path: Path, caplog: pytest.LogCaptureFixture
                                                                 ) -> None:
    """It splits each line at its commas and takes the first two columns."""
    texts = ["one, two", "is \"it\"", "no"]
    records = [SimpleNamespace(identifier=f"dev-7-{row}-1", table_name="nlvr2_dev", row=row, text=text)
               for row, text in enumerate(texts)]
    columns = {"sample_index": np.array([2, 0, 1, 0]),
               "scores": np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.2, 0.8]], np.float32)}
    source = PredictionSource(SimpleNamespace(record=records.__getitem__))
    write_class_predictions(tmp_path / "nlvr2.csv", columns, source, ("False", "True"))
    lines = (tmp_path / "nlvr2.csv").read_text().splitlines()
    assert dict(line.split(",")[:2] for line in lines[1:]) == {  # type: ignore[misc]
        "dev-7-0-1": "True", "dev-7-1-1": "True", "dev-7-2-1": "False"}
    assert len(lines) == 4 and [row[4] for row in csv.reader(lines)] == ["text", *texts] and not caplog.records
