"""Validates arrow files: columns and types, images, labels, and lists that belong together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from ..datasets.description import is_described, read_description
from ..datasets.shard_index import ShardIndex
from ..datasets.soundness import require_sound
from ..progress import progress_bar
from .arrow_input import open_arrow
from .images import ImageReader
from .json_stream import read_json
from .schemas import FAMILIES, TEXT_COLUMNS, image_columns
from .snli_ve import LABELS
from .tables import Row
from .vqav2 import OFFICIAL_CLASSES

ROWS_AT_ONCE = 64
MAX_PROBLEMS = 10  # described per file; all are counted


@dataclass
class FileReport:
    """What was found in one arrow file; of its `count` problems the first MAX_PROBLEMS are described."""

    path: Path
    family: str = "unknown"
    rows: int = 0
    texts: int = 0
    count: int = 0
    problems: list[str] = field(default_factory=list)

    def add(self, problems: Iterable[str]) -> None:
        """Note problems; the texts do not name the file."""
        for problem in problems:
            self.count += 1
            if len(self.problems) < MAX_PROBLEMS:
                self.problems.append(problem)

    def lines(self) -> list[str]:
        """The problems, each with the file."""
        more = [f"and {self.count - len(self.problems)} more"] if self.count > len(self.problems) else []
        return [f"{self.path}: {problem}" for problem in (*self.problems, *more)]


def check_file(path: Path, reader: ImageReader, classes: int | None = None, progress: bool = False) -> FileReport:
    """Validate an arrow file or a tar shard.

    Args:
        path: the file.
        reader: decodes the images.
        classes: number of VQA answer classes; None for that of the answer list beside the file, or else VQAv2's.
        progress: show a progress bar.
    """
    report = FileReport(path)
    try:
        if path.suffix.lower() == ".tar":
            _check_shard(path, report, reader, progress)
            return report
        require_sound(path, afresh=True)
        with open_arrow(path) as file:
            report.rows = sum(file.get_batch(index).num_rows for index in range(file.num_record_batches))
            if report.rows:  # the original writes empty shards, whose columns have no type
                report.family, problems = _match(file.schema)
                report.add(problems)
            if report.rows and not report.count:
                own = find_description(path)
                check = _RowCheck(report.family, classes or answer_classes(path), tuple(own["classes"]) if own else ())
                _check_rows(file, report, reader, check, progress)
    except ValueError as error:
        report.add([str(error).removeprefix(f"{path}: ")])
    return report


def _check_shard(path: Path, report: FileReport, reader: ImageReader, progress: bool) -> None:
    """Count what pre-training reads of a shard, decode its pictures, and name the samples that it leaves out."""
    report.family = "tar shard"
    index = ShardIndex.of(path)
    report.rows = report.texts = len(index)
    with path.open("rb") as file:
        rows = (Row((_bytes_at(file, index, number),), {}) for number in range(len(index)))
        results = reader.read(rows)
        for number, (_, images) in enumerate(progress_bar(results, total=report.rows, desc=path.name, unit=" rows",
                                                          disable=not progress)):
            report.add([f"sample {number}: {images}"] if isinstance(images, str) else ())
    report.add(f"left out, {text}" for text in index.named)
    report.count += index.broken - len(index.named)


def _bytes_at(file: BinaryIO, index: ShardIndex, number: int) -> bytes:
    file.seek(int(index.image[number]))
    return file.read(int(index.image_size[number]))


def _check_rows(
    file: pa.ipc.RecordBatchFileReader, report: FileReport, reader: ImageReader, check: _RowCheck, progress: bool
) -> None:
    bar = progress_bar(total=report.rows, desc=report.path.name, unit=" rows", disable=not progress)
    with bar:
        for number, (row, images) in enumerate(reader.read(_rows(file))):
            unreadable = [images] if isinstance(images, str) else []
            report.add(f"row {number}: {text}" for text in (*unreadable, *check.problems(row.values)))
            bar.update()
    report.texts = check.texts


def answer_classes(path: Path) -> int:
    """Number of answers in `NAME.json` or the list `NAME_answers.json` beside `NAME_*.arrow`, else that of VQAv2."""
    own = find_description(path)
    if own is not None:
        return len(own["answers"])
    lists = (path.with_name(f"{name}_answers.json") for name in _data_set_names(path))
    found = next((candidate for candidate in lists if candidate.is_file()), None)
    return len(read_json(found)) if found else OFFICIAL_CLASSES


def find_description(path: Path) -> dict[str, Any] | None:
    """The description of own tables, if a file is one of them."""
    name = next((name for name in _data_set_names(path) if is_described(path.parent, name)), None)
    return None if name is None else read_description(path.parent, name)


def _data_set_names(path: Path) -> list[str]:
    """What the data set of `NAME_*.arrow` may be called, the longest name first."""
    words = path.stem.split("_")
    return ["_".join(words[:count]) for count in range(len(words), 0, -1)]


def _plain(kind: pa.DataType) -> pa.DataType:
    """A type without the distinction of large strings, lists and bytes, which newer pandas versions write."""
    if pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_large_binary(kind):
        return pa.binary()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(_plain(kind.value_type))
    return kind


def _match(schema: pa.Schema) -> tuple[str, list[str]]:
    """The family of a schema, and what is wrong with its columns."""
    found = {column.name: _plain(column.type) for column in schema}
    families = {name: family for name, family in FAMILIES.items() if set(family.names) <= found.keys()}
    if not families:
        return "unknown", [f"columns {', '.join(found)} are those of no data set"]
    wrong = {
        name: [
            f"column {column.name} holds {found[column.name]} and should hold {column.type}"
            for column in family
            if found[column.name] != column.type
        ]
        for name, family in families.items()
    }
    best = min(wrong, key=lambda name: len(wrong[name]))
    return best, wrong[best]


def _rows(file: pa.ipc.RecordBatchFileReader) -> Iterator[Row]:
    images = image_columns(file.schema)
    for index in range(file.num_record_batches):
        batch = file.get_batch(index)
        for start in range(0, batch.num_rows, ROWS_AT_ONCE):
            for values in batch.slice(start, ROWS_AT_ONCE).to_pylist():
                yield Row(tuple(values.pop(name) or b"" for name in images), values)


class _RowCheck:
    """Checks the rows of one file, and what must hold among them."""

    def __init__(self, family: str, classes: int, class_names: tuple[str, ...] = ()) -> None:
        checks: dict[str, Callable[[dict[str, Any]], Iterable[str]]] = {
            "captions": lambda row: (),
            "VG captions": lambda row: _same_length(row, "caption", "width", "height", "x", "y"),
            "VQA": self._vqa,
            "VQA test": self._vqa_test,
            "NLVR2": self._nlvr2,
            "SNLI-VE": self._snli_ve,
            "image classes": self._labels,
            "text classes": self._snli_ve,
        }
        self.check = checks[family]
        self.classes = classes
        self.class_names = class_names
        self.texts = 0
        self.question_ids: set[int] = set()
        self.answer_of: dict[int, str] = {}

    def problems(self, row: dict[str, Any]) -> Iterator[str]:
        """What is wrong with a row, in words."""
        empty = [name for name, value in row.items() if _has_null(value)]
        if empty:
            yield f"{', '.join(empty)}: no value where there must be one"
            return
        texts = next((row[name] for name in TEXT_COLUMNS if name in row), None)
        self.texts += len(texts or ())
        if texts == []:
            yield "no text"
        yield from self.check(row)

    def _vqa(self, row: dict[str, Any]) -> Iterator[str]:
        lists = ("questions", "question_id", "answers", "answer_labels", "answer_scores")
        yield from _same_length(row, *lists)
        yield from self._unique(row["question_id"])
        for answers, labels, scores in zip(*(row[name] for name in lists[2:]), strict=False):
            if not len(answers) == len(labels) == len(scores) or not labels:
                yield f"{len(answers)} answers, {len(labels)} labels and {len(scores)} scores of a question"
            for answer, label in zip(answers, labels, strict=False):
                if not 0 <= label < self.classes:
                    yield f"answer label {label} is not from 0 to {self.classes - 1}"
                elif self.answer_of.setdefault(label, answer) != answer:
                    yield f"label {label} is {answer!r} here and {self.answer_of[label]!r} in another row"
            yield from (f"answer score {score} is not above 0 and up to 1" for score in scores if not 0 < score <= 1)

    def _vqa_test(self, row: dict[str, Any]) -> Iterator[str]:
        yield from _same_length(row, "questions", "question_id")
        yield from self._unique(row["question_id"])

    def _unique(self, ids: list[int]) -> Iterator[str]:
        for question_id in ids:
            if question_id in self.question_ids:
                yield f"question_id {question_id} occurs a second time"
            self.question_ids.add(question_id)

    def _nlvr2(self, row: dict[str, Any]) -> Iterator[str]:
        yield from _same_length(row, "questions", "answers", *(["identifiers"] if "identifiers" in row else []))
        known = self.class_names or ("True", "False")
        what = "none of the classes" if self.class_names else "neither True nor False"
        yield from (f"answer {text!r} is {what}" for text in sorted({*row["answers"]} - {*known}))

    def _snli_ve(self, row: dict[str, Any]) -> Iterator[str]:
        yield from _same_length(row, "sentences", "labels")
        yield from (f"{len(pair)} sentences where a pair should be" for pair in row["sentences"] if len(pair) != 2)
        yield from self._labels(row)

    def _labels(self, row: dict[str, Any]) -> Iterator[str]:
        count = len(self.class_names or LABELS)
        wrong = {*row["labels"]} - {*range(count)}
        yield from (f"label {label} is not from 0 to {count - 1}" for label in sorted(wrong))


def _has_null(value: Any) -> bool:
    return value is None or (isinstance(value, list) and any(map(_has_null, value)))


def _same_length(row: dict[str, Any], *names: str) -> Iterator[str]:
    lengths = [len(row[name]) for name in names]
    if len(set(lengths)) > 1:
        yield "lists of different lengths: " + ", ".join(f"{n} {name}" for n, name in zip(lengths, names, strict=True))
