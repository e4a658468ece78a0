"""Prediction files, in the formats of the evaluation servers."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..distributed import all_gather_objects
from ..files import write_json, write_text

__all__ = ["AnswerNames", "Columns", "PredictionSource", "write_class_predictions", "write_recall_table",
           "write_vqa_submission"]


class Columns:
    """Predictions of all batches and processes, one row per sample, by column."""

    def __init__(self) -> None:
        self._parts: list[dict[str, np.ndarray]] = []

    def add(self, part: dict[str, np.ndarray]) -> None:
        """Add the rows of one batch."""
        self._parts.append(part)

    def gathered(self) -> dict[str, np.ndarray]:
        """The rows of all processes; empty when nothing was added."""
        parts = [part for part in all_gather_objects(_joined(self._parts)) if part]
        return _joined(parts)


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else ())}


class AnswerNames(Protocol):
    """Answer id -> answer string."""

    def __getitem__(self, index: int) -> str:
        """The answer of an id; "unknown" for one that is not known."""


@dataclass(frozen=True)
class PredictionSource:
    """What predictions are about: the evaluated dataset, and the names of the answers of VQA."""

    dataset: Any
    answers: AnswerNames | None = None


def write_vqa_submission(path: Path, columns: dict[str, np.ndarray], source: PredictionSource) -> None:
    """Write answers for the VQA evaluation server: a list of {"question_id", "answer"}, each question once.

    Args:
        path: the file.
        columns: `question_id` (Q,) and `answer_id` (Q,).
        source: has the answer of each id.

    Raises:
        ValueError: without the answers.
    """
    answers = source.answers
    if answers is None:
        raise ValueError(f"{path}: the strings of the answers are needed to write them")
    rows = {int(question): int(answer) for question, answer in
            zip(columns["question_id"], columns["answer_id"], strict=True)}
    submission = [{"question_id": question, "answer": answers[answer]}
                  for question, answer in sorted(rows.items())]
    write_json(path, submission, indent=4)


def write_class_predictions(path: Path, columns: dict[str, np.ndarray], source: PredictionSource,
                            classes: Sequence[str]) -> list[str]:
    """Write one line per sample as CSV: identifier, prediction, table, row, text, and the score of each class.

    NLVR2's evaluation script reads the first two columns. Visual entailment has no identifiers.

    Args:
        path: the file.
        columns: `sample_index` (Q,) and `scores` (Q, C), probabilities; `labels` (Q,) add a column `label` with the
            right classes.
        source: says where each sample comes from.
        classes: names of the C classes.

    Returns:
        The identifiers; empty strings where the tables have none.
    """
    _, first = np.unique(columns["sample_index"], return_index=True)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    right = [[classes[label]] for label in columns["labels"][first]] if "labels" in columns else [[]] * len(first)
    writer.writerow(["identifier", "prediction", *(["label"] if "labels" in columns else []), "table", "row", "text",
                     *classes])
    identifiers = []
    for sample, scores, label in zip(columns["sample_index"][first], columns["scores"][first], right, strict=True):
        record = source.dataset.record(int(sample))
        identifiers.append(record.identifier or "")
        writer.writerow([identifiers[-1], classes[int(scores.argmax())], *label, record.table_name, record.row,
                         record.text, *(f"{score:.6f}" for score in scores)])
    write_text(path, text.getvalue())
    return identifiers


def write_recall_table(path: Path, columns: dict[str, np.ndarray]) -> None:
    """Write the recalls of retrieval in percent as JSON: each direction at 1, 5, 10, the means and RSUM.

    Args:
        path: the file.
        columns: each recall by its name, (1,).
    """
    write_json(path, {name: float(value[0]) for name, value in columns.items()})
