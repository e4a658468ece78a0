"""Checks the rows of a source and gives them one form."""

from __future__ import annotations

import ast
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...known import nearest
from ..answer_classes import score
from .locations import SPLIT_NAMES, SourceFile
from .records import Record

_TEN_PEOPLE = 10


class BadRowError(ValueError):
    """A row that cannot be used; the text names file and row."""


@dataclass(frozen=True)
class Item:
    """One text, or one picture without a text, ready for a table.

    Attributes:
        where: file and row.
        images: files, or encoded pictures.
        picture: what the pictures are called: their file names, or else file and row.
        texts: captions of the picture, one text, or none.
        identifier: the user's own, or else `picture`.
        label: name of the class.
        answers: answers and their scores.
        split: the given split.
    """

    where: str
    images: tuple[Path | bytes, ...]
    picture: str
    texts: tuple[str, ...]
    identifier: str
    label: str | None = None
    answers: tuple[tuple[str, float], ...] = ()
    split: str | None = None


class Interpreter:
    """Makes items of the records of one source file."""

    def __init__(
        self,
        file: SourceFile,
        task: str,
        columns: Mapping[str, str],
        images: Path | None,
        classes: Sequence[str] | None,
    ) -> None:
        """Remember how records are read.

        Args:
            file: the source file.
            task: one of `TASKS`.
            columns: the column of each field.
            images: folder that the paths of pictures are relative to; None for that of the source file.
            classes: the only classes that may occur; None for any.
        """
        self.file, self.task, self.columns, self.classes = file, task, columns, classes
        self.folder = images or (file.path if file.path.is_dir() else file.path.parent)
        self.label_names = file.names_of(columns["label"]) if "label" in columns else None

    def item(self, record: Record) -> Item:
        """Check a record.

        Raises:
            BadRowError: a cell is empty, of a wrong type, or holds what cannot be.
        """
        if "problem" in record.values and self.file.path.suffix.lower() == ".tar":
            raise BadRowError(f"{record.where}: {record.values['problem']}")
        fields = [field for field in ("image", "image_1") if field in self.columns]
        images = [self._image(record, field) for field in fields]
        picture = " + ".join(name or record.where for _, name in images) or record.where
        identifier = self._text(record, "id", self._cell(record, "id")) if "id" in self.columns else picture
        return Item(
            record.where,
            tuple(image for image, _ in images),
            picture,
            self._texts(record),
            identifier,
            self._label(record) if "label" in self.columns else None,
            self._answers(record) if "answers" in self.columns else (),
            self._split(record),
        )

    def _cell(self, record: Record, field: str) -> Any:
        column = self.columns[field]
        value = record.values.get(column)
        if value is None or value != value or (isinstance(value, str) and not value.strip()):  # NaN is not itself
            raise BadRowError(f"{record.where}: column {column!r} is empty")
        return value

    def _image(self, record: Record, field: str) -> tuple[Path | bytes, str | None]:
        """A picture and its name."""
        value = self._cell(record, field)
        if isinstance(value, dict):
            encoded, value = value.get("bytes"), value.get("path")
            if isinstance(encoded, bytes):
                return encoded, os.path.basename(self._path(record, field, value)) if value else None
        if isinstance(value, bytes):
            return value, None
        value = self._path(record, field, value)
        if value.startswith(("http://", "https://")):
            raise BadRowError(
                f"{record.where}: {value} is a link; download the pictures, for instance with img2dataset"
            )
        return self.folder / value, value if not os.path.isabs(value) else os.path.basename(value)

    def _path(self, record: Record, field: str, value: Any) -> str:
        where = f"{record.where}: column {self.columns[field]!r}"
        if not isinstance(value, str) or "\0" in value:
            raise BadRowError(f"{where} holds no path and no picture: {value!r:.60}")
        _require_utf8(where, value)
        return value

    def _texts(self, record: Record) -> tuple[str, ...]:
        field = "question" if self.task == "vqa" else "text"
        if field not in self.columns:
            return ()
        value = self._cell(record, field)
        if self.task == "caption" and isinstance(value, str) and value.strip().startswith("["):
            parsed = _parsed(value.strip())
            if isinstance(parsed, list) and all(isinstance(each, str) for each in parsed):
                value = parsed  # else a caption such as [laughs]
        texts = value if isinstance(value, list) and self.task == "caption" else [value]
        if not texts:
            raise BadRowError(f"{record.where}: column {self.columns[field]!r} has no text")
        return tuple(self._text(record, field, text) for text in texts)

    def _text(self, record: Record, field: str, text: Any) -> str:
        column = self.columns[field]
        if isinstance(text, dict):  # COCO's {"raw": ...}, VQAv2's {"answer": ...}
            text = next((text[key] for key in ("raw", "answer", "text") if key in text), None)
        if text is None or not str(text).strip() or isinstance(text, (list, dict, bytes)):
            raise BadRowError(f"{record.where}: column {column!r} holds no text: {text!r:.60}")
        text = str(text).strip()
        _require_utf8(f"{record.where}: column {column!r}", text)
        return text

    def _label(self, record: Record) -> str:
        value = self._cell(record, "label")
        if self.label_names is not None and isinstance(value, int):
            if not 0 <= value < len(self.label_names):
                raise BadRowError(f"{record.where}: label {value} is not from 0 to {len(self.label_names) - 1}")
            value = self.label_names[value]
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        label = self._text(record, "label", value)
        if self.classes is not None and label not in self.classes:
            raise BadRowError(
                f"{record.where}: label {label!r} is unknown{nearest(label, self.classes)} "
                f"Known: {', '.join(self.classes[:10])}"
            )
        return label

    def _answers(self, record: Record) -> tuple[tuple[str, float], ...]:
        value = self._answers_of_cell(record)
        if isinstance(value, dict):  # in Parquet and Arrow, every row has the answers of all rows, most without a value
            given = {answer: credit for answer, credit in value.items() if credit is not None}
            pairs = [(self._text(record, "answers", answer), credit) for answer, credit in given.items()]
        else:
            answers = [self._text(record, "answers", each) for each in (value if isinstance(value, list) else [value])]
            pairs = list(zip(answers, self._scores(record, answers), strict=True))
        if not pairs:
            raise BadRowError(f"{record.where}: column {self.columns['answers']!r} has no answer")
        for answer, credit in pairs:
            if not isinstance(credit, (int, float)) or not 0 < credit <= 1:
                raise BadRowError(f"{record.where}: the score of {answer!r} is {credit!r}, not above 0 and up to 1")
        best: dict[str, float] = {}
        for answer, credit in pairs:
            best[answer] = max(float(credit), best.get(answer, 0.0))
        return tuple(best.items())

    def _answers_of_cell(self, record: Record) -> Any:
        """The answers, of a text cell the list or object that it holds as JSON, or as Python and pandas print it."""
        value = self._cell(record, "answers")
        text = value.strip() if isinstance(value, str) else ""
        if (text[:1], text[-1:]) not in (("[", "]"), ("{", "}")):
            return value
        parsed = _parsed(text)
        if not isinstance(parsed, (list, dict)):
            raise BadRowError(
                f"{record.where}: column {self.columns['answers']!r} holds no list or object of JSON: {text!r:.60}; "
                "write it as JSON, also an answer in brackets"
            )
        return parsed

    def _scores(self, record: Record, answers: list[str]) -> list[float]:
        """Given scores, or else the credit that VQA gives to answers of ten people, or the share of the most given."""
        if "scores" in self.columns:
            scores = self._cell(record, "scores")
            scores = _parsed(scores, scores) if isinstance(scores, str) else scores
            scores = scores if isinstance(scores, list) else [scores]
            if len(scores) != len(answers):
                raise BadRowError(f"{record.where}: {len(scores)} scores of {len(answers)} answers")
            return scores
        counts = Counter(answers)
        if len(answers) == _TEN_PEOPLE:
            return [score(counts[answer]) for answer in answers]
        return [counts[answer] / max(counts.values()) for answer in answers]

    def _split(self, record: Record) -> str | None:
        if "split" not in self.columns:
            return self.file.split
        value = str(self._cell(record, "split")).strip()
        if value.lower() not in SPLIT_NAMES:
            raise BadRowError(f"{record.where}: split {value!r} is unknown; use train, val or test")
        return SPLIT_NAMES[value.lower()]


def _require_utf8(where: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadRowError(
            f"{where} has half of a surrogate pair or a byte that is not UTF-8 at character {error.start}"
        ) from error


def _parsed(text: str, otherwise: Any = None) -> Any:
    """The value that a cell holds as JSON or as a literal of Python, or else `otherwise`."""
    for parse in (json.loads, ast.literal_eval):
        with suppress(ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            return parse(text)
    return otherwise
