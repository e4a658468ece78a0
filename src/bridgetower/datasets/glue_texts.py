"""GLUE: the tables of the `datasets` library, one folder per task."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Literal

from .glue_tasks import glue_task
from .image_text import SampleRecord
from .labelled import LabelledDataset, find_split, read_table
from .samples import Sample

__all__ = ["GlueDataset"]

_PARTS = {"train": "train", "val": "validation", "test": "test"}


class GlueDataset(LabelledDataset):
    """Sentences, or pairs of sentences, of one GLUE task."""

    def __init__(self, name: str, split: Literal["train", "val", "test"], data_root: str | os.PathLike[str],
                 limit: int = 0) -> None:
        """Open a split of `data_root/glue/NAME`; MNLI's validation and test have two parts, matched and mismatched.

        Args:
            name: the task, for instance `cola`.
            split: `test` has no labels in GLUE.
            data_root: the folder of the data sets.
            limit: keep only the first rows; 0 keeps all.

        Raises:
            KeyError: an unknown task, or a file without a column.
            FileNotFoundError: no files of the split.
            ValueError: a label that the task does not have.
        """
        self.task = glue_task(name)
        folder = Path(data_root).expanduser() / "glue" / name
        parts = [_PARTS[split]]
        if split != "train" and self.task.parts:
            parts = [f"{_PARTS[split]}_{part}" for part in self.task.parts]
        self._columns: list[dict[str, list]] = []
        for part in parts:
            wanted = [*self.task.fields, *(["label"] if split != "test" else [])]
            columns = read_table(find_split(folder, part), wanted).to_pydict()
            self._check(columns.get("label", []), f"{folder} {part}")
            self._columns.append(columns)
        lengths = [len(columns[self.task.fields[0]]) for columns in self._columns]
        super().__init__(name, self.task.num_labels, [f"{name}_{part}" for part in parts], lengths, limit)

    def _check(self, labels: list, where: str) -> None:
        for row, label in enumerate(labels):
            if label is None or (self.task.num_labels > 1 and not 0 <= label < self.task.num_labels):
                raise ValueError(f"{where} row {row}: label {label!r} is none of the {self.task.num_labels} classes")

    def __getitem__(self, index: int) -> Sample:
        """Make a sample; its text is a pair where the task has two fields."""
        table, row = self._locate(index)
        columns = self._columns[table]
        texts = tuple(columns[field][row] for field in self.task.fields)
        label = columns["label"][row] if "label" in columns else None
        if label is not None:
            label = float(label) if self.task.num_labels == 1 else int(label)
        return Sample(0, 0, index, index, table, text=texts[0] if len(texts) == 1 else texts, label=label)

    def record(self, index: int) -> SampleRecord:
        """Where a sample comes from, and its first sentence."""
        table, row = self._locate(index)
        return replace(super().record(index), text=self._columns[table][self.task.fields[0]][row])
