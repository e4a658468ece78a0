"""Attention of a single query, which computes neither keys nor values: as by definition, gradients and dropout too."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle import Tensor

from bridgetower.kernels import dropout
from bridgetower.modules.attention import MultiHeadAttention, additive_mask

BATCH, TOKENS, WIDTH, HEADS = 3, 7, 24, 4


def by_definition(attention: MultiHeadAttention, x: Tensor, context: Tensor, mask: Tensor | None) -> Tensor:
    query, key, value = (
        projection(states).reshape([0, 0, HEADS, -1]).transpose([0, 2, 1, 3])
        for projection, states in ((attention.q_proj, x), (attention.k_proj, context), (attention.v_proj, context)))
    scores = query.matmul(key, transpose_y=True) / (WIDTH / HEADS) ** 0.5
    weights = F.softmax(scores if mask is None else scores + mask)
    weights = dropout(weights, attention.dropout, attention.training)
    return attention.out_proj(weights.matmul(value).transpose([0, 2, 1, 3]).flatten(2))


@pytest.mark.parametrize("real", [None, 4, 0], ids=["no mask", "padding", "all masked"])
@pytest.mark.parametrize("odds", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("context_width", [WIDTH, 10])
def test_a_single_query(real: int | None, odds: float, context_width: int) -> None:
    paddle.seed(0)
    attention = MultiHeadAttention(WIDTH, HEADS, context_width, dropout=odds)
    for parameter in attention.parameters():
        parameter.set_value(paddle.randn(parameter.shape))
    mask = None if real is None else additive_mask((paddle.arange(TOKENS) < real).astype("int64").expand([BATCH, -1]))
    x, upstream = paddle.randn([2, BATCH, 1, WIDTH])
    context = paddle.randn([BATCH, TOKENS, context_width])
    inputs = [x, context, *attention.parameters()]
    for each in (x, context):
        each.stop_gradient = False
    results = []
    for run in (attention, lambda *parts: by_definition(attention, *parts)):
        paddle.seed(1)
        states = run(x, context, mask)
        results.append([states, *paddle.grad((states * upstream).sum(), inputs)])
    largest = max(float(each.abs().max()) for each in results[1])
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-5 * largest)
