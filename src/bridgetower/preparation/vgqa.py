"""VG-QA: questions of Visual Genome in the layout of VQAv2, as further training data for VQA."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from ..files import write_json
from . import splits
from .answer_classes import normalize_answer
from .json_stream import read_json, stream_array
from .schemas import VQA
from .tables import PreparationError, Row, Settings, Table, image_number
from .text_files import read_lines
from .visual_genome import find_images, vg_file
from .vqav2 import ImageQuestions, read_vocabulary

logger = logging.getLogger(__name__)

HELD_OUT_IMAGES = 5000  # in each of val and test
ALL_IDS, COCO_IDS = "ids.json", "coco_ids.json"


def split_images(settings: Settings) -> dict[str, list[int]]:
    """Decide which images are for training, and write their numbers by split to `coco_ids.json` and `ids.json`.

    Images that come from COCO follow the Karpathy split, and `coco_ids.json` lists them alone. Of all others, test and
    then val get as many as fill them up to `held_out` images, and train gets the rest.

    Returns:
        The numbers of `ids.json`.

    Raises:
        PreparationError: too few images, or more COCO images in test or val than `held_out`.
    """
    held_out = settings.held_out or HELD_OUT_IMAGES
    split_of = {
        coco_id: split
        for split in ("train", "val", "test")
        for coco_id in _coco_ids(vg_file(settings, f"coco_splits/karpathy_{split}_images.txt"))
    }
    ids: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    remainder: list[int] = []
    path = vg_file(settings, "image_data.json")
    for image in stream_array(path, None, {"image_id": int, "coco_id": int | None}):
        split = split_of.get(image["coco_id"])
        (ids[split] if split else remainder).append(image["image_id"])
    logger.info("COCO images: %s; others: %d", {split: len(images) for split, images in ids.items()}, len(remainder))
    write_json(settings.output / COCO_IDS, ids, indent=None)
    random.Random(settings.seed).shuffle(remainder)
    for split in ("test", "val"):
        lacking = held_out - len(ids[split])
        if not 0 <= lacking <= len(remainder):
            raise PreparationError(
                f"{path}: {split} has {len(ids[split])} COCO images and {len(remainder)} others are left, "
                f"which cannot make {held_out}; give another --held_out"
            )
        ids[split] += [remainder.pop() for _ in range(lacking)]
    ids["train"] += remainder
    write_json(settings.output / ALL_IDS, ids, indent=None)
    return ids


def _coco_ids(path: Path) -> Iterator[int]:
    for number, line in read_lines(path):
        digits = line.partition(".")[0].rpartition("_")[2]
        if not digits.isdecimal():
            raise PreparationError(f"{path}, line {number}: no COCO file name in {line!r}")
        yield int(digits)


def tables(settings: Settings, name: str, ids_file: str) -> Iterator[Table]:
    """`NAME_train` and `NAME_val`, over the images that `ids_file` lists; val takes the images of val and test."""
    hint = "make it with the command vgqa_split"
    ids = read_json(vg_file(settings, f"vgqa/{ids_file}", hint=hint), dict.fromkeys(("train", "val", "test"), [int]))
    split_of = dict.fromkeys((*ids["val"], *ids["test"]), "val") | dict.fromkeys(ids["train"], "train")
    vocabulary = read_vocabulary(settings)
    normalize = lru_cache(100_000)(normalize_answer)
    images: dict[str, dict[int, ImageQuestions]] = {split: {} for split in splits.VGQA}
    shape = {"qas": [{"image_id": int, "qa_id": int, "question": str, "answer": str}]}
    for entry in stream_array(vg_file(settings, "annotations/question_answers.json"), None, shape):
        if entry["qas"] and (split := split_of.get(entry["qas"][0]["image_id"])):
            answers = [(qa, normalize(qa["answer"])) for qa in entry["qas"]]
            _add_questions(images[split], [(qa, answer) for qa, answer in answers if answer in vocabulary], vocabulary)
    for split in filter(settings.wants, splits.VGQA):
        yield _table(settings, f"{name}_{split}", split, images[split])


def _add_questions(
    images: dict[int, ImageQuestions], answered: list[tuple[dict[str, Any], str]], vocabulary: Mapping[str, int]
) -> None:
    """Add an image's questions that have one answer only, each once, under the number of its first occurrence."""
    by_question: dict[str, list[tuple[dict[str, Any], str]]] = {}
    for qa, answer in answered:
        by_question.setdefault(qa["question"], []).append((qa, answer))
    for question, occurrences in by_question.items():
        if len({answer for _, answer in occurrences}) == 1:
            qa, answer = occurrences[0]
            image = images.setdefault(qa["image_id"], ImageQuestions())
            image.add(qa["qa_id"], question, [answer], [vocabulary[answer]], [1.0])


def _table(settings: Settings, name: str, split: str, images: dict[int, ImageQuestions]) -> Table:
    items, missing = find_images(settings, set(images))

    def row(path: str) -> Row:
        return images[image_number(path)].row(Path(path), image_number(path), split)

    return Table(name, VQA, items, row, missing)


all_tables = partial(tables, name="vgqa", ids_file=ALL_IDS)
coco_tables = partial(tables, name="vgqa_coco", ids_file=COCO_IDS)
