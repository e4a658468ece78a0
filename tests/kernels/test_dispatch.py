"""Where our kernels run, and how they are turned off."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from bridgetower import kernels
from bridgetower.kernels import SWITCH, forced_kernels
from bridgetower.kernels.dispatch import runs_eagerly_on_cpu, use_ours, worth_ours

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
    with paddle.set_grad_enabled(gradients), forced_kernels("ours"):
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


def test_small_tensors_are_left_to_paddle() -> None:
    large = paddle.ones([256, 256])
    assert worth_ours(large, X) and not worth_ours(X, large)
    with forced_kernels("ours"):
        assert worth_ours(X) and not worth_ours(X.astype("float64"))
    with forced_kernels("paddle"):
        assert not worth_ours(large)


def test_the_variable_is_read_at_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, ours in (("paddle", False), ("", True), ("auto", True), ("ours", True)):
        monkeypatch.setenv(SWITCH, value)
        assert use_ours(X) == ours
    monkeypatch.setenv(SWITCH, "padle")
    message = "BRIDGETOWER_KERNELS=padle is not one of auto, ours, paddle; did you mean 'paddle'"
    with pytest.raises(ValueError, match=message):
        kernels.gelu(X)


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The attention kernels that a GPU would run: Paddle chooses as for one, and notes its choice instead."""
    sdpa = import_module("paddle.nn.functional.sdpa")
    efficient = import_module("paddle.incubate.nn.memory_efficient_attention")
    names: list[str] = []

    def note(name: str) -> Callable[..., Any]:
        return lambda query, *rest, **settings: (names.append(name), query)[1]

    for check in ("check_all_tensors_on_device", "check_flash_attention_hardware_support",
                  "check_mem_efficient_hardware_support", "use_tensor_cores"):
        monkeypatch.setattr(sdpa, check, lambda *inputs: True)
    monkeypatch.setattr(sdpa, "_get_enabled_backends", sdpa._get_backend_priority)  # a CPU build enables one alone
    monkeypatch.setattr(sdpa, "get_device_capability", lambda device: (8, 0))
    monkeypatch.setattr(paddle.device, "is_bf16_supported", lambda **settings: True)
    monkeypatch.setattr(sdpa, "_config", {})
    monkeypatch.setattr(sdpa._C_ops, "flash_attn", lambda *inputs: (note("flash")(*inputs), None, None, None))
    monkeypatch.setattr(efficient, "memory_efficient_attention", note("memory-efficient"))
    monkeypatch.setattr(sdpa, "_math_attention", lambda *inputs: (note("math")(*inputs), None))
    return names


@pytest.mark.parametrize(("dtype", "keys", "has_mask", "expected"), [
    ("bfloat16", 325, False, "flash"), ("float16", 325, False, "flash"), ("bfloat16", 50, True, "flash"),
    ("float32", 325, False, "memory-efficient"), ("float32", 56, True, "memory-efficient"),
    ("float32", 50, True, "math")])
def test_attention_on_a_gpu_keeps_no_weights(chosen: list[str], monkeypatch: pytest.MonkeyPatch, dtype: str, keys: int,
                                             has_mask: bool, expected: str) -> None:
    """Except in float32 with a mask whose length is no multiple of 8, where Paddle has no such kernel."""
    monkeypatch.setenv("BRIDGETOWER_KERNELS", "paddle")
    query, context = (paddle.zeros([2, length, 4, 64], dtype) for length in (10, keys))
    mask = paddle.zeros([2, 1, 1, keys]) if has_mask else None
    assert kernels.attention(query, context, context, mask, 0.1, training=True).shape == query.shape
    assert chosen == [expected]
