"""Which column of a source holds what: the usual names, or what the user says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ...known import nearest
from ..tables import PreparationError

TASKS = ("caption", "classify", "vqa", "pair_classify")
#: The columns of each task that must exist, and those that may.
REQUIRED = {
    "caption": ("image", "text"),
    "classify": ("label",),
    "vqa": ("image", "question", "answers"),
    "pair_classify": ("image", "image_1", "text", "label"),
}
OPTIONAL = {
    "caption": ("split", "id"),
    "classify": ("image", "text", "split", "id"),
    "vqa": ("scores", "split", "id"),
    "pair_classify": ("split", "id"),
}
#: Usual names of each field's column, the most telling first; compared without regard to case.
_TEXTS = ("text", "caption", "captions", "sentence", "sentences", "description", "title", "txt")
GUESSES: Mapping[str, Sequence[str]] = {
    "image": (
        "image",
        "file_name",
        "filename",
        "image_path",
        "image_file",
        "filepath",
        "file",
        "path",
        "img",
        "picture",
        "image_0",
        "left",
        "left_image",
    ),
    "image_1": ("image_1", "image1", "right", "right_image", "second_image", "image_b"),
    "text": _TEXTS,
    "label": ("label", "class", "category", "target", "labels", "cls"),
    "question": ("question", "questions", "query", "text"),
    "answers": ("answers", "answer", "multiple_choice_answer", "label", "labels"),
    "scores": ("scores", "answer_scores", "weights"),
    "split": ("split", "subset", "partition"),
    "id": ("id", "identifier", "uid", "question_id", "key", "example_id"),
}
_CAPTIONS_FIRST = ("caption", "captions", *(name for name in _TEXTS if "caption" not in name))
_FIRST_OF_PAIR = ("image_0", "image0", "left", "left_image", "first_image", "image_a")
_LINKS = ("url", "image_url", "image_link", "img_url")


def choose_columns(task: str, columns: Sequence[str], overrides: Mapping[str, str], path: Path) -> dict[str, str]:
    """The column of each field that the source has.

    Args:
        task: one of `TASKS`.
        columns: those of the source.
        overrides: field -> column, as the user says; an empty one leaves the field out.
        path: the source, for messages.

    Raises:
        PreparationError: a needed column is missing, or an override names a field or column that does not exist.
    """
    chosen = {}
    for field, column in overrides.items():
        if field not in (*REQUIRED[task], *OPTIONAL[task]):
            fields = (*REQUIRED[task], *OPTIONAL[task])
            hint = nearest(field, fields)
            raise PreparationError(
                f"--columns {field}={column}: {task} has no field {field!r}{hint} Its fields: {', '.join(fields)}"
            )
        if column and column not in columns:
            raise PreparationError(
                f"{path}: no column {column!r}{nearest(column, columns)} Its columns: {', '.join(columns)}"
            )
        chosen[field] = column
    for field in (*REQUIRED[task], *OPTIONAL[task]):
        guess = _guess(_names(task, field), columns, set(chosen.values()))
        if field not in chosen and guess is not None:
            chosen[field] = guess
    lacking = [field for field in REQUIRED[task] if not chosen.get(field)]
    if task == "classify" and not (chosen.get("image") or chosen.get("text")):
        lacking.append("image")
    if lacking:
        raise PreparationError(_lacking(path, task, lacking[0], columns))
    return {field: column for field, column in chosen.items() if column}


def _names(task: str, field: str) -> Sequence[str]:
    if field == "text" and task == "caption":
        return _CAPTIONS_FIRST
    return (*_FIRST_OF_PAIR, *GUESSES[field]) if field == "image" and task == "pair_classify" else GUESSES[field]


def _guess(names: Sequence[str], columns: Sequence[str], taken: set[str]) -> str | None:
    free = {column.lower(): column for column in reversed(columns) if column not in taken}
    return next((free[name] for name in names if name in free), None)


def _lacking(path: Path, task: str, field: str, columns: Sequence[str]) -> str:
    links = [column for column in columns if column.lower() in _LINKS]
    rows = [column for column in columns if column.startswith(("http://", "https://"))]
    if field == "image" and rows:
        return (
            f"{path}: line 1 is a row, not the names of columns, and holds a link ({rows[0]:.60}), not a picture; "
            "download the pictures with img2dataset (docs/data.md) and give its .tar shards as --source"
        )
    if field == "image" and links:
        return (
            f"{path}: its column {links[0]!r} holds links, not pictures; download them with img2dataset (docs/data.md) "
            "and give its .tar shards as --source"
        )
    close = next((hint for name in _names(task, field) if (hint := nearest(name, columns)) != "."), ".")
    return (
        f"{path}: no column for {field!r} (looked for {', '.join(_names(task, field)[:5])}){close} "
        f"Its columns: {', '.join(columns)}; say which with --columns {field}=COLUMN"
    )
