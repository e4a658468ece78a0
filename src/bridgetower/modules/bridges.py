"""Bridges merge the tower state of a level into the cross-modal state (paper, section 3.4 and table 1)."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from ..config import BridgeTowerConfig
from ..kernels import gelu
from .attention import MultiHeadAttention
from .layers import LayerNorm, Linear

__all__ = ["Bridge"]


class Bridge(nn.Layer):
    """LayerNorm of a combination of the cross-modal state x and the tower state y, both (B, L, D).

    `bridge_type` names the combination; the letters are those of the paper's first ablation:
    add (a) x + y; multiply (b) x * y; gate (c) a x + (1 - a) y with a learned vector a; dynamic_gate (d) the same with
    a = sigmoid(W [x; y]); linear (e) W [x; y]; mlp (f) W2 GeLU(W1 [x; y]); cross_attention (g) MCA(x, y);
    cross_attention_mlp (h) FFN(MCA(x, y)); add_linear (i) x + y + W [x; y]. The Hugging Face port adds
    scaled_add, x + s y, and interpolate, b x + (1 - b) y, with learned scalars.
    """

    def __init__(self, config: BridgeTowerConfig) -> None:
        super().__init__()
        width, kind = config.hidden_size, config.bridge_type
        self.kind = kind
        if kind == "gate":
            self.gate = self.create_parameter([width], default_initializer=nn.initializer.Constant(0.5))
        elif kind in ("dynamic_gate", "linear", "add_linear"):
            # Without biases, as in the paper's formulas: with them, (h) would have more parameters than in its table.
            self.linear = Linear(2 * width, width, bias_attr=False)
        elif kind == "mlp":
            self.fc1 = Linear(2 * width, 2 * width, bias_attr=False)
            self.fc2 = Linear(2 * width, width, bias_attr=False)
        elif kind in ("cross_attention", "cross_attention_mlp"):
            self.cross_attention = MultiHeadAttention(width, config.num_attention_heads,
                                                      dropout=config.attention_probs_dropout_prob)
            if kind == "cross_attention_mlp":
                self.fc1 = Linear(width, config.intermediate_size, bias_attr=False)
                self.fc2 = Linear(config.intermediate_size, width, bias_attr=False)
        elif kind in ("scaled_add", "interpolate"):
            start = 1.0 if kind == "scaled_add" else 0.5
            self.scale = self.create_parameter([1], default_initializer=nn.initializer.Constant(start))
        self.norm = LayerNorm(width, config.layer_norm_eps)

    def _combine(self, x: Tensor, y: Tensor, mask: Tensor | None) -> Tensor:
        """(B, L, D) twice and (B, 1, 1, L) -> (B, L, D)."""
        kind = self.kind
        if kind == "add":
            return x + y
        if kind == "multiply":
            return x * y
        if kind == "scaled_add":
            return x + y * self.scale
        if kind == "interpolate":
            return x * self.scale + y * (1 - self.scale)
        if kind == "gate":
            return x * self.gate + y * (1 - self.gate)
        if kind in ("cross_attention", "cross_attention_mlp"):
            attended = self.cross_attention(x, y, mask)
            return attended if kind == "cross_attention" else self._mlp(attended)
        both = paddle.concat([x, y], axis=-1)
        if kind == "mlp":
            return self._mlp(both)
        mixed = self.linear(both)
        if kind == "dynamic_gate":
            gate = F.sigmoid(mixed)
            return gate * x + (1 - gate) * y
        return mixed if kind == "linear" else x + y + mixed

    def _mlp(self, x: Tensor) -> Tensor:
        """(B, L, D or 2D) -> (B, L, D)."""
        return self.fc2(gelu(self.fc1(x)))

    def forward(self, cross_state: Tensor, tower_state: Tensor, mask: Tensor | None = None) -> Tensor:
        """Merge one level.

        Args:
            cross_state: (B, L, D) output x of the cross-modal layer below.
            tower_state: (B, L, D) projected tower state y of this level.
            mask: (B, 1, 1, L) additive mask of the modality, read by the attention bridges.

        Returns:
            (B, L, D), the input of this level's cross-modal layer.
        """
        return self.norm(self._combine(cross_state, tower_state, mask))
