"""VQAv2: questions about COCO images, with soft targets over the answer vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..files import write_json
from .answer_classes import build_vocabulary, soft_targets
from .arrow_input import open_arrow
from .json_stream import Unique, stream_array
from .schemas import VQA, VQA_TEST
from .tables import (
    PreparationError,
    Row,
    Settings,
    Table,
    image_number,
    list_images,
    shuffled,
)

REST_VAL_IMAGES = 1000
OFFICIAL_QUESTIONS = 443_757 + 214_354
OFFICIAL_CLASSES = 3129

_FOLDERS = {"train": "train2014", "val": "val2014", "test": "test2015", "test-dev": "test2015"}
_QUESTIONS = {"train": "train2014", "val": "val2014", "test": "test2015", "test-dev": "test-dev2015"}
_ROOT = "mscoco_flickr30k_vqav2_snli_ve"


@dataclass
class ImageQuestions:
    """The questions about one image, as parallel lists; the last three stay empty in a test split."""

    ids: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    answers: list[list[str]] = field(default_factory=list)
    labels: list[list[int]] = field(default_factory=list)
    scores: list[list[float]] = field(default_factory=list)

    def add(self, question_id: int, text: str, answers: list[str], labels: list[int], scores: list[float]) -> None:
        """Append a question with its targets."""
        self.ids.append(question_id)
        self.texts.append(text)
        self.answers.append(answers)
        self.labels.append(labels)
        self.scores.append(scores)

    def row(self, image: Path, image_id: int, split: str) -> Row:
        """The row of an arrow file."""
        values: dict[str, Any] = {
            "questions": self.texts,
            "answers": self.answers,
            "answer_labels": self.labels,
            "answer_scores": self.scores,
            "image_id": image_id,
            "question_id": self.ids,
            "split": split,
        }
        return Row((image,), values)


def vqa_file(settings: Settings, name: str) -> Path:
    """A file of the VQAv2 release, in `vqav2/` or, as ViLT lays it out, beside the image folders."""
    return settings.find(*(f"{folder}{name}" for folder in (f"{_ROOT}/vqav2/", f"{_ROOT}/", "vqav2/", "")))


def read_vocabulary(settings: Settings) -> dict[str, int]:
    """Class of each answer, from the training and validation annotations in this order.

    Raises:
        PreparationError: the files have the official number of questions but give another number of classes.
    """
    count = 0

    def answers() -> Iterator[str]:
        nonlocal count
        for split in ("train", "val"):
            path = vqa_file(settings, f"v2_mscoco_{_QUESTIONS[split]}_annotations.json")
            for annotation in stream_array(path, "annotations", {"multiple_choice_answer": str}):
                count += 1
                yield annotation["multiple_choice_answer"]

    vocabulary = build_vocabulary(answers())
    if not vocabulary or (count == OFFICIAL_QUESTIONS and len(vocabulary) != OFFICIAL_CLASSES):
        raise PreparationError(
            f"{settings.source}: {count} VQAv2 annotations give {len(vocabulary)} answer classes; the official files "
            f"give {OFFICIAL_CLASSES}, and an answer must occur 9 times to become a class"
        )
    return vocabulary


def read_questions(settings: Settings, split: str) -> dict[int, ImageQuestions]:
    """The questions of a split by image, in file order, without answers."""
    images: dict[int, ImageQuestions] = {}
    path = vqa_file(settings, f"v2_OpenEnded_mscoco_{_QUESTIONS[split]}_questions.json")
    unique = Unique(path, "question_id")
    for entry in stream_array(path, "questions", {"image_id": int, "question_id": int, "question": str}):
        image = images.setdefault(entry["image_id"], ImageQuestions())
        image.ids.append(unique.take(entry["question_id"]))
        image.texts.append(entry["question"])
    return images


def add_answers(
    images: dict[int, ImageQuestions], path: Path, vocabulary: dict[str, int], normalize: Callable[[str], str]
) -> dict[int, ImageQuestions]:
    """The images with the questions that have an answer in the vocabulary, and with their targets.

    Raises:
        PreparationError: a question is not annotated.
    """
    targets: dict[int, tuple[list[str], list[int], list[float]]] = {}
    unique = Unique(path, "question_id")
    for annotation in stream_array(path, "annotations", {"question_id": int, "answers": [{"answer": str}]}):
        answers = (normalize(answer["answer"]) for answer in annotation["answers"])
        targets[unique.take(annotation["question_id"])] = soft_targets(answers, vocabulary)
    answered: dict[int, ImageQuestions] = {}
    for image_id, image in images.items():
        for question_id, text in zip(image.ids, image.texts, strict=True):
            if question_id not in targets:
                raise PreparationError(
                    f"{path}: no annotation of question {question_id}; it belongs to other questions"
                )
            if targets[question_id][1]:
                answered.setdefault(image_id, ImageQuestions()).add(question_id, text, *targets[question_id])
    return answered


def tables(settings: Settings, suffix: str, normalize: Callable[[str], str]) -> Iterator[Table]:
    """`vqav2_*`, with the last images of the written validation file once more as `rest_val`, the others as
    `trainable_val`; and `vqav2_answers.json`, the answers in the order of their classes.

    Args:
        settings: where the data is; `held_out` is the number of images of `rest_val`.
        suffix: end of the file names.
        normalize: how the ten answers of a question are spelled before the vocabulary is asked.
    """
    vocabulary = read_vocabulary(settings) if settings.wants("train") or settings.wants("val") else {}
    if vocabulary:
        write_json(settings.output / "vqav2_answers.json", list(vocabulary), indent=None)
    for split in filter(settings.wants, _FOLDERS):
        images = read_questions(settings, split)
        if split in ("train", "val"):
            path = vqa_file(settings, f"v2_mscoco_{_QUESTIONS[split]}_annotations.json")
            images = add_answers(images, path, vocabulary, lru_cache(100_000)(normalize))
        yield _table(settings, f"vqav2_{split}{suffix}", split, images)
    yield from _parts_of_val(settings, suffix)


def _table(settings: Settings, name: str, split: str, images: dict[int, ImageQuestions]) -> Table:
    folder = settings.find(f"{_ROOT}/{_FOLDERS[split]}", _FOLDERS[split])
    paths = shuffled(list_images([folder], ".jpg"), settings.seed)
    found = set(map(image_number, paths))
    year_name = f"COCO_{_FOLDERS[split]}_"
    missing = [str(folder / f"{year_name}{image_id:012}.jpg") for image_id in images if image_id not in found]

    def row(path: str) -> Row:
        return images[image_number(path)].row(Path(path), image_number(path), split)

    items = [path for path in paths if image_number(path) in images]
    return Table(name, VQA if split in ("train", "val") else VQA_TEST, items, row, missing)


def _parts_of_val(settings: Settings, suffix: str) -> Iterator[Table]:
    wanted = [split for split in ("trainable_val", "rest_val") if settings.wants(split)]
    path = settings.output / f"vqav2_val{suffix}.arrow"
    if not wanted:
        return
    if not path.is_file():
        raise PreparationError(f"{path}: needed for {' and '.join(wanted)}; prepare the split val first")
    with open_arrow(path) as file:
        val = file.read_all()
        ids = [str(image_id) for image_id in val["image_id"].to_pylist()]
        number = {image_id: index for index, image_id in enumerate(ids)}
        rest = settings.held_out or REST_VAL_IMAGES
        if len(ids) <= rest:
            raise PreparationError(f"{path}: {len(ids)} images, of which rest_val would take {rest}; give --held_out")

        def row(image_id: str) -> Row:
            (values,) = val.slice(number[image_id], 1).to_pylist()
            return Row((values.pop("image"),), values)

        for split, items in (("trainable_val", ids[:-rest]), ("rest_val", ids[-rest:])):
            if split in wanted:
                yield Table(f"vqav2_{split}{suffix}", VQA, items, row)
