"""Attention between a short and a long sequence that projects the short one only.

Queries, keys, values and the output are linear maps of the states. So a score, (x Wq) (c Wk)^T, is x (c Wk Wq^T)^T or
(x Wq Wk^T) c^T, and a sum of values is the value of a sum. Where one sequence is much shorter than the other, mapping
its states once more for each head takes less than mapping the long one at all: between a text of 20 tokens and the 577
of an image, attention takes 40% of the time, in either direction. Results are equal up to rounding.
"""

from __future__ import annotations

from typing import Literal

import paddle
import paddle.nn.functional as F
from paddle import Tensor

from .dispatch import worth_ours
from .dropout import dropout

__all__ = ["Folding", "few_keys_attention", "few_queries_attention", "folded_share", "folding"]

#: Which projections are folded into the other sequence: keys and values of the context, or queries and output.
Folding = Literal["context", "queries", "nothing"]
#: Folded products are smaller and not as fast: they must save a fifth of the multiplications.
_LARGEST_SHARE = 0.8


def folding(x: Tensor, context: Tensor, heads: int, training: bool) -> Folding:
    """What to fold in attention from `x` (B, Q, D) to `context` (B, K, C).

    A single query is folded in training as well. Others are not: neither there nor in a forward pass that will be
    computed again with gradients.
    """
    if worth_ours(context, x) or worth_ours(x, context):
        queries, keys, width = x.shape[1], context.shape[1], x.shape[2]
        needs_gradients = training or paddle.is_grad_enabled()
        if (queries == 1 or not needs_gradients) and folded_share(queries, keys, width, heads) < _LARGEST_SHARE:
            return "context"
        if not needs_gradients and folded_share(keys, queries, width, heads) < _LARGEST_SHARE:
            return "queries"
    return "nothing"


def folded_share(short: int, long: int, width: int, heads: int) -> float:
    """The multiplications of folding `long` tokens into `short` ones, as a share of those without."""
    return short * (width + heads * long) / (long * (width + short))


def few_queries_attention(query: Tensor, context: Tensor, key_weight: Tensor, key_bias: Tensor, value_weight: Tensor,
                          value_bias: Tensor, mask: Tensor | None, dropout_p: float, training: bool) -> Tensor:
    """Attention of few queries per sample to a context, without computing keys and values.

    Args:
        query: (B, Q, H, d).
        context: (B, K, C), from which keys and values would be projected.
        key_weight, value_weight: (C, H d).
        key_bias, value_bias: (H d,).
        mask: (B, 1, 1, K), added to the scores.
        dropout_p: dropout probability of the weights in training.
        training: whether to drop.

    Returns:
        (B, Q, H, d).
    """
    heads, width = query.shape[2:]
    query = query.scale(width ** -0.5)
    folded = _each_head(query, _by_head(key_weight, heads), transpose=True).flatten(1, 2)  # (B, Q H, C)
    scores = folded.matmul(context, transpose_y=True)
    if paddle.in_dynamic_mode() and paddle.is_grad_enabled():
        # Softmax cancels what all keys share; but data parallelism waits for a gradient of every parameter.
        constant = (query * key_bias.reshape([heads, width])).sum(-1)
        scores = scores + constant.flatten(1).unsqueeze(-1)
    weights = dropout(F.softmax(scores if mask is None else _plus(scores, mask.squeeze(1))), dropout_p, training)
    summed = weights.matmul(context).reshape([0, -1, heads, context.shape[2]])
    values = _each_head(summed, _by_head(value_weight, heads))
    shares = weights.sum(-1).reshape([0, -1, heads, 1])  # 1, unless some were dropped
    return values + shares * value_bias.reshape([heads, width])


def few_keys_attention(x: Tensor, key: Tensor, value: Tensor, query_weight: Tensor, query_bias: Tensor,
                       out_weight: Tensor, out_bias: Tensor, mask: Tensor | None) -> Tensor:
    """Attention of many states to few keys, projected, without computing queries; for evaluation.

    Args:
        x: (B, Q, D), from which queries would be projected.
        key, value: (B, K, H, d).
        query_weight: (D, H d).
        query_bias: (H d,).
        out_weight: (H d, D), of the projection after attention.
        out_bias: (D,).
        mask: (B, 1, 1, K), added to the scores.

    Returns:
        (B, Q, D).
    """
    heads, width = key.shape[2:]
    key = key.scale(width ** -0.5)
    added = (key * query_bias.reshape([heads, width])).sum(-1).transpose([0, 2, 1])  # (B, H, K)
    added = added if mask is None else added + mask.squeeze(1)
    folded = _each_head(key, _by_head(query_weight, heads), transpose=True)
    values = _each_head(value, out_weight.reshape([heads, width, -1]))
    folded, values = (each.transpose([0, 2, 1, 3]).flatten(1, 2) for each in (folded, values))  # (B, H K, D)
    scores = _plus(x.matmul(folded, transpose_y=True), added.reshape([0, 1, -1]))
    weights = F.softmax(scores.reshape([0, 0, heads, -1])).flatten(2)
    return weights.matmul(values + out_bias.scale(1 / heads))  # the weights of each head add up to 1


def _by_head(weight: Tensor, heads: int) -> Tensor:
    """(C, H d) -> (H, C, d)."""
    return weight.reshape([0, heads, -1]).transpose([1, 0, 2])


def _each_head(states: Tensor, weights: Tensor, transpose: bool = False) -> Tensor:
    """(B, L, H, a) times (H, a, b), or the transpose of (H, b, a), -> (B, L, H, b), one product per head."""
    heads, width = weights.shape[0], weights.shape[1 if transpose else 2]
    batch = states.shape[0] if paddle.in_dynamic_mode() else paddle.shape(states)[0]
    product = states.flatten(0, 1).transpose([1, 0, 2]).matmul(weights, transpose_y=transpose)
    return product.transpose([1, 0, 2]).reshape([batch, -1, heads, width])


def _plus(scores: Tensor, mask: Tensor) -> Tensor:
    """(B, Q, K) + (B, 1, K); Paddle adds an expanded tensor in a tenth of the time, but a program has no sizes yet."""
    return scores + (mask.expand(scores.shape) if paddle.in_dynamic_mode() else mask)
