"""Attention between a short and a long sequence, which does not project the long one: as by definition."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle import Tensor, nn

from bridgetower.kernels import dropout, folding, forced_kernels
from bridgetower.modules.attention import MultiHeadAttention, additive_mask

BATCH, TOKENS, WIDTH, HEADS = 3, 7, 24, 4
FOLDED = [(1, 7), (2, 40), (40, 2)]  # queries and keys


@pytest.fixture(autouse=True)
def ours() -> Iterator[None]:
    """Small tensors, too, are left to our kernels."""
    with forced_kernels("ours"):
        yield


def random_attention(context_width: int = WIDTH, dropout: float = 0.0) -> MultiHeadAttention:
    paddle.seed(0)
    attention = MultiHeadAttention(WIDTH, HEADS, context_width, dropout=dropout)
    for parameter in attention.parameters():
        parameter.set_value(paddle.randn(parameter.shape))
    return attention


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
def test_a_single_query_in_training(real: int | None, odds: float, context_width: int) -> None:
    attention = random_attention(context_width, odds)
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


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("context_width", [WIDTH, 10])
@pytest.mark.parametrize(("queries", "keys"), FOLDED)
@paddle.no_grad()
def test_evaluation(queries: int, keys: int, context_width: int, masked: bool) -> None:
    attention = random_attention(context_width).eval()
    x, context = paddle.randn([BATCH, queries, WIDTH]), paddle.randn([BATCH, keys, context_width])
    assert folding(x, context, HEADS, False) == ("context" if queries < keys else "queries")
    real = paddle.to_tensor([[keys], [1], [0]])  # all, one, and none of the keys
    mask = additive_mask((paddle.arange(keys) < real).astype("int64")) if masked else None
    expected = by_definition(attention, x, context, mask)
    np.testing.assert_allclose(attention(x, context, mask).numpy(), expected.numpy(),
                               atol=1e-5 * float(expected.abs().max()))


class Doubled(nn.Linear):
    """A layer that a user puts in the place of another one."""

    def forward(self, x: Tensor) -> Tensor:
        return 2.0 * super().forward(x)


@pytest.mark.parametrize("projection", ["q_proj", "k_proj", "v_proj", "out_proj"])
@pytest.mark.parametrize(("queries", "keys"), FOLDED)
@paddle.no_grad()
def test_a_layer_of_the_user_is_called(queries: int, keys: int, projection: str) -> None:
    attention = random_attention().eval()
    replacement = Doubled(WIDTH, WIDTH)
    replacement.set_state_dict(getattr(attention, projection).state_dict())
    setattr(attention, projection, replacement)
    x, context = paddle.randn([BATCH, queries, WIDTH]), paddle.randn([BATCH, keys, WIDTH])
    expected = by_definition(attention, x, context, None)
    np.testing.assert_allclose(attention(x, context).numpy(), expected.numpy(),
                               atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize(("queries", "keys", "training", "gradients", "expected"), [
    (1, 7, True, True, "context"), (2, 40, False, False, "context"), (40, 2, False, False, "queries"),
    (2, 40, True, False, "nothing"), (2, 40, False, True, "nothing"), (40, 2, False, True, "nothing"),
    (40, 40, False, False, "nothing"), (3, 3, False, False, "nothing")])
def test_what_is_folded(queries: int, keys: int, training: bool, gradients: bool, expected: str) -> None:
    """Only what is much shorter than the other; more than one query only where no gradients are wanted."""
    x, context = paddle.ones([BATCH, queries, WIDTH]), paddle.ones([BATCH, keys, WIDTH])
    with paddle.set_grad_enabled(gradients):
        assert folding(x, context, HEADS, training) == expected
