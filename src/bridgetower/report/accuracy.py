"""Joins a VQA submission with the questions of an arrow file, and scores it by question type."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridgetower.datasets.arrow import ArrowTable
from bridgetower.preparation.easy_vqa import question_type


@dataclass(frozen=True)
class AnsweredQuestion:
    """A question of the data with the answer that was given.

    Attributes:
        row: row of the arrow file, which holds the image.
        question: its text.
        prediction: the answer of the model.
        truth: the best answer of the data.
        score: what the prediction earns, 0 to 1.
        kind: question type.
    """

    row: int
    question: str
    prediction: str
    truth: str
    score: float
    kind: str


@dataclass(frozen=True)
class TypeAccuracy:
    """Mean score (0 to 1) of the `count` questions of one type."""

    kind: str
    count: int
    accuracy: float


def read_answered_questions(predictions: Path, table: ArrowTable) -> list[AnsweredQuestion]:
    """All questions of `table`, in its order, with the answers of a submission file.

    The type of a question is easy-VQA's own where all questions are from there, else that of its best answer, as VQAv2
    groups them: yes/no, number, other.

    Args:
        predictions: JSON list of {"question_id", "answer"}.
        table: arrow file in the VQAv2 layout, with answers.

    Raises:
        FileNotFoundError: no such submission.
        KeyError: the arrow file lacks a column.
        ValueError: a file is not in its layout, the data has no answers, or the two hold different questions.
    """
    given = _read_submission(predictions)
    asked = list(_read_questions(table))
    if not any(accepted for *_, accepted in asked):
        raise ValueError(f"{table.path} holds no answers to compare with; it cannot be scored")
    _check_same_questions(given.keys(), {number for _, number, _, _ in asked}, predictions, table.path)
    easy = _are_easy_vqa({text for _, _, text, _ in asked})
    questions = []
    for row, number, text, accepted in asked:
        # VQAv2 has questions without any answer of the vocabulary: nothing earns a score there.
        truth = max(accepted, key=accepted.__getitem__, default="")
        score = accepted.get(given[number], 0.0)
        kind = question_type(text) if easy else _answer_type(truth)
        questions.append(AnsweredQuestion(row, text, given[number], truth, score, kind))
    return questions


def accuracy_by_type(questions: Sequence[AnsweredQuestion]) -> list[TypeAccuracy]:
    """Mean score of each question type, by name, and of all questions at the end under the name "all"."""
    groups: dict[str, list[float]] = {}
    for question in sorted(questions, key=lambda one: one.kind):
        groups.setdefault(question.kind, []).append(question.score)
    groups["all"] = [question.score for question in questions]
    return [TypeAccuracy(kind, len(scores), sum(scores) / len(scores)) for kind, scores in groups.items()]


def _read_submission(path: Path) -> dict[int, str]:
    """Answers by question id."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; train.py --do_predict writes the submission file")
    layout = 'a JSON list of {"question_id": number, "answer": text}'
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not {layout}: {error}") from error
    answers: dict[int, str] = {}
    for entry in entries if isinstance(entries, list) else [entries]:
        number, answer = map(entry.get, ("question_id", "answer")) if isinstance(entry, dict) else (None, None)
        if not isinstance(number, int) or not isinstance(answer, str):
            raise ValueError(f"{path} is not {layout}; it holds {str(entry)[:80]}")
        if number in answers:
            raise ValueError(f"{path} answers question {number} twice; predict again")
        answers[number] = answer
    return answers


def _read_questions(table: ArrowTable) -> Iterator[tuple[int, int, str, dict[str, float]]]:
    """Row, question id, text and score of each accepted answer of all questions."""
    columns = ("question_id", "questions", "answers", "answer_scores")
    table.require_columns("image", *columns)
    for row in range(table.num_rows):
        cells: list[list[Any]] = [table.value(column, row) or [] for column in columns]
        if len(set(map(len, cells))) > 1:
            lengths = ", ".join(f"{len(cell)} {column}" for column, cell in zip(columns, cells, strict=True))
            raise ValueError(f"{table.path} row {row} holds {lengths}: not one of each per question; make it again")
        for number, text, answers, scores in zip(*cells, strict=True):
            yield row, number, text, dict(zip(answers, scores, strict=True))


def _check_same_questions(given: Collection[int], asked: Collection[int], predictions: Path, data: Path) -> None:
    for some, others, text in (
        (given, asked, f"{predictions} answers {{}} questions that {data} does not hold"),
        (asked, given, f"{predictions} leaves {{}} of the questions of {data} without an answer"),
    ):
        lacking = sorted(set(some) - set(others))
        if lacking:
            ids = ", ".join(map(str, lacking[:3])) + (", ..." if len(lacking) > 3 else "")
            raise ValueError(f"{text.format(len(lacking))} (question_id {ids}); was it made from this file?")


def _are_easy_vqa(texts: Iterable[str]) -> bool:
    try:
        for text in texts:
            question_type(text)
    except ValueError:
        return False
    return True


def _answer_type(answer: str) -> str:
    if answer in ("yes", "no"):
        return "yes/no"
    return "number" if answer.isdecimal() else "other"
