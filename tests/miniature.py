"""A data set, a tokenizer and experiment files so small that a training run takes a second."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image

from bridgetower.preparation.schemas import CAPTIONS, VQA
from bridgetower.preparation.train_tokenizer import save_tokenizer, train_tokenizer

COLOURS = {"red": (220, 20, 30), "green": (20, 200, 40), "blue": (30, 40, 230), "white": (250, 250, 250)}
ANSWERS = [*COLOURS, "yes", "no"]
NUM_TRAIN, NUM_TEST = 12, 5  # images; three questions and two captions each

MODEL: dict[str, Any] = {
    "text_config": {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
                    "max_position_embeddings": 24, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    "vision_config": {"hidden_size": 64, "num_hidden_layers": 2, "patch_size": 16},
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "contrastive_hidden_size": 16,
    "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
}


def _colour(number: int) -> str:
    return list(COLOURS)[number % len(COLOURS)]


def picture(number: int) -> Image.Image:
    """The picture of a row."""
    return Image.new("RGB", (32, 32), tuple(max(0, channel - number) for channel in COLOURS[_colour(number)]))


def encoded_picture(number: int) -> tuple[str, bytes]:
    stream = io.BytesIO()
    picture(number).save(stream, "PNG")
    return _colour(number), stream.getvalue()


def _write(path: Path, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    table = pa.Table.from_pylist(rows, schema=schema)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        writer.write_table(table)


def write_tables(folder: Path, first_image: bytes | None = None, split: str = "") -> None:
    """The tables of `easy_vqa` and `easy_vqa_caption`; `first_image` replaces the first picture of a split."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, count in (("train", NUM_TRAIN), ("test", NUM_TEST)):
        questions, captions = [], []
        for number in range(count):
            colour, image = encoded_picture(number)
            if number == 0 and first_image is not None and name == split:
                image = first_image
            other = "blue" if colour != "blue" else "red"
            asked = [("what color is the square?", colour), (f"is it {colour}?", "yes"), (f"is it {other}?", "no")]
            common = {"image": image, "split": name}
            questions.append({
                **common, "questions": [text for text, _ in asked], "answers": [[answer] for _, answer in asked],
                "answer_labels": [[ANSWERS.index(answer)] for _, answer in asked],
                "answer_scores": [[1.0]] * 3, "image_id": number, "question_id": [10 * number + k for k in range(3)]})
            captions.append({**common, "caption": [f"a {colour} square", f"the square is all {colour}"],
                             "image_id": str(number)})
        _write(folder / f"easy_vqa_{name}.arrow", questions, VQA)
        _write(folder / f"easy_vqa_caption_{name}.arrow", captions, CAPTIONS)


def write_miniature(folder: Path) -> Path:
    """Make `folder/data` and `folder/tokenizer`."""
    write_tables(folder / "data")
    texts = ["what color is the square?", "a red square", "the square is all green", "is it blue?", "white"] * 3
    save_tokenizer(train_tokenizer(texts, 300), folder / "tokenizer")
    return folder


def write_experiment(folder: Path, name: str, task: Mapping[str, Any], model: Mapping[str, Any] = MODEL,
                     data: Mapping[str, Any] | None = None, **training: Any) -> Path:
    """An experiment file over the miniature; `training` adds to its defaults of flags."""
    datasets = ["easy_vqa_caption"] if task["name"] == "pretrain" else ["easy_vqa"]
    values = {
        "model": model,
        "data": {"datasets": datasets, "tokenizer": str(folder / "tokenizer"), "image_size": 32, "max_text_len": 12,
                 **(data or {})},
        "task": task,
        "optimization": {"learning_rate": 0.003, "lr_mult_head": 1, "lr_mult_cross_modal": 1},
        "training": {"per_device_train_batch_size": 8, "per_device_eval_batch_size": 4, "lr_scheduler_type":
                     "polynomial", "warmup_ratio": 0.1, "logging_steps": 1, "seed": 3, "disable_tqdm": True,
                     "save_strategy": "no", "max_grad_norm": -1, **training},
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(values))
    return path
