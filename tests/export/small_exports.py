"""Small models with a head each, their checkpoints, and what they compute of a batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import paddle

from bridgetower import (
    BridgeTowerForContrastiveLearning,
    BridgeTowerForContrastiveRetrieval,
    BridgeTowerForImageAndTextRetrieval,
    BridgeTowerForMaskedLM,
    BridgeTowerForQuestionAnswering,
    BridgeTowerForRetrievalRanking,
)
from bridgetower.inputs.tokenizer import BridgeTowerTokenizer
from tests.models import SIZE, small_model

#: Of the largest entry, or of one where all are smaller: oneDNN chooses another order of float sums.
TOLERANCE = 1e-5
#: Some heads need a text tower as wide as the cross-modal layers.
EQUAL_WIDTHS = {"text_config": {"hidden_size": 32}}
#: Task, model class, changes of its configuration.
CASES = {
    "itm": ("itm", BridgeTowerForImageAndTextRetrieval, {}),
    "vqa": ("vqa", BridgeTowerForQuestionAnswering, {"num_labels": 5}),
    "mlm": ("mlm", BridgeTowerForMaskedLM, {"tie_word_embeddings": True, **EQUAL_WIDTHS}),
    "ranking": ("retrieval", BridgeTowerForRetrievalRanking, {}),
    "contrastive": ("retrieval", BridgeTowerForContrastiveLearning, EQUAL_WIDTHS),
    "itm_itc": ("retrieval", BridgeTowerForContrastiveRetrieval, {}),
}
TEXT = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48,
            max_position_embeddings=14, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


def save(model: Any, folder: Path, words: Path) -> Path:
    """A checkpoint as trainings leave it: weights, configuration and tokenizer."""
    model.save_pretrained(str(folder))
    for file in words.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def model_of(model_class: Any, words: Path, **changes: Any) -> Any:
    text = {"vocab_size": BridgeTowerTokenizer.from_pretrained(words).vocab_size, **TEXT,
            **changes.pop("text_config", {})}
    vision = dict(hidden_size=64, num_hidden_layers=2, patch_size=16, image_size=SIZE)
    return small_model(model_class, text_config=text, vision_config=vision, **changes)


def random_batch(rows: int, length: int, images: int) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(rows + length)
    ids = draw.integers(3, 200, (rows, length))
    ids[-1, -1] = 1  # padding
    return {"input_ids": ids, "attention_mask": (ids != 1).astype(np.int64),
            "pixel_values": draw.standard_normal((images, 3, SIZE, SIZE)).astype(np.float32)}


def dynamic_results(model: Any, batch: dict[str, np.ndarray], image_rows: list[int]) -> dict[str, np.ndarray]:
    """What a model class itself computes of the texts of a batch, each with the image of its row."""
    ids, mask, pixels = (paddle.to_tensor(batch[name]) for name in ("input_ids", "attention_mask", "pixel_values"))
    pixels = pixels.index_select(paddle.to_tensor(image_rows))
    with paddle.no_grad():
        if isinstance(model, BridgeTowerForRetrievalRanking):
            return {"fused": model(ids.unsqueeze(1), mask.unsqueeze(1), pixel_values=pixels).rank_scores[:, 0].numpy()}
        if isinstance(model, BridgeTowerForContrastiveRetrieval):
            base = model.bridgetower
            text, image = base.encode_text(ids, mask), base.encode_image(pixels)
            pooled = base.fuse(base.project_text(text), base.project_image(image), mask).pooler_output
            return {"fused": model.match_scores(pooled).numpy(), "text": model.embed_text(text).numpy(),
                    "image": model.embed_image(image).numpy()}
        output = model(ids, mask, pixel_values=pixels)
    if isinstance(model, BridgeTowerForContrastiveLearning):
        return {"fused": output.cross_embeds.numpy(), "text": output.text_embeds.numpy(),
                "image": output.image_embeds.numpy()}
    return {"fused": output.logits.numpy()}


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * max(1.0, np.abs(expected).max()))
