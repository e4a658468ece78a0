"""Where our kernels run, and how they are turned off."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from bridgetower import kernels
from bridgetower.kernels import SWITCH, forced_kernels
from bridgetower.kernels.dispatch import runs_eagerly_on_cpu, use_ours

X = paddle.to_tensor(np.random.default_rng(0).standard_normal((2, 6)).astype(np.float32))
HEADS = X.reshape([2, 1, 2, 3])
IMAGES, PATCHES = paddle.ones([1, 3, 4, 4]), paddle.ones([6, 3, 2, 2])
#: Every operation, and the operator of Paddle that it becomes.
OPERATIONS: dict[str, tuple[str, Callable[[], paddle.Tensor]]] = {
    "linear": ("linear", lambda: kernels.linear(X, paddle.ones([6, 5]), paddle.ones([5]))),
    "layer_norm": ("layer_norm", lambda: kernels.layer_norm(X, paddle.ones([6]), paddle.ones([6]), 1e-5)),
    "gelu": ("gelu", lambda: kernels.gelu(X)),
    "quick_gelu": ("sigmoid", lambda: kernels.quick_gelu(X)),
    "dropout": ("dropout", lambda: kernels.dropout(X, 0.5, training=True)),
    "attention": ("scaled_dot_product_attention", lambda: kernels.attention(HEADS, HEADS, HEADS, None, 0.0, False)),
    "patch_embedding": ("conv2d", lambda: kernels.patch_embedding(IMAGES, PATCHES, None)),
}


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_paddles_operators_run_when_asked_for(operation: str, gradients: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    name, run = OPERATIONS[operation]
    calls: list[str] = []
    plain = getattr(F, name)

    def counted(*args: object, **named: object) -> paddle.Tensor:
        calls.append(name)
        return plain(*args, **named)

    monkeypatch.setattr(F, name, counted)
    with paddle.set_grad_enabled(gradients):
        ours = run()
        counts = len(calls)
        with forced_kernels("paddle"):
            theirs = run()
    assert len(calls) == counts + 1
    assert counts == 0 or operation == "layer_norm"  # of which only the gradient is ours
    if operation != "dropout":
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-5)


def test_where_ours_run() -> None:
    assert use_ours(X) and not use_ours(X, X.astype("float64"))
    assert runs_eagerly_on_cpu(X.astype("int64"))
    with forced_kernels("paddle"):
        assert not use_ours(X) and not runs_eagerly_on_cpu(X)
        with forced_kernels("auto"):
            assert use_ours(X)
        assert not use_ours(X)
    assert use_ours(X)


def test_the_variable_is_read_at_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, ours in (("paddle", False), ("", True), ("auto", True)):
        monkeypatch.setenv(SWITCH, value)
        assert use_ours(X) == ours
    monkeypatch.setenv(SWITCH, "padle")
    with pytest.raises(ValueError, match="BRIDGETOWER_KERNELS=padle is not one of auto, paddle; did you mean 'paddle'"):
        kernels.gelu(X)
