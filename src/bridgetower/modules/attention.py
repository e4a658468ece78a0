"""Multi-head attention and the feed-forward block, shared by the towers, the cross-modal layers and the bridges."""

from __future__ import annotations

from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn
from paddle.autograd import PyLayer

from .cpu import map_rows, on_cpu
from .layers import DropoutMask, Linear, dropout, gelu, quick_gelu

__all__ = ["ACTIVATIONS", "FeedForward", "MultiHeadAttention", "additive_mask"]


ACTIVATIONS = {"gelu": gelu, "quick_gelu": quick_gelu, "relu": F.relu}


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


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout_p: float, training: bool) -> Tensor:
    """Scaled dot-product attention, (B, Q, H, d) x (B, K, H, d) -> (B, Q, H, d)."""
    if on_cpu(query, key, value):
        return _attend_on_cpu(query, key, value, mask, dropout_p if training else 0.0)
    if mask is not None and mask.dtype != query.dtype:
        # In half precision the lowest float32 would become -inf, and a fully masked row NaN; so would the lowest
        # float16 plus a score. Half of it is as good as masked.
        mask = mask.clip(min=float(paddle.finfo(query.dtype).min) / 2).astype(query.dtype)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout_p, training=training)


def _attend_on_cpu(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout_p: float) -> Tensor:
    """`attend` step by step, as Paddle does on a CPU, but in place, with our dropout and a mask of full size."""
    if paddle.is_grad_enabled() or dropout_p:  # recomputation drops without gradients
        return _AttentionFunction.apply(query, key, value, mask, dropout_p)
    return _attended(query, key, value, mask, None)


def _attended(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, drop: DropoutMask | None) -> Tensor:
    """(B, Q, H, d), (B, K, H, d) twice, (B, 1, 1, K), mask of (B, H, Q, K) -> (B, Q, H, d)."""
    query, key, value = _heads_first(query, key, value)
    weights = _weights(query, key, mask)
    return (drop(weights) if drop else weights).matmul(value).transpose([0, 2, 1, 3])


def _attended_gradients(gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, output: Tensor,
                        mask: Tensor | None, drop: DropoutMask | None) -> list[Tensor]:
    """Gradients of the queries, keys and values of `_attended`, from that of its output."""
    # What softmax subtracts from each row: the sum of its weights times their gradients.
    shift = (gradient * output).sum(-1, keepdim=True).transpose([0, 2, 1, 3])
    gradient = gradient.transpose([0, 2, 1, 3])
    query, key, value = _heads_first(query, key, value)
    weights = _weights(query, key, mask)
    to_value = (drop(weights) if drop else weights).matmul(gradient, transpose_x=True)
    to_weights = gradient.matmul(value, transpose_y=True)
    to_scores = drop(to_weights) if drop else to_weights
    to_scores = to_scores.subtract_(shift.expand(weights.shape)).multiply_(weights)
    to_query = to_scores.matmul(key).scale_(query.shape[-1] ** -0.5)
    to_key = to_scores.matmul(query, transpose_x=True)
    return [each.transpose([0, 2, 1, 3]) for each in (to_query, to_key, to_value)]


def _heads_first(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
    """(B, L, H, d) each -> (B, H, L, d), the queries scaled."""
    return tuple(each.transpose([0, 2, 1, 3]) for each in (query * query.shape[-1] ** -0.5, key, value))


def _weights(query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
    """(B, H, Q, d), (B, H, K, d), (B, 1, 1, K) -> (B, H, Q, K).

    Adding (B, 1, 1, K) to the scores takes Paddle longer than the product and the softmax together; expanded it is
    as cheap as any sum.
    """
    scores = query.matmul(key, transpose_y=True)
    if mask is not None:
        scores = scores.add_(mask.expand(scores.shape))
    return F.softmax_(scores)


class _AttentionFunction(PyLayer):
    """Keeps queries, keys and values, and computes the weights (which are larger) again for their gradients."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout_p: float) -> Tensor:
        batch, queries, heads, _ = query.shape
        ctx.frozen = [each.stop_gradient for each in (query, key, value)]
        ctx.drop = DropoutMask([batch, heads, queries, key.shape[1]], dropout_p) if dropout_p else None
        ctx.mask = mask
        output = map_rows(_attended, query, key, value, mask, ctx.drop)
        ctx.save_for_backward(query, key, value, output)
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        gradients = map_rows(_attended_gradients, gradient, *ctx.saved_tensor(), ctx.mask, ctx.drop)
        gradients = [None if frozen else each  # Paddle expects None of frozen inputs
                     for frozen, each in zip(ctx.frozen, gradients, strict=True)]
        return tuple(gradients if ctx.mask is None else [*gradients, None])


class MultiHeadAttention(nn.Layer):
    """Attention of one sequence to itself or to another one, with an output projection.

    Args:
        width: width D of the queries and of the output.
        num_heads: heads H; D / H is the width of each.
        context_width: width of the attended sequence, if it is not D.
        dropout: dropout probability of the attention weights.
    """

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
        return x.reshape([0, 0, self.num_heads, self.head_width])

    def _attend_from_one(self, x: Tensor, context: Tensor, mask: Tensor | None) -> Tensor:
        """Attention of a single query, (B, 1, D) x (B, K, C) -> (B, 1, D), without keys and values.

        Both are linear in the context: q (c W) = (q W^T) c, and a sum of values is the value of the sum. So the
        weights meet one vector a head instead of K tokens, with the same result.
        """
        by_head = [0, self.num_heads, self.head_width]
        query = self.q_proj(x).scale(self.head_width ** -0.5).squeeze(1).reshape(by_head)
        to_context = self.k_proj.weight.reshape(by_head).transpose([1, 2, 0])  # (H, d, C)
        folded = query.transpose([1, 0, 2]).matmul(to_context).transpose([1, 0, 2])  # (B, H, C)
        # Softmax takes away what all keys share; but data parallelism waits for a gradient of every parameter.
        constant = (query * self.k_proj.bias.reshape(by_head[1:])).sum(-1, keepdim=True)
        scores = folded.matmul(context, transpose_y=True) + constant
        weights = F.softmax(scores if mask is None else scores + mask.squeeze(1))
        weights = dropout(weights, self.dropout, self.training)  # (B, H, K)
        summed = weights.matmul(context).transpose([1, 0, 2])
        values = summed.matmul(self.v_proj.weight.reshape(by_head).transpose([1, 0, 2])).transpose([1, 0, 2])
        values = values + weights.sum(-1, keepdim=True) * self.v_proj.bias.reshape(by_head[1:])
        return values.flatten(1).unsqueeze(1)

    def forward(self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Attend from `x` to `context`, or to `x` itself.

        Args:
            x: (B, Q, D) queries.
            context: (B, K, context_width); None means `x`.
            mask: (B, 1, 1, K) added to the scores.

        Returns:
            (B, Q, D).
        """
        context = x if context is None else context
        if x.shape[1] == 1 < context.shape[1] and on_cpu(x, context):
            return self.out_proj(self._attend_from_one(x, context, mask))
        states = attend(self._split(self.q_proj(x)), self._split(self.k_proj(context)),
                        self._split(self.v_proj(context)), mask, self.dropout, self.training)
        return self.out_proj(states.flatten(2))


class FeedForward(nn.Layer):
    """Two linear maps with an activation between them, (..., D) -> (..., hidden) -> (..., D)."""

    def __init__(self, width: int, hidden_width: int, activation: str = "gelu") -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"hidden_act={activation!r} is unknown; use one of {', '.join(ACTIVATIONS)}")
        self.fc1 = Linear(width, hidden_width)
        self.fc2 = Linear(hidden_width, width)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        return self.fc2(self.activation(self.fc1(x)))
