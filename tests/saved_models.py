"""Small random models of every class, saved with a tokenizer as trainings leave them, and pictures to give them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import bridgetower
from bridgetower.inputs import BridgeTowerTokenizer
from bridgetower.preparation.train_tokenizer import save_tokenizer, train_tokenizer
from tests.models import SIZE, small_model

ANSWERS = ["red", "green", "blue", "yes", "no"]
#: Class and changes of its configuration by a short name.
CLASSES: dict[str, tuple[str, dict[str, Any]]] = {
    "vqa": ("BridgeTowerForQuestionAnswering", {"num_labels": 5}),
    "entailment": ("BridgeTowerForVisualEntailment", {}),
    "nlvr2": ("BridgeTowerForImagesAndTextClassification", {}),
    "mlm": ("BridgeTowerForMaskedLM", {}),
    "itm": ("BridgeTowerForImageAndTextRetrieval", {}),
    "ranking": ("BridgeTowerForRetrievalRanking", {}),
    "contrastive": ("BridgeTowerForContrastiveLearning", {"text_config": {"hidden_size": 32}}),
    "itm_itc": ("BridgeTowerForContrastiveRetrieval", {}),
    "pretrain": ("BridgeTowerForPreTraining", {"objectives": ["mlm", "itm", "itc"]}),
    "itc": ("BridgeTowerForPreTraining", {"objectives": ["itc"]}),
    "bare": ("BridgeTowerModel", {}),
    "cifar": ("BridgeTowerForImageClassification", {"num_labels": 4}),
    "glue": ("BridgeTowerForSequenceClassification", {"num_labels": 3}),
}
TEXT = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48,
            max_position_embeddings=26, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


def save_model(name: str, folder: Path) -> Path:
    """Write the model of a short name, with its tokenizer, and return the folder."""
    save_tokenizer(train_tokenizer(["what is this?", "a red square", "is it blue?"] * 5, 290), folder)
    class_name, changes = CLASSES[name]
    text = {"vocab_size": BridgeTowerTokenizer.from_pretrained(folder).vocab_size, **TEXT,
            **changes.get("text_config", {})}
    vision = dict(hidden_size=64, num_hidden_layers=2, patch_size=16, image_size=SIZE)
    model = small_model(getattr(bridgetower, class_name), **{**changes, "text_config": text, "vision_config": vision})
    if name == "vqa":
        model.config.name_labels(dict(enumerate(ANSWERS)))
    model.save_pretrained(str(folder))
    return folder


def write_pictures(folder: Path, count: int) -> list[Path]:
    """Write pictures of noise of different sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(0)
    paths = [folder / f"picture{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        noise = draw.integers(0, 255, (40 + number, 50, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((80, 70 + number)).save(path)
    return paths


def png_that_claims(width: int, height: int) -> bytes:
    """A small file that says it is a large picture."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"0" * 999)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
