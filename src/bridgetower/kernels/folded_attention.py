"""Attention between a short and a long sequence that projects the short one only.

Queries, keys, values and the output are linear maps of the states. So a score, (x Wq) (c Wk)^T, is x (c Wk Wq^T)^T or
(x Wq Wk^T) c^T, and a sum of values is the value of a sum. Where one sequence is much shorter than the other, mapping
its states once more for each head takes less than mapping the long one at all: a text of 20 tokens attends to the 577
tokens of an image in 40% of the time, and the image to the text as well. Results are equal up to rounding.
"""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import Tensor

from .dispatch import worth_ours
from .dropout import dropout

__all__ = ["few_keys_attention", "few_queries_attention", "folds_context", "folds_queries"]

#: Of the multiplications that folding must save at least, as its products are smaller and not as fast.
_LEAST_SAVING = 0.2


def folds_context(x: Tensor, context: Tensor, heads: int, training: bool) -> bool:
    """Whether `few_queries_attention` is the faster way from `x` (B, Q, D) to `context` (B, K, C).

    A single query is folded in training as well. Others are not: neither there nor in a forward pass that will be
    computed again with gradients.
    """
    return (worth_ours(context, x) and (x.shape[1] == 1 or not _needs_gradients(training))
            and _saves(x.shape[1], context.shape[1], x.shape[2], heads))


def folds_queries(x: Tensor, context: Tensor, heads: int, training: bool) -> bool:
    """Whether `few_keys_attention` is the faster way from `x` (B, Q, D) to `context` (B, K, C): never in training."""
    return (worth_ours(x, context) and not _needs_gradients(training)
            and _saves(context.shape[1], x.shape[1], x.shape[2], heads))


def _needs_gradients(training: bool) -> bool:
    return training or paddle.is_grad_enabled()


def _saves(short: int, long: int, width: int, heads: int) -> bool:
    """Whether mapping `short` tokens once more takes so much less than mapping `long` ones."""
    folded, plain = short * (width + heads * long), long * (width + short)
    return folded < (1 - _LEAST_SAVING) * plain


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
    batch, queries, heads, width = query.shape
    query = query.scale(width ** -0.5).transpose([2, 0, 1, 3])
    folded = _each_head(query, _by_head(key_weight, heads), transpose=True)  # (B, H Q, C)
    scores = folded.matmul(context, transpose_y=True)
    if paddle.is_grad_enabled():
        # Softmax cancels what all keys share; but data parallelism waits for a gradient of every parameter.
        constant = (query * key_bias.reshape([heads, 1, 1, width])).sum(-1).transpose([1, 0, 2])
        scores = scores + constant.flatten(1).unsqueeze(-1)
    weights = F.softmax(scores if mask is None else scores + mask.squeeze(1).expand(scores.shape))
    weights = dropout(weights, dropout_p, training)
    summed = weights.matmul(context).reshape([batch, heads, queries, -1]).transpose([1, 0, 2, 3])
    values = _each_head(summed, _by_head(value_weight, heads)).reshape([batch, heads, queries, width])
    shares = weights.sum(-1).reshape([batch, heads, queries, 1])  # 1, unless some were dropped
    return (values + shares * value_bias.reshape([heads, 1, width])).transpose([0, 2, 1, 3])


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
    batch, keys, heads, width = key.shape
    key = key.scale(width ** -0.5).transpose([2, 0, 1, 3])
    folded = _each_head(key, _by_head(query_weight, heads), transpose=True)  # (B, H K, D)
    added = (key * query_bias.reshape([heads, 1, 1, width])).sum(-1).transpose([1, 0, 2])  # (B, H, K)
    added = (added if mask is None else added + mask.squeeze(1)).reshape([batch, 1, heads * keys])
    scores = x.matmul(folded, transpose_y=True)
    scores = scores.add_(added.expand(scores.shape))
    weights = F.softmax_(scores.reshape([batch, x.shape[1], heads, keys])).flatten(2)
    values = _each_head(value.transpose([2, 0, 1, 3]), out_weight.reshape([heads, width, -1]))  # (B, H K, D)
    return weights.matmul(values + out_bias / heads)  # the weights of each head add up to 1


def _by_head(weight: Tensor, heads: int) -> Tensor:
    """(C, H d) -> (H, C, d)."""
    return weight.reshape([0, heads, -1]).transpose([1, 0, 2])


def _each_head(states: Tensor, weights: Tensor, transpose: bool = False) -> Tensor:
    """(H, B, L, a) times (H, a, b), or the transpose of (H, b, a), -> (B, H L, b)."""
    heads, batch, length, _ = states.shape
    product = states.flatten(1, 2).matmul(weights, transpose_y=transpose)
    return product.reshape([heads, batch, length, -1]).transpose([1, 0, 2, 3]).flatten(1, 2)
