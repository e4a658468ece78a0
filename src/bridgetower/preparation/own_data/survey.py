"""The first pass over a source: it checks all rows without reading pictures, and learns the classes or answers."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...progress import progress_bar
from ..tables import PreparationError
from .columns import choose_columns
from .items import BadRowError, Interpreter, Item
from .locations import SourceFile
from .records import Record

MAX_NAMED = 10


@dataclass
class Survey:
    """What a source holds.

    Attributes:
        columns: the column of each field, the same in all files.
        known_columns: those of the files and of the rows before.
        choose: the column of each field, by the columns that there are.
        items: rows that can be used.
        splits: given splits and their rows; None counts rows without one.
        first_of_split: file and row where a split first occurs.
        labels: classes and their rows by split.
        first_rows: file and row where a class first occurs in a split.
        answers: answers and their rows, outside of a given test split.
        problems: what is wrong with rows, the first MAX_NAMED of `bad`.
        missing: pictures that are not on disk, the first MAX_NAMED of `num_missing`.
        first_missing: file and row of the first of them.
        numeric_ids: whether all identifiers of the user are whole numbers.
        class_order: the order of the classes that the source itself states.
    """

    columns: dict[str, str]
    known_columns: set[str] = field(default_factory=set)
    choose: Callable[[Sequence[str]], Mapping[str, str]] | None = None
    items: int = 0
    splits: Counter[str | None] = field(default_factory=Counter)
    first_of_split: dict[str | None, str] = field(default_factory=dict)
    labels: dict[str, Counter[str | None]] = field(default_factory=dict)
    first_rows: dict[tuple[str, str | None], str] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    bad: int = 0
    missing: list[str] = field(default_factory=list)
    first_missing: str = ""
    num_missing: int = 0
    numeric_ids: bool = True
    class_order: list[str] | None = None

    def add(self, item: Item) -> None:
        """Count an item."""
        self.items += 1
        self.splits[item.split] += 1
        self.first_of_split.setdefault(item.split, item.where)
        self.numeric_ids &= "id" in self.columns and _is_plain_number(item.identifier)
        if item.label is not None:
            self.labels.setdefault(item.label, Counter())[item.split] += 1
            self.first_rows.setdefault((item.label, item.split), item.where)
        if item.split != "test":
            self.answers.update(answer for answer, _ in item.answers)

    def learn_columns(self, record: Record) -> None:
        """Note columns that the first rows have not, as objects of JSON differ.

        Raises:
            PreparationError: one of them would have been read, so the rows before lack it.
        """
        new = [name for name in record.values if name not in self.known_columns]
        self.known_columns.update(new)
        if self.choose is None:
            return
        chosen = self.choose(sorted(self.known_columns))
        for name in new:
            field_name = next((each for each, column in chosen.items() if column == name), None)
            if field_name is not None:
                raise PreparationError(
                    f"{record.where}: has the column {name!r}, which the first rows have not; give it to every row, "
                    f"or leave it out with --columns {field_name}={self.columns.get(field_name, '')}"
                )

    def problem(self, text: str) -> None:
        """Count a row that cannot be used."""
        self.bad += 1
        if len(self.problems) < MAX_NAMED:
            self.problems.append(text)


def _is_plain_number(text: str) -> bool:
    """Whether a text is a whole number of 64 bits as it is usually written; 07 is not, as 7 may occur, too."""
    return text.isdecimal() and len(text) < 19 and str(int(text)) == text


class Checks:
    """Checks among rows: identifiers that repeat, and files that are in two splits."""

    def __init__(self, has_ids: bool) -> None:
        self.has_ids = has_ids
        self.identifiers: set[int] = set()
        self.split_of: dict[int, str | None] = {}

    def note(self, item: Item) -> None:
        """Take note of an item.

        Raises:
            BadRowError: see the class.
        """
        for image in item.images:
            if isinstance(image, Path) and item.split is not None:
                split = self.split_of.setdefault(hash(image), item.split)
                if split != item.split:
                    raise BadRowError(f"{item.where}: {image} is in the split {item.split} here and in {split} before")
        if self.has_ids:
            if hash(item.identifier) in self.identifiers:
                raise BadRowError(f"{item.where}: identifier {item.identifier!r} occurs a second time")
            self.identifiers.add(hash(item.identifier))


def good_items(
    files: Sequence[SourceFile], interpreters: Sequence[Interpreter], has_ids: bool, survey: Survey | None = None
) -> Iterator[Item]:
    """The items of all files that can be used, in order. With a survey, no picture is read and bad rows are counted."""
    checks = Checks(has_ids)
    for file, interpreter in zip(files, interpreters, strict=True):
        for record in file.records(survey is not None):
            if survey is not None and not record.values.keys() <= survey.known_columns:
                survey.learn_columns(record)
            try:
                item = interpreter.item(record)
                checks.note(item)
            except BadRowError as error:
                if survey is not None:
                    survey.problem(str(error))
                continue
            yield item


def take_survey(
    files: Sequence[SourceFile],
    task: str,
    overrides: Mapping[str, str],
    images: Path | None,
    classes: Sequence[str] | None,
    progress: bool = False,
) -> tuple[Survey, list[Interpreter]]:
    """Read everything but the pictures.

    Raises:
        PreparationError: a column is missing, or the columns of the files differ.
    """
    def choose(columns: Sequence[str]) -> dict[str, str]:
        return choose_columns(task, columns, overrides, files[0].path)

    survey = Survey(choose(files[0].columns), {*files[0].columns}, choose)
    for file in files[1:]:
        missing = [column for column in survey.columns.values() if column not in file.columns]
        if missing and file.path.suffix.lower() != ".tar":  # a shard's columns are those of its first samples
            raise PreparationError(
                f"{file.path}: no column {missing[0]!r}, which {files[0].path} has; "
                f"its columns: {', '.join(file.columns)}"
            )
    interpreters = [Interpreter(file, task, survey.columns, images, classes) for file in files]
    survey.class_order = interpreters[0].label_names
    items = good_items(files, interpreters, "id" in survey.columns, survey)
    for item in progress_bar(items, desc="checking", unit=" rows", disable=not progress):
        survey.add(item)
        for image in item.images:
            if isinstance(image, Path) and not os.path.isfile(image):
                survey.num_missing += 1
                survey.first_missing = survey.first_missing or item.where
                if len(survey.missing) < MAX_NAMED:
                    survey.missing.append(str(image))
    return survey, interpreters


def require_usable(survey: Survey, skip_bad: bool) -> None:
    """Refuse a source with rows that cannot be used.

    Raises:
        PreparationError: one line per problem; without rows even if `skip_bad`.
    """
    lines = list(survey.problems)
    if survey.bad > len(lines):
        lines.append(f"and {survey.bad - len(lines)} more such rows")
    if survey.num_missing:
        more = ", ..." if survey.num_missing > len(survey.missing) else ""
        lines.append(
            f"{survey.first_missing}: {survey.num_missing} pictures of {survey.items} rows are missing: "
            f"{', '.join(survey.missing)}{more}; check --images"
        )
    if lines and not skip_bad:
        raise PreparationError("\nerror: ".join([*lines, "repair these rows, or leave them out with --skip_bad"]))
    if survey.items == 0:
        raise PreparationError("\nerror: ".join([*lines, "no row can be used; check --source and --columns"]))
    if survey.num_missing >= survey.items:
        raise PreparationError(lines[-1])
