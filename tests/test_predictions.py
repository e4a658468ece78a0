"""Prediction files: whole or not at all, each question once."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bridgetower.datasets import AnswerVocabulary
from bridgetower.predictions import PredictionSource, write_text_safely, write_vqa_submission


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


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    write_text_safely(tmp_path / "a.txt", "old")
    with pytest.raises(UnicodeEncodeError):
        write_text_safely(tmp_path / "a.txt", "half \ud800")
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"] and (tmp_path / "a.txt").read_text() == "old"
