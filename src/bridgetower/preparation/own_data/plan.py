"""The plan of own tables: their kind, classes or answers, and how groups of items become rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pyarrow as pa

from ..schemas import CAPTIONS, IDENTIFIERS, IMAGE_CLASSES, NLVR2_WITH_SENTENCES, SNLI_VE, TEXT_CLASSES, VQA
from ..snli_ve import LABELS as ENTAILMENT
from ..tables import Row
from .items import Item
from .survey import Survey

_TRUTH = ("False", "True")


@dataclass(frozen=True)
class Plan:
    """What the tables hold.

    Attributes:
        kind: of `DatasetSpec`; the published kinds where the classes are theirs.
        schema: columns of the tables.
        columns: the source's column of each field.
        classes: names of the classes, in the order of their ids.
        answers: answers, in the order of their ids.
        numeric_ids: whether the user's identifiers serve as question ids.
    """

    kind: str
    schema: pa.Schema
    columns: Mapping[str, str]
    classes: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    numeric_ids: bool = False

    @property
    def modality(self) -> str:
        """What a sample consists of: `image+text`, `image` or `text`."""
        has_image, has_text = "image" in self.columns, bool({"text", "question"} & self.columns.keys())
        return "image+text" if has_image and has_text else "image" if has_image else "text"


def make_plan(task: str, survey: Survey, classes: Sequence[str] | None, min_answer_count: int) -> Plan:
    """Decide what the tables hold.

    Args:
        task: one of `TASKS`.
        survey: of the source.
        classes: the classes in the order of their ids; None for those of the source, sorted.
        min_answer_count: how often an answer must occur to become a class of VQA.
    """
    if task == "caption":
        return Plan("caption", CAPTIONS.append(IDENTIFIERS), survey.columns)
    if task == "vqa":
        kept = [answer for answer, count in survey.answers.items() if count >= min_answer_count]
        schema = VQA.append(IDENTIFIERS)
        return Plan("vqa", schema, survey.columns, answers=tuple(kept), numeric_ids=survey.numeric_ids)
    names = tuple(classes or survey.class_order or sorted(survey.labels, key=_natural))
    if task == "pair_classify":
        kind = "nlvr2" if {*names} == {*_TRUTH} else "pair_classify"
        return Plan(kind, NLVR2_WITH_SENTENCES, survey.columns, _TRUTH if kind == "nlvr2" else names)
    if not {"image", "text"} <= survey.columns.keys():
        schema = IMAGE_CLASSES if "image" in survey.columns else TEXT_CLASSES
        return Plan("classify", schema, survey.columns, names)
    kind = "snli" if {*names} == ENTAILMENT.keys() else "classify"
    return Plan(kind, SNLI_VE.append(IDENTIFIERS), survey.columns, tuple(ENTAILMENT) if kind == "snli" else names)


def _natural(name: str) -> tuple[int, int, str]:
    """Numbers by value, before names by letters."""
    return (0, int(name), name) if name.isdecimal() else (1, 0, name)


class RowMaker:
    """Makes rows of items: neighbours about the same pictures and of one split become one row.

    Attributes:
        dropped: questions without an answer that is kept.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.class_ids = {name: index for index, name in enumerate(plan.classes)}
        self.answer_ids = {answer: index for index, answer in enumerate(plan.answers)}
        self.pictures = self.questions = self.dropped = 0

    def rows(self, items: Iterable[Item]) -> Iterator[Row]:
        """The rows, with the further values `split`, the given split, and `where`, file and row of the first item."""
        numbered = self._answered(items) if self.plan.kind == "vqa" else ((0, item) for item in items)
        for _, group in groupby(numbered, self._key):
            members = list(group)
            yield Row(members[0][1].images, self._values(members))
            self.pictures += 1

    def _key(self, member: tuple[int, Item]) -> Any:
        # A row of pictures alone, or of texts alone, is one sample.
        item = member[1]
        return (item.images, item.split) if self.plan.modality == "image+text" else item.where

    def _answered(self, items: Iterable[Item]) -> Iterator[tuple[int, Item]]:
        for number, item in enumerate(items):
            if any(answer in self.answer_ids for answer, _ in item.answers):
                yield number, item
            else:
                self.dropped += 1

    def _values(self, members: list[tuple[int, Item]]) -> dict[str, Any]:
        items = [item for _, item in members]
        texts = [text for item in items for text in item.texts]
        values: dict[str, Any] = {
            "split": items[0].split,
            "where": items[0].where,
            "identifiers": [item.identifier for item in items],
        }
        labels = [self.class_ids[item.label] for item in items if item.label is not None]
        if self.plan.kind == "caption":
            ids = [item.identifier for item in items for _ in item.texts]
            return values | {"caption": texts, "image_id": items[0].picture, "identifiers": ids}
        if self.plan.kind == "vqa":
            return values | {"questions": texts, "image_id": self.pictures, **self._targets(members)}
        if self.plan.schema is NLVR2_WITH_SENTENCES:
            answers = [item.label for item in items]
            return values | {"questions": texts, "answers": answers, "identifier": items[0].picture}
        sentences = {"sentences": [["", text] for text in texts]} if texts else {}
        return values | sentences | {"labels": labels}

    def _targets(self, members: list[tuple[int, Item]]) -> dict[str, Any]:
        kept = [[pair for pair in item.answers if pair[0] in self.answer_ids] for _, item in members]
        return {
            "question_id": [int(item.identifier) if self.plan.numeric_ids else number for number, item in members],
            "answers": [[answer for answer, _ in pairs] for pairs in kept],
            "answer_labels": [[self.answer_ids[answer] for answer, _ in pairs] for pairs in kept],
            "answer_scores": [[credit for _, credit in pairs] for pairs in kept],
        }
