"""Writes own tables part by part, and puts them and their description in place at the very end."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from ...datasets.description import FORMAT, READING_SETTINGS, description_path
from ...datasets.soundness import forget_checksums, record_checksums
from ...files import write_json
from ...progress import progress_bar
from ..arrow_input import open_arrow
from ..images import ImageReader
from ..schemas import TEXT_COLUMNS, image_columns
from ..tables import PreparationError, Row
from ..writer import Batches, arrow_file
from .division import Division, Shares, content_hash
from .items import BadRowError, Interpreter
from .locations import SPLITS, SourceFile
from .plan import Plan, RowMaker
from .survey import Survey, good_items

logger = logging.getLogger(__name__)


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
    scale_16bit: str = "full"
    apply_exif: bool = False
    skip_bad: bool = False
    overwrite: bool = False


def table_paths(request: Request) -> list[Path]:
    """The tables of the data set that are in the output folder."""
    names = re.compile(rf"{re.escape(request.name)}_({'|'.join(SPLITS)})_\d+\.arrow")
    return [path for path in sorted(request.output.glob("*.arrow")) if names.fullmatch(path.name)]


def work_folder(request: Request) -> Path:
    """The hidden folder in which complete parts wait for the others."""
    return request.output / f".{request.name}.partial"


class PartWriter:
    """Writes one data set part by part, each with a file per split."""

    def __init__(self, request: Request, plan: Plan, survey: Survey, digest: str) -> None:
        self.request, self.plan, self.survey, self.digest = request, plan, survey, digest
        self.work = work_folder(request)
        given = frozenset(split for split in survey.splits if split is not None)
        shares = Shares(request.val_share, request.test_share, request.seed, given)
        self.division = Division(shares, pairs="image_1" in plan.columns)
        self.needs_training = not given or "train" in given
        self.maker = RowMaker(plan)
        self.columns = frozenset(plan.schema.names)
        self.parts = self.unreadable = 0

    def write(
        self, files: Sequence[SourceFile], interpreters: Sequence[Interpreter], reader: ImageReader, progress: bool
    ) -> None:
        """Write the parts that are not there yet."""
        items = good_items(files, interpreters, "id" in self.plan.columns)
        bar = progress_bar(items, total=self.survey.items, desc=self.request.name, unit=" rows", disable=not progress)
        rows = self.maker.rows(bar)
        for first in rows:
            self._part(chain([first], islice(rows, self.request.shard_size - 1)), reader)
            self.parts += 1

    def _paths(self, part: int) -> dict[str, Path]:
        return {split: self.work / f"{split}_{part}.arrow" for split in SPLITS}

    def _part(self, rows: Iterator[Row], reader: ImageReader) -> None:
        paths, marker = self._paths(self.parts), self.work / f"{self.parts}.json"
        kept = json.loads(marker.read_text(encoding="utf-8")) if marker.is_file() else {}
        if kept.get("plan") == self.digest and all(path.is_file() for path in paths.values()):
            deque(rows, maxlen=0)
            for split, path in paths.items():
                self._remember(path, split)
            self.unreadable += kept["unreadable"]
            self.division.across += kept["across"]
            return
        before = self.unreadable, self.division.across
        with ExitStack() as stack:
            batches = {
                split: Batches(stack.enter_context(arrow_file(path, self.plan.schema)), self.plan.schema)
                for split, path in paths.items()
            }
            for row, images in reader.read(rows):
                self._add(row, images, batches)
            for each in batches.values():
                each.flush()
        left_out = {"unreadable": self.unreadable - before[0], "across": self.division.across - before[1]}
        write_json(marker, {"plan": self.digest, **left_out})  # last: now the part is complete

    def _remember(self, path: Path, split: str) -> None:
        """Note the pictures of a table that an earlier run wrote."""
        if not self.division.remembers:
            return
        with open_arrow(path) as file:
            for index in range(file.num_record_batches):
                for name in image_columns(file.schema):
                    for picture in file.get_batch(index).column(name):
                        self.division.remember(content_hash(picture.as_py()), split)

    def _add(self, row: Row, images: list[bytes] | str, batches: dict[str, Batches]) -> None:
        where = row.values["where"]
        if isinstance(images, str):
            self._bad(images if images.startswith(f"{where}: ") else f"{where}: {images}")
            return
        contents = [content_hash(image) for image in images] or [content_hash(str(row.values["sentences"]).encode())]
        try:
            split = self.division.split(where, row.values["split"], contents)
        except BadRowError as error:
            self._bad(str(error))
            return
        if split is None:
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
        counts = {split: SplitCounts() for split in SPLITS}
        moves: list[tuple[Path, Path]] = []
        for part in range(self.parts):
            for split, path in self._paths(part).items():
                if counts[split].add(path):
                    name = f"{self.request.name}_{split}_{counts[split].files - 1}.arrow"
                    moves.append((path, self.request.output / name))
        if self.needs_training and not counts["train"].rows:
            raise PreparationError(
                f"{self.survey.items} rows leave none for training; give more, or lower --val_share and --test_share"
            )
        description = self._describe(counts)
        description_path(self.request.output, self.request.name).unlink(missing_ok=True)
        old = table_paths(self.request)
        forget_checksums(self.request.output, *(path.name for path in old))
        for path in old:
            path.unlink()
        for path, target in moves:
            path.rename(target)
        record_checksums(self.request.output, *(target.name for _, target in moves))
        write_json(description_path(self.request.output, self.request.name), description)
        shutil.rmtree(self.work)
        return description

    def _describe(self, counts: dict[str, SplitCounts]) -> dict[str, Any]:
        used = {split: count for split, count in counts.items() if count.rows}
        if "train" in used:
            for name in (name for name, count in used["train"].classes(self.plan).items() if not count):
                logger.warning("no row of class %r is in the train split; give more rows, or name the splits", name)
        return {
            "format": FORMAT,
            "name": self.request.name,
            "task": self.request.task,
            "kind": self.plan.kind,
            "modality": self.plan.modality,
            "classes": list(self.plan.classes),
            "answers": list(self.plan.answers),
            "tables": {split: f"{self.request.name}_{split}" for split in used},
            "counts": {split: count.describe(self.plan) for split, count in used.items()},
            "columns": dict(self.plan.columns),
            **self._reading(),
            "identifiers": self.plan.columns.get("id", self.plan.columns.get("image", "file and row")),
            "left_out": {
                "bad_rows": self.survey.bad,
                "bad_pictures": self.unreadable,
                "questions_without_kept_answer": self.maker.dropped,
                "pairs_across_splits": self.division.across,
            },
            "source": list(self.request.source),
            "plan": self.digest,
        }

    def _reading(self) -> dict[str, Any]:
        """How the pictures, which are stored as they are, are to be read."""
        if "image" not in self.plan.columns:
            return {}
        return {name: getattr(self.request, name) for name in READING_SETTINGS}


class SplitCounts:
    """Files, rows, texts and labels of one split."""

    def __init__(self) -> None:
        self.files = self.rows = self.texts = 0
        self.labels: Counter[Any] = Counter()

    def add(self, path: Path) -> int:
        """Count a file; returns its rows."""
        with open_arrow(path) as file:
            batches = [file.get_batch(index) for index in range(file.num_record_batches)]
            names = {*file.schema.names}
            text = next((name for name in TEXT_COLUMNS if name in names), None)
            label = "labels" if "labels" in names else "answers" if "image_1" in names else None
            for batch in batches:
                self.texts += len(batch.column(text).flatten()) if text else 0
                entries = pc.value_counts(batch.column(label).flatten()).to_pylist() if label else []
                self.labels.update({entry["values"]: entry["counts"] for entry in entries})
        rows = sum(batch.num_rows for batch in batches)
        self.rows += rows
        self.files += bool(rows)
        return rows

    def classes(self, plan: Plan) -> dict[str, int]:
        """Rows of each class; pairs of pictures have the names of their classes, other tables the ids."""
        by_name = "image_1" in plan.schema.names
        return {name: self.labels[name if by_name else index] for index, name in enumerate(plan.classes)}

    def describe(self, plan: Plan) -> dict[str, Any]:
        """What `NAME.json` says of a split."""
        classes = {"classes": self.classes(plan)} if plan.classes else {}
        return {"rows": self.rows, "texts": self.texts, **classes}
