"""Small random models and batches for tests that compare a model with itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle

from bridgetower import BridgeTowerConfig
from bridgetower.modules import BridgeTowerPretrainedModel
from bridgetower.modules.loading import build_undrawn

ROWS, LENGTH, SIZE, WORDS = 3, 6, 32, 40


def small_config(**changes: Any) -> BridgeTowerConfig:
    """Towers of different depths and widths without dropout; K = 2."""
    settings: dict[str, Any] = dict(
        text_config=dict(vocab_size=WORDS, hidden_size=24, num_hidden_layers=3, num_attention_heads=2,
                         intermediate_size=48, max_position_embeddings=LENGTH + 4, hidden_dropout_prob=0.0,
                         attention_probs_dropout_prob=0.0),
        vision_config=dict(hidden_size=64, num_hidden_layers=4, patch_size=16, image_size=SIZE),
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, contrastive_hidden_size=8,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    return BridgeTowerConfig(**(settings | changes))


def small_model(model_class: type[BridgeTowerPretrainedModel], **changes: Any) -> Any:
    """A model whose parameters are all random, so that every one of them matters to the output."""
    model = build_undrawn(model_class, small_config(**changes))
    draw = np.random.default_rng(0)
    for parameter in model.parameters():
        value = np.float32(0.1) * draw.standard_normal(parameter.shape, np.float32)
        if parameter.ndim < 2:  # around what a norm, a bias or a temperature begins with
            parameter.initialize()
            value += parameter.numpy()
        parameter.set_value(np.asarray(value))
    paddle.seed(0)  # for what a test draws then
    model.eval()
    return model


def small_batch(rows: int = ROWS, images: int | None = None) -> dict[str, paddle.Tensor]:
    """Texts, the last one padded, and their images."""
    draw = np.random.default_rng(0)
    ids = draw.integers(3, WORDS, (rows, LENGTH))
    mask = np.ones_like(ids)
    ids[-1, -2:], mask[-1, -2:] = 1, 0
    pixels = draw.standard_normal((images or rows, 3, SIZE, SIZE)).astype(np.float32)
    return {"input_ids": paddle.to_tensor(ids), "attention_mask": paddle.to_tensor(mask),
            "pixel_values": paddle.to_tensor(pixels)}


def gradients(model: BridgeTowerPretrainedModel, loss: paddle.Tensor) -> dict[str, np.ndarray]:
    """Gradients of a loss; parameters without one, or with zeros, are left out."""
    for parameter in model.parameters():
        parameter.clear_gradient(False)
    loss.backward()
    found = {name: parameter.grad.numpy() for name, parameter in model.named_parameters() if parameter.grad is not None}
    return {name: value for name, value in found.items() if np.abs(value).max() > 0}


def assert_same_gradients(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """Equal up to the rounding of another order of sums; the exact gradient of a key bias is zero."""
    scale = max(np.abs(value).max() for value in expected.values())
    for name in set(found) | set(expected):
        zero = np.zeros(())
        np.testing.assert_allclose(found.get(name, zero), expected.get(name, zero), rtol=0, atol=1e-5 * max(1.0, scale),
                                   err_msg=name)
