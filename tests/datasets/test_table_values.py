"""What a table may hold: types of columns, answers, scores and identifiers of questions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bridgetower.datasets import AnswerVocabulary
from bridgetower.datasets.arrow import ArrowTable
from bridgetower.datasets.specs import DATASETS
from bridgetower.datasets.table_values import check_answer_labels, check_values
from tests.datasets.conftest import Write, encoded_picture

GOOD: dict[str, Any] = {
    "image": [encoded_picture(0), encoded_picture(1), encoded_picture(2)],
    "questions": [["a?"], ["b?", "c?"], ["d?"]],
    "answers": [[["yes"]], [["no"], ["yes", "no"]], [["no"]]],
    "answer_labels": [[[0]], [[1], [0, 1]], [[1]]],
    "answer_scores": [[[1.0]], [[0.3], [1.0, 0.6]], [[0.0]]],
    "question_id": [[1], [2, 3], [4]],
}


def table_of(write: Write, **changes: Any) -> ArrowTable:
    return ArrowTable(write("t", {**GOOD, **changes}))


def test_good_tables(write: Write, questions: Write) -> None:
    for table in (table_of(write), ArrowTable(questions("train")), ArrowTable(questions("test", test=True))):
        check_values(table, DATASETS["vqa"])
        check_answer_labels(table, 3)


@pytest.mark.parametrize("changes, message", [
    ({"answer_scores": [[[1.0]], [[0.3], [1.0, -5.0]], [[0.0]]]}, r"row 1: -5.0 in answer_scores is not from 0 to 1"),
    ({"answer_scores": [[[1.0]], [[0.3], [1.0, 0.5]], [[np.nan]]]}, r"row 2: nan in answer_scores is not from 0 to 1"),
    ({"answer_scores": [[[1.0]], [[0.3], [None, 0.5]], [[1.0]]]}, r"row 1: a null in answer_scores"),
    ({"question_id": [[1], [2, 3], [2]]}, r"row 2: question_id 2 occurs a second time"),
    ({"question_id": [[1], [2], [3]]}, r"row 1: 1 entries of question_id for 2 questions"),
    ({"answer_labels": [[[0]], [[1]], [[1]]]}, r"row 1: 1 entries of answer_labels for 2 questions"),
    ({"question_id": [["1"], ["2", "3"], ["4"]]}, r"column question_id is list<item: string>, expected a list"),
    ({"answer_labels": [[0], [1, 0], [1]]}, r"column answer_labels is list<item: int64>, expected a list of whole"),
    ({"questions": ["a?", "b?", "c?"]}, r"column questions is string, expected a list of texts per row"),
    ({"image": ["a", "b", "c"]}, r"column image is string, expected bytes per row"),
])
def test_what_cannot_be(changes: dict[str, Any], message: str, write: Write) -> None:
    with pytest.raises(ValueError, match=rf"t\.arrow:? {message}.*; make the file again"):
        check_values(table_of(write, **changes), DATASETS["vqa"])


@pytest.mark.parametrize("label", [2, -1, 10**9])
def test_answers_that_a_classifier_does_not_have(label: int, write: Write) -> None:
    table = table_of(write, answer_labels=[[[0]], [[1], [0, label]], [[1]]])
    with pytest.raises(ValueError, match=rf"t\.arrow row 1: {label} in answer_labels is not from 0 to 1"):
        check_answer_labels(table, 2)


def test_numbers_of_answers_far_apart(write: Write) -> None:
    table = table_of(write, answers=[[["yes"]], [["no"], ["yes", "maybe"]], [["no"]]],
                     answer_labels=[[[0]], [[1], [0, 10**9]], [[1]]])
    with pytest.raises(ValueError, match="3 answers up to 1000000000"):
        AnswerVocabulary.from_tables([table])


def test_tables_without_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.arrow"
    empty = pa.table({"image": pa.array([], pa.null())})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, empty.schema) as writer:
        writer.write_table(empty)
    check_values(ArrowTable(path), DATASETS["vqa"])
