"""Heads: layers that turn features into scores."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from ..config import BridgeTowerConfig
from ..kernels import add_bias, gelu
from .activation_table import ACTIVATIONS
from .layers import LayerNorm, Linear

__all__ = ["Classifier", "LayerGate", "MLMHead", "Pooler", "mlm_head"]


class Pooler(nn.Layer):
    """A linear map and tanh of the first token."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = Linear(width, width)

    def forward(self, states: Tensor) -> Tensor:
        """(B, L, D) -> (B, D)."""
        return F.tanh(self.dense(states[:, 0]))


class MLMHead(nn.Layer):
    """BERT's prediction head: dense, activation, LayerNorm, then a score for each word of the vocabulary.

    The decoder is kept as (V, D), the layout of an embedding table, so that it can be tied to one.
    """

    def __init__(self, width: int, vocab_size: int, layer_norm_eps: float, activation: str = "gelu") -> None:
        super().__init__()
        self.dense = Linear(width, width)
        self.activation = ACTIVATIONS[activation]
        self.norm = LayerNorm(width, layer_norm_eps)
        self.decoder_weight = self.create_parameter([vocab_size, width])
        self.bias = self.create_parameter([vocab_size], is_bias=True)

    @property
    def weight(self) -> Tensor:
        """The decoder (V, D), by the name that output embeddings have elsewhere."""
        return self.decoder_weight

    @weight.setter
    def weight(self, value: Tensor) -> None:  # PaddleNLP's `tie_weights` sets it
        self.decoder_weight = value

    def forward(self, states: Tensor) -> Tensor:
        """(..., D) -> (..., V), with any leading shape."""
        states = self.norm(self.activation(self.dense(states)))
        return add_bias(states.matmul(self.decoder_weight, transpose_y=True), self.bias)


def mlm_head(config: BridgeTowerConfig) -> MLMHead:
    """The MLM head that a configuration asks for."""
    return MLMHead(config.hidden_size, config.text_config.vocab_size, config.mlm_layer_norm_eps, config.hidden_act)


class Classifier(nn.Layer):
    """The head of VQA, visual entailment and NLVR2: dense, LayerNorm, GELU, dense; or only the last of these.

    Args:
        hidden_width: width between the two dense layers; None for a head of one layer.
    """

    def __init__(self, width: int, hidden_width: int | None, num_labels: int, layer_norm_eps: float) -> None:
        super().__init__()
        self.has_hidden = hidden_width is not None
        if hidden_width is not None:
            self.fc1 = Linear(width, hidden_width)
            self.norm = LayerNorm(hidden_width, layer_norm_eps)
        self.fc2 = Linear(hidden_width or width, num_labels)

    def forward(self, features: Tensor) -> Tensor:
        """(B, width) -> (B, C)."""
        if self.has_hidden:
            features = gelu(self.norm(self.fc1(features)))
        return self.fc2(features)


class LayerGate(nn.Linear):
    """METER's fusion of all blocks of a tower: the last state plus a gated sum of those below it.

    The gates are a softmax over the lower blocks, separately for each feature, of a linear map of their states.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, width)

    def forward(self, states: list[Tensor]) -> Tensor:
        """States (B, L, W) of two blocks or more, the last one last -> (B, L, W)."""
        lower = paddle.stack(states[:-1])  # (blocks, B, L, W)
        return states[-1] + (F.softmax(super().forward(lower), axis=0) * lower).sum(axis=0)
