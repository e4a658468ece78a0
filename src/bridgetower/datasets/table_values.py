"""Checks the columns of a table: their types, and values that training would otherwise meet in the middle of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .arrow import ArrowTable
from .specs import DatasetSpec

__all__ = ["check_answer_labels", "check_values"]

_HINT = "make the file again"
_Test = Callable[[pa.DataType], bool]


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _is_picture(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


#: Depth of lists, what is in them, and its name for messages.
_TYPES: dict[str, tuple[int, _Test, str]] = {
    "image": (0, _is_picture, "bytes"),
    "image_0": (0, _is_picture, "bytes"),
    "image_1": (0, _is_picture, "bytes"),
    "caption": (1, _is_text, "a list of texts"),
    "questions": (1, _is_text, "a list of texts"),
    "sentences": (2, _is_text, "a list of pairs of texts"),
    "labels": (1, pa.types.is_integer, "a list of whole numbers"),
    "question_id": (1, pa.types.is_integer, "a list of whole numbers"),
    "answer_labels": (2, pa.types.is_integer, "a list of whole numbers for each question"),
    "answer_scores": (2, pa.types.is_floating, "a list of scores for each question"),
}


def check_values(table: ArrowTable, spec: DatasetSpec) -> None:
    """Check a table of a data set.

    Raises:
        ValueError: names the file, the column, the row and the value.
    """
    if not table.num_rows:
        return
    columns = [*spec.image_columns, spec.text_column]
    if spec.kind in ("snli", "classify"):
        columns.append("labels")
    if spec.kind == "vqa":
        columns += ["question_id", "answer_labels", "answer_scores"]
    for column in columns:
        if table.has_column(column):
            _check_type(table, column)
    if spec.kind == "vqa":
        _check_questions(table)


def check_answer_labels(table: ArrowTable, count: int) -> None:
    """Check that the answers of a VQA table are among the first `count`.

    Raises:
        ValueError: names the file, the row and the label.
    """
    if table.num_rows and table.has_column("answer_labels"):
        for rows, labels in _values(table, "answer_labels"):
            _refuse(table, rows, "answer_labels", labels, (labels < 0) | (labels >= count), f"0 to {count - 1}")


def _check_type(table: ArrowTable, column: str) -> None:
    depth, fits, description = _TYPES[column]
    kind = found = table.schema.field(column).type
    for _ in range(depth):
        if pa.types.is_null(kind):
            return
        if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
            raise ValueError(f"{table.path}: column {column} is {found}, expected {description} per row; {_HINT}")
        kind = kind.value_type
    if not (fits(kind) or pa.types.is_null(kind)):
        raise ValueError(f"{table.path}: column {column} is {found}, expected {description} per row; {_HINT}")


def _check_questions(table: ArrowTable) -> None:
    lengths = {name: _lengths(table, name) for name in ("questions", "question_id", "answer_labels", "answer_scores")
               if table.has_column(name)}
    questions = lengths.pop("questions")
    for name, found in lengths.items():
        wrong = np.flatnonzero((found != questions) & ((found != 0) | (name == "question_id")))
        if len(wrong):
            row = int(wrong[0])
            raise ValueError(f"{table.path} row {row}: {found[row]} entries of {name} for {questions[row]} questions; "
                             f"{_HINT}")
    if table.has_column("answer_scores"):
        for rows, scores in _values(table, "answer_scores"):
            _refuse(table, rows, "answer_scores", scores, ~((scores >= 0) & (scores <= 1)), "0 to 1")
    if table.has_column("question_id"):
        _check_unique(table)


def _check_unique(table: ArrowTable) -> None:
    parts = list(_values(table, "question_id"))
    rows, ids = (np.concatenate(part) for part in zip(*parts, strict=True)) if parts else (np.zeros(0), np.zeros(0))
    order = np.argsort(ids, kind="stable")
    twice = order[1:][ids[order][1:] == ids[order][:-1]]
    if len(twice):
        place = int(twice.min())
        raise ValueError(f"{table.path} row {rows[place]}: question_id {ids[place]} occurs a second time; {_HINT}")


def _refuse(table: ArrowTable, rows: np.ndarray, column: str, values: np.ndarray, wrong: np.ndarray, allowed: str
            ) -> None:
    if wrong.any():
        place = int(wrong.argmax())
        raise ValueError(f"{table.path} row {rows[place]}: {values[place]} in {column} is not from {allowed}; {_HINT}")


def _lengths(table: ArrowTable, column: str) -> np.ndarray:
    """Of the list of each row; a null counts as empty."""
    return np.concatenate([pc.fill_null(pc.list_value_length(part), 0).to_numpy(zero_copy_only=False)
                           for _, part in table.parts(column)])


def _values(table: ArrowTable, column: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The innermost values of a list column with their rows, batch by batch.

    Raises:
        ValueError: one of them is null.
    """
    for start, values in table.parts(column):
        rows = np.arange(start, start + len(values))
        while pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
            rows = rows[pc.list_parent_indices(values).to_numpy()]
            values = values.flatten()
        if values.null_count:
            row = rows[values.is_null().to_numpy(zero_copy_only=False).argmax()]
            raise ValueError(f"{table.path} row {row}: a null in {column}; {_HINT}")
        if len(values):
            yield rows, values.to_numpy(zero_copy_only=False)
