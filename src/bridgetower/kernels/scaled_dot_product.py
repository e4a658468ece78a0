"""Attention that computes in place, shares samples between threads and keeps no large weights for its gradient."""

from __future__ import annotations

from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import Tensor
from paddle.autograd import PyLayer

from .dispatch import use_ours, worth_ours
from .dropout import DropoutMask, dropout
from .threads import map_rows

__all__ = ["attention", "attention_with_weights"]

#: Up to so many elements (32 MB), attention keeps its weights for the gradient, which saves a third of its time.
_KEPT_WEIGHTS = 1 << 23


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout_p: float, training: bool
              ) -> Tensor:
    """Scaled dot-product attention.

    Args:
        query: (B, Q, H, d).
        key, value: (B, K, H, d).
        mask: (B, 1, 1, K), added to the scores.
        dropout_p: dropout probability of the weights in training.
        training: whether to drop.

    Returns:
        (B, Q, H, d).
    """
    dropout_p = dropout_p if training else 0.0
    if paddle.is_grad_enabled() or dropout_p:  # recomputation drops without gradients
        if worth_ours(query, key, value):
            return _AttentionFunction.apply(query, key, value, mask, dropout_p)
    elif use_ours(query, key, value):
        return _attended(query, key, value, mask)
    if mask is not None and mask.dtype != query.dtype:
        # In half precision the lowest float32 would become -inf and a fully masked row NaN. The lowest float16 plus a
        # score would, too; half of it masks as well.
        mask = mask.clip(min=float(paddle.finfo(query.dtype).min) / 2).astype(query.dtype)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout_p, training=training)


def _attended(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, drop: DropoutMask | None = None
              ) -> Tensor:
    """(B, Q, H, d), (B, K, H, d) twice, (B, 1, 1, K), dropout of (B, H, Q, K) -> (B, Q, H, d)."""
    return _attended_and_weights(query, key, value, mask, drop)[0]


def _attended_and_weights(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, drop: DropoutMask | None
                          ) -> list[Tensor]:
    """`_attended`, and its weights (B, H, Q, K) before dropout."""
    query, key, value = _heads_first(query, key, value)
    weights = _weights(query, key, mask)
    return [(drop(weights) if drop else weights).matmul(value).transpose([0, 2, 1, 3]), weights]


def _attended_gradients(gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, output: Tensor,
                        weights: Tensor | None, mask: Tensor | None, drop: DropoutMask | None) -> list[Tensor]:
    """Gradients of the queries, keys and values of `_attended`, from that of its output, all in their shapes."""
    # What softmax subtracts from each row: the sum of its weights times their gradients.
    shift = (gradient * output).sum(-1, keepdim=True).transpose([0, 2, 1, 3])
    gradient = gradient.transpose([0, 2, 1, 3])
    query, key, value = _heads_first(query, key, value)
    weights = _weights(query, key, mask) if weights is None else weights
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

    Adding (B, 1, 1, K) to the scores takes Paddle longer than the product and the softmax together; the expanded mask
    is as cheap as any sum.
    """
    scores = query.matmul(key, transpose_y=True)
    if mask is not None:
        scores = scores.add_(mask.expand(scores.shape))
    return F.softmax_(scores)


class _AttentionFunction(PyLayer):
    """Keeps queries, keys and values, and small weights; large ones are computed again for their gradients."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout_p: float) -> Tensor:
        """(B, Q, H, d), (B, K, H, d) twice and (B, 1, 1, K) -> (B, Q, H, d)."""
        batch, queries, heads, _ = query.shape
        ctx.frozen = [each.stop_gradient for each in (query, key, value)]
        ctx.drop = DropoutMask([batch, heads, queries, key.shape[1]], dropout_p) if dropout_p else None
        ctx.mask, ctx.weights = mask, None
        if batch * heads * queries * key.shape[1] <= _KEPT_WEIGHTS:
            output, ctx.weights = map_rows(_attended_and_weights, query, key, value, mask, ctx.drop)
        else:
            output = map_rows(_attended, query, key, value, mask, ctx.drop)
        ctx.save_for_backward(query, key, value, output)
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """(B, Q, H, d) -> (B, Q, H, d) and (B, K, H, d) twice."""
        gradients = map_rows(_attended_gradients, gradient, *ctx.saved_tensor(), ctx.weights, ctx.mask, ctx.drop)
        gradients = [None if frozen else each  # Paddle expects None for frozen inputs
                     for frozen, each in zip(ctx.frozen, gradients, strict=True)]
        return tuple(gradients if ctx.mask is None else [*gradients, None])


def attention_with_weights(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout_p: float,
                           training: bool) -> tuple[Tensor, Tensor]:
    """`attention` that also returns its weights, by Paddle's operators: (B, Q, H, d) and (B, H, Q, K) after dropout."""
    query, key, value = _heads_first(query, key, value)
    scores = query.matmul(key, transpose_y=True)
    weights = dropout(F.softmax(scores if mask is None else scores + mask), dropout_p, training)
    return weights.matmul(value).transpose([0, 2, 1, 3]), weights
