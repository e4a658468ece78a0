"""The attention weights of the cross-modal layers, and their gradients.

B pairs, H heads, L text tokens, N image tokens, D cross-modal width, K layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import paddle
from paddle import Tensor

from .explained_model import ExplainedModel, TowerStates

__all__ = ["LayerWeights", "cross_modal_attention", "encode_pairs", "frozen", "fuse_with_weights", "numbers_of",
           "weight_gradients"]


@dataclass(frozen=True)
class LayerWeights:
    """Attention weights of one cross-modal layer, or anything of their shapes.

    Attributes:
        text_self: (B, H, L, L).
        image_self: (B, H, N, N).
        text_to_image: (B, H, L, N), of each text token over the image tokens.
        image_to_text: (B, H, N, L).
    """

    text_self: Any
    image_self: Any
    text_to_image: Any
    image_to_text: Any

    def __iter__(self) -> Any:
        return iter((self.text_self, self.image_self, self.text_to_image, self.image_to_text))


def encode_pairs(opened: ExplainedModel, input_ids: np.ndarray, attention_mask: np.ndarray, pixel_values: np.ndarray
                 ) -> TowerStates:
    """Run both towers without gradients.

    Args:
        opened: the model.
        input_ids, attention_mask: (B, L).
        pixel_values: (B, 3, S, S).
    """
    base, model = opened.base, opened.model
    with paddle.no_grad():
        mask = paddle.to_tensor(attention_mask)
        texts = base.encode_text(paddle.to_tensor(input_ids), mask)
        images = base.encode_image(paddle.to_tensor(pixel_values))
        text, image = base.project_text(texts), base.project_image(images)
        reads_vectors = hasattr(model, "itc_cross_modal_head")
        vectors = (model.embed_text(texts), model.embed_image(image)) if reads_vectors else None
    return TowerStates(text, image, mask, vectors)


def fuse_with_weights(opened: ExplainedModel, states: TowerStates) -> tuple[Any, list[LayerWeights]]:
    """The output of the cross-modal layers, and the weights of each: see `LayerWeights`."""
    output = opened.base.fuse(states.text, states.image, states.attention_mask, output_attentions=True)
    return output, [LayerWeights(*layer) for layer in output.attentions]


@contextmanager
def frozen(model: Any) -> Iterator[None]:
    """Compute no gradients of a model's parameters in a `with` block."""
    trained = [parameter for parameter in model.parameters() if not parameter.stop_gradient]
    for parameter in trained:
        parameter.stop_gradient = True
    try:
        yield
    finally:
        for parameter in trained:
            parameter.stop_gradient = False


def weight_gradients(score: Tensor, weights: list[LayerWeights]) -> list[LayerWeights]:
    """Gradients of a scalar with respect to all weights, zeros where it does not depend on them; the same shapes."""
    tensors = [each for layer in weights for each in layer]
    for tensor in tensors:
        tensor.retain_grads()
    score.backward()
    values = [np.zeros(tensor.shape, np.float32) if tensor.grad is None else _numbers(tensor.grad)
              for tensor in tensors]
    return [LayerWeights(*values[start:start + 4]) for start in range(0, len(values), 4)]


def numbers_of(weights: list[LayerWeights]) -> list[LayerWeights]:
    """The same weights as arrays."""
    return [LayerWeights(*map(_numbers, layer)) for layer in weights]


def _numbers(tensor: Tensor) -> np.ndarray:
    return tensor.detach().astype("float32").numpy()


def cross_modal_attention(opened: ExplainedModel, input_ids: np.ndarray, attention_mask: np.ndarray,
                          pixel_values: np.ndarray) -> list[LayerWeights]:
    """Attention weights of all K cross-modal layers, as arrays.

    Args:
        opened: the model.
        input_ids, attention_mask: (B, L).
        pixel_values: (B, 3, S, S).
    """
    with paddle.no_grad():
        return numbers_of(fuse_with_weights(opened, encode_pairs(opened, input_ids, attention_mask, pixel_values))[1])
