"""The second pass over a source: it reads the pictures and writes the tables, and their description at the very end."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
from tqdm import tqdm

from ...datasets.description import FORMAT, description_path, read_description
from ...datasets.specs import DATASETS
from ...files import write_json
from ..arrow_input import open_arrow
from ..images import ImageReader
from ..schemas import TEXT_COLUMNS, image_columns
from ..tables import PreparationError, Row
from ..writer import PLAN_KEY, Batches, arrow_file
from .items import Interpreter
from .locations import SPLITS, SourceFile, find_sources
from .plan import Plan, Rows, Shares, content_hash, make_plan
from .survey import Survey, good_items, require_usable, take_survey

logger = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Request:
    """What the user asks for; see the options of the command line."""

    source: tuple[str, ...]
    task: str
    output: Path
    name: str
    images: Path | None = None
    columns: tuple[tuple[str, str], ...] = ()
    classes: tuple[str, ...] | None = None
    min_answer_count: int = 1
    val_share: float = 0.1
    test_share: float = 0.1
    seed: int = 0
    shard_size: int = 10_000
    skip_bad: bool = False
    overwrite: bool = False


def build_tables(request: Request, reader: ImageReader, progress: bool = False) -> dict[str, Any]:
    """Make `NAME_{train,val,test}_N.arrow` and `NAME.json`, all of them or none; returns what `NAME.json` says.

    Complete parts wait in a hidden folder, so an interrupted run goes on after the last of them.

    Raises:
        PreparationError: see the message.
    """
    if not _NAME.fullmatch(request.name) or request.name in DATASETS:
        raise PreparationError(
            f"--name {request.name!r}: use letters, digits, '_', '-' and '.', and not the name of a "
            f"published data set ({', '.join(DATASETS)})"
        )
    files = find_sources(request.source)
    survey, interpreters = take_survey(
        files, request.task, dict(request.columns), request.images, request.classes, progress
    )
    require_usable(survey, request.skip_bad)
    _check_splits(survey)
    plan = make_plan(request.task, survey, request.classes, request.min_answer_count)
    if request.task == "vqa" and not plan.answers:
        raise PreparationError(f"no answer occurs {request.min_answer_count} times; lower --min_answer_count")
    digest = _digest(request, files, plan)
    if _is_complete(request, digest):
        return read_description(request.output, request.name)
    work = request.output / f".{request.name}.partial"
    run = _Run(request, plan, survey, work, digest)
    run.write(files, interpreters, reader, progress)
    return run.finish()


def _check_splits(survey: Survey) -> None:
    """Refuse rows without a split among others with one, and classes that training lacks."""
    if None in survey.splits and len(survey.splits) > 1:
        raise PreparationError(
            f"{survey.splits[None]} rows have no split, but others have; name the split of every row"
        )
    for label, splits in survey.labels.items():
        if "train" in survey.splits and not splits["train"]:
            split = next(iter(splits))
            raise PreparationError(
                f"label {label!r} of the {split} split does not occur in the train split; correct it, "
                "or give rows of it to train"
            )


def _digest(request: Request, files: Sequence[SourceFile], plan: Plan) -> str:
    """Stands for all that decides the tables."""
    sizes = [(file.path.name, file.path.stat().st_size, file.path.stat().st_mtime_ns, file.split) for file in files]
    decided = [
        request.name,
        request.task,
        str(request.images),
        request.min_answer_count,
        request.val_share,
        request.test_share,
        request.seed,
        request.shard_size,
        plan.schema.names,
        dict(plan.columns),
        plan.classes,
        plan.answers,
        sizes,
    ]
    return hashlib.sha256(json.dumps(decided).encode()).hexdigest()


def _is_complete(request: Request, digest: str) -> bool:
    """Whether the tables are there already."""
    path = description_path(request.output, request.name)
    present = [path] if path.is_file() else _tables(request)
    if not present or request.overwrite:
        return False
    if path.is_file() and read_description(request.output, request.name).get("plan") == digest:
        return True
    raise PreparationError(
        f"{present[0]}: exists and was made from other data or with other options; remove it, choose "
        "another --name or give --overwrite"
    )


def _tables(request: Request) -> list[Path]:
    names = re.compile(rf"{re.escape(request.name)}_({'|'.join(SPLITS)})_\d+\.arrow")
    return [path for path in sorted(request.output.glob("*.arrow")) if names.fullmatch(path.name)]


class _Run:
    """Writes one data set part by part, each with a file per split."""

    def __init__(self, request: Request, plan: Plan, survey: Survey, work: Path, digest: str) -> None:
        self.request, self.plan, self.survey, self.work, self.digest = request, plan, survey, work, digest
        given = frozenset(split for split in survey.splits if split is not None)
        self.shares = Shares(request.val_share, request.test_share, request.seed, given)
        self.rows = Rows(plan)
        self.columns = frozenset(plan.schema.names)
        self.split_of: dict[int, str] = {}
        self.parts = self.unreadable = 0

    def write(
        self, files: Sequence[SourceFile], interpreters: Sequence[Interpreter], reader: ImageReader, progress: bool
    ) -> None:
        """Write the parts that are not there yet."""
        items = good_items(files, interpreters, "id" in self.plan.columns)
        bar = tqdm(
            items, total=self.survey.items, desc=self.request.name, unit=" rows", disable=not progress, mininterval=0.5
        )
        rows = self.rows(bar)
        for first in rows:
            self._part(chain([first], islice(rows, self.request.shard_size - 1)), reader)
            self.parts += 1

    def _paths(self, part: int) -> dict[str, Path]:
        return {split: self.work / f"{split}_{part}.arrow" for split in SPLITS}

    def _part(self, rows: Iterator[Row], reader: ImageReader) -> None:
        paths = self._paths(self.parts)
        if all(self._is_kept(path) for path in paths.values()):
            count = sum(1 for _ in rows)
            stored = sum(self._remember(path, split) for split, path in paths.items())
            self.unreadable += count - stored
            return
        schema = self.plan.schema.with_metadata({PLAN_KEY: self.digest.encode()})
        with ExitStack() as stack:
            batches = {
                split: Batches(stack.enter_context(arrow_file(path, schema)), schema) for split, path in paths.items()
            }
            for row, images in reader.read(rows):
                self._add(row, images, batches)
            for each in batches.values():
                each.flush()

    def _is_kept(self, path: Path) -> bool:
        if not path.is_file():
            return False
        with open_arrow(path) as file:
            return (file.schema.metadata or {}).get(PLAN_KEY) == self.digest.encode()

    def _remember(self, path: Path, split: str) -> int:
        """Note the pictures of a kept file; returns the number of its rows."""
        with open_arrow(path) as file:
            names = image_columns(file.schema)
            for index in range(file.num_record_batches):
                for name in names if self.shares.given else ():
                    for picture in file.get_batch(index).column(name):
                        self.split_of[content_hash(picture.as_py())] = split
            return sum(file.get_batch(index).num_rows for index in range(file.num_record_batches))

    def _add(self, row: Row, images: list[bytes] | str, batches: dict[str, Batches]) -> None:
        where = row.values["where"]
        if isinstance(images, str):
            self._bad(f"{where}: {images}")
            return
        contents = [content_hash(image) for image in images] or [content_hash(str(row.values["sentences"]).encode())]
        split = self.shares.split(row.values["split"], contents[0])
        if self.shares.given and images:
            for content in contents:
                other = self.split_of.setdefault(content, split)
                if other != split:
                    self._bad(f"{where}: the same picture is in the split {split} here and in {other} before")
                    return
        values = {name: value for name, value in (row.values | {"split": split}).items() if name in self.columns}
        batches[split].add(Row(row.images, values), images)

    def _bad(self, problem: str) -> None:
        if not self.request.skip_bad:
            raise PreparationError(f"{problem}; repair it, or leave such rows out with --skip_bad")
        logger.warning("left out, %s", problem)
        self.unreadable += 1

    def finish(self) -> dict[str, Any]:
        """Move the parts to their places and describe them."""
        counts = {split: _Counts() for split in SPLITS}
        moves: list[tuple[Path, Path]] = []
        for part in range(self.parts):
            for split, path in self._paths(part).items():
                if counts[split].add(path):
                    name = f"{self.request.name}_{split}_{counts[split].files - 1}.arrow"
                    moves.append((path, self.request.output / name))
        if not counts["train"].rows and not (self.shares.given and "train" not in self.shares.given):
            raise PreparationError(
                f"{self.survey.items} rows leave none for training; give more, or lower --val_share and --test_share"
            )
        description = self._describe(counts)
        description_path(self.request.output, self.request.name).unlink(missing_ok=True)
        for path in _tables(self.request):
            path.unlink()
        for path, target in moves:
            path.rename(target)
        write_json(description_path(self.request.output, self.request.name), description)
        shutil.rmtree(self.work)
        return description

    def _describe(self, counts: dict[str, _Counts]) -> dict[str, Any]:
        names = self.plan.classes if self.plan.kind not in ("nlvr2", "pair_classify") else ()
        used = [split for split in SPLITS if counts[split].rows]
        absent = [
            name
            for index, name in enumerate(self.plan.classes)
            if "train" in used and not (counts["train"].labels[index] or counts["train"].labels[name])
        ]
        for name in absent:
            logger.warning("no row of class %r was drawn for training; give more rows, or name the splits", name)
        return {
            "format": FORMAT,
            "name": self.request.name,
            "task": self.request.task,
            "kind": self.plan.kind,
            "modality": self.plan.modality,
            "classes": list(self.plan.classes),
            "answers": list(self.plan.answers),
            "tables": {split: f"{self.request.name}_{split}" for split in used},
            "counts": {
                split: {
                    "rows": counts[split].rows,
                    "texts": counts[split].texts,
                    **(
                        {
                            "classes": {
                                name: counts[split].labels[index if names else name]
                                for index, name in enumerate(self.plan.classes)
                            }
                        }
                        if self.plan.classes
                        else {}
                    ),
                }
                for split in used
            },
            "columns": dict(self.plan.columns),
            "identifiers": self.plan.columns.get("id", self.plan.columns.get("image", "file and row")),
            "left_out": {
                "bad_rows": self.survey.bad,
                "bad_pictures": self.unreadable,
                "questions_without_kept_answer": self.rows.dropped,
            },
            "source": list(self.request.source),
            "plan": self.digest,
        }


class _Counts:
    """Rows, texts and labels of the files of one split."""

    def __init__(self) -> None:
        self.files = self.rows = self.texts = 0
        self.labels: Counter[Any] = Counter()

    def add(self, path: Path) -> int:
        """Count a file; returns its rows."""
        with open_arrow(path) as file:
            names = file.schema.names
            batches = [file.get_batch(index) for index in range(file.num_record_batches)]
            rows = sum(batch.num_rows for batch in batches)
            text = next((name for name in TEXT_COLUMNS if name in names), None)
            for batch in batches:
                if text is not None:
                    self.texts += len(batch.column(text).flatten())
                column = "labels" if "labels" in names else "answers" if "image_1" in names else None
                if column is not None:
                    for entry in pc.value_counts(batch.column(column).flatten()).to_pylist():
                        self.labels[entry["values"]] += entry["counts"]
        self.rows += rows
        self.files += bool(rows)
        return rows
