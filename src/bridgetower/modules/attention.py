"""Multi-head attention and the feed-forward block, shared by the towers, the cross-modal layers and the bridges."""

from __future__ import annotations

import paddle
from paddle import Tensor, nn

from .. import kernels
from ..known import check_activation
from .activation_table import ACTIVATIONS
from .layers import Linear, is_unmodified

__all__ = ["FeedForward", "MultiHeadAttention", "additive_mask", "text_mask"]


def additive_mask(attention_mask: Tensor) -> Tensor:
    """Turn a mask of ones (real tokens) and zeros into what is added to attention scores.

    A masked position gets the lowest finite float32, so a row whose mask is all zero attends uniformly to every
    position, as in the original with the transformers releases of 2022 and later.

    Args:
        attention_mask: (B, L), 1 = real token.

    Returns:
        (B, 1, 1, L) float32.
    """
    mask = (1.0 - attention_mask.astype("float32")) * float(paddle.finfo(paddle.float32).min)
    return mask.unsqueeze([1, 2])


def text_mask(input_ids: Tensor | None, attention_mask: Tensor | None, inputs_embeds: Tensor | None = None) -> Tensor:
    """The attention mask (B, L) of texts (B, L), or of embedded words (B, L, W): ones if None is given.

    Raises:
        ValueError: when there are no texts, or a mask that is not one row per text.
    """
    texts = inputs_embeds if input_ids is None else input_ids
    if texts is None:
        raise ValueError("input_ids is missing: pass the ids of the tokens, or inputs_embeds")
    if attention_mask is not None:
        if attention_mask.ndim != 2:
            raise ValueError(f"attention_mask has the shape {list(attention_mask.shape)}; "
                             "give one row of 0 and 1 per text")
        return attention_mask
    return paddle.ones_like(texts) if texts.ndim == 2 else paddle.ones(texts.shape[:2], "int64")


class MultiHeadAttention(nn.Layer):
    """Attention of one sequence to itself or to another one, with an output projection.

    Args:
        width: width D of the queries and of the output.
        num_heads: number of heads H; each has width d = D / H.
        context_width: width of the attended sequence, if it is not D.
        dropout: dropout probability of the attention weights.

    Attributes:
        folding: what to fold, see `kernels.folding`; None: it is decided at each call.
    """

    folding: kernels.Folding | None = None

    def __init__(self, width: int, num_heads: int, context_width: int | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        context_width = width if context_width is None else context_width
        self.num_heads = num_heads
        self.head_width = width // num_heads
        self.dropout = dropout
        self.q_proj = Linear(width, width)
        self.k_proj = Linear(context_width, width)
        self.v_proj = Linear(context_width, width)
        self.out_proj = Linear(width, width)

    def _split(self, x: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, H, d)."""
        return x.reshape([0, 0, self.num_heads, self.head_width])

    def forward(self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None,
                attentions: list[Tensor] | None = None) -> Tensor:
        """Attend from `x` to `context`, or to `x` itself.

        Args:
            x: (B, Q, D) queries.
            context: (B, N, context_width); None means `x`.
            mask: (B, 1, 1, N) added to the scores.
            attentions: a list that gets the attention weights (B, H, Q, N).

        Returns:
            (B, Q, D).
        """
        context = x if context is None else context
        query, key, value, out = self.q_proj, self.k_proj, self.v_proj, self.out_proj
        folding = self.folding or kernels.folding(x, context, self.num_heads, self.training)
        if attentions is not None:
            states, weights = kernels.attention_with_weights(
                self._split(query(x)), self._split(key(context)), self._split(value(context)), mask, self.dropout,
                self.training)
            attentions.append(weights)
        elif folding == "queries" and is_unmodified(query) and is_unmodified(out):
            return kernels.few_keys_attention(x, self._split(key(context)), self._split(value(context)), query.weight,
                                              query.bias, out.weight, out.bias, mask)
        elif folding == "context" and is_unmodified(key) and is_unmodified(value):
            states = kernels.few_queries_attention(self._split(query(x)), context, key.weight, key.bias, value.weight,
                                                   value.bias, mask, self.dropout, self.training)
        else:
            states = kernels.attention(self._split(query(x)), self._split(key(context)), self._split(value(context)),
                                       mask, self.dropout, self.training)
        return out(states.flatten(2))


class FeedForward(nn.Layer):
    """Two linear maps with an activation between them."""

    def __init__(self, width: int, hidden_width: int, activation: str = "gelu") -> None:
        super().__init__()
        check_activation("hidden_act", activation)
        self.fc1 = Linear(width, hidden_width)
        self.fc2 = Linear(hidden_width, width)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., hidden_width) -> (..., D), with any leading shape."""
        return self.fc2(self.activation(self.fc1(x)))
