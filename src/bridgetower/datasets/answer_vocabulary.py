"""Answer ids of VQA and the strings they stand for."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .arrow import ArrowTable
from .image_text import ImageTextDataset

__all__ = ["AnswerVocabulary"]

#: Ids may have gaps up to here, as parts of VQAv2 do not hold all of its answers.
_SPARSE = 20_000


class AnswerVocabulary:
    """Answer id -> answer string.

    Attributes:
        answers: the known answers by id.
        num_answers: largest id + 1.
    """

    def __init__(self, answers: dict[int, str]) -> None:
        self.answers = answers
        self.num_answers = max(answers, default=-1) + 1

    @classmethod
    def from_datasets(cls, *datasets: ImageTextDataset) -> AnswerVocabulary:
        """Collect the answers in the VQA tables of the datasets, usually training and validation."""
        return cls.from_tables(
            table for dataset in datasets for source in dataset.sources if source.spec.kind == "vqa"
            for table in source.tables if isinstance(table, ArrowTable)
        )

    @classmethod
    def from_tables(cls, tables: Iterable[ArrowTable]) -> AnswerVocabulary:
        """Collect the answers of tables in the VQAv2 schema.

        Raises:
            ValueError: the columns `answers` and `answer_labels` of a table do not go together, two tables give one id
                to different answers, or ids are far above the number of answers.
        """
        answers: dict[int, str] = {}
        for table in tables:
            if not (table.has_column("answers") and table.has_column("answer_labels")):
                continue
            labels, strings = table.flat_values("answer_labels"), table.flat_values("answers")
            if len(labels) != len(strings):
                raise ValueError(
                    f"{table.path} has {len(labels)} answer_labels for {len(strings)} answers; make the file again"
                )
            ids, first = np.unique(labels, return_index=True)
            for index, position in zip(ids.tolist(), first, strict=True):
                answer = answers.setdefault(index, strings[position])
                if answer != strings[position]:
                    raise ValueError(
                        f"{table.path}: answer label {index} is {strings[position]!r}, in another table {answer!r}; "
                        "make all tables again with one vocabulary"
                    )
        if max(answers, default=0) > max(_SPARSE, 10 * len(answers)):
            raise ValueError(f"the tables number their {len(answers)} answers up to {max(answers)}, which a classifier "
                             "would need a class each for; make the tables again")
        return cls(dict(sorted(answers.items())))

    def __getitem__(self, index: int) -> str:
        """The answer of an id; "unknown" for an id that no table holds."""
        return self.answers.get(int(index), "unknown")
