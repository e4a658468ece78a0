"""Linear maps and biases: the gradient of a bias is a matrix product, and MKL adds the bias in the forward pass."""

from __future__ import annotations

from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import Tensor
from paddle.autograd import PyLayer

from .dispatch import use_ours, worth_ours
from .gradients import frozen, sum_rows, unless

__all__ = ["add_bias", "linear", "patch_embedding"]


class _AddBiasFunction(PyLayer):
    """A sum with a bias, whose gradient is summed by a product."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor) -> Tensor:
        """(..., D) and (D,) to the shape (..., D)."""
        ctx.frozen = frozen(x, bias)
        return x + bias

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """(..., D) -> (..., D) and (D,)."""
        return unless(ctx.frozen, lambda: gradient, lambda: sum_rows(gradient.flatten(0, -2)))


def add_bias(x: Tensor, bias: Tensor) -> Tensor:
    """Add a bias to each row, (..., D) + (D,) -> (..., D)."""
    if paddle.is_grad_enabled() and worth_ours(x, bias):
        return _AddBiasFunction.apply(x, bias)
    return x + bias


def _affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x weight + bias, (..., in) -> (..., out), where MKL adds to the bias: a separate sum runs on one thread."""
    return paddle.addmm(bias, x.flatten(0, -2), weight).reshape([*x.shape[:-1], bias.shape[0]])


class _LinearFunction(PyLayer):
    """A linear map with a bias whose gradient is summed by a product."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """(..., in), (in, out) and (out,) -> (..., out)."""
        ctx.frozen = frozen(x, weight, bias)
        ctx.save_for_backward(x, weight)
        return _affine(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """(..., out) -> (..., in), (in, out) and (out,)."""
        x, weight = ctx.saved_tensor()
        rows = gradient.flatten(0, -2)
        return unless(ctx.frozen, lambda: gradient.matmul(weight, transpose_y=True),
                      lambda: x.flatten(0, -2).matmul(rows, transpose_x=True), lambda: sum_rows(rows))


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Map the last axis.

    Args:
        x: (..., in).
        weight: (in, out).
        bias: (out,), or None.

    Returns:
        (..., out).
    """
    if bias is not None and paddle.is_grad_enabled() and worth_ours(x, weight, bias):
        return _LinearFunction.apply(x, weight, bias)
    if bias is not None and not paddle.is_grad_enabled() and use_ours(x, weight, bias):
        return _affine(x, weight, bias)
    return F.linear(x, weight, bias)


def patch_embedding(images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve with a stride that equals the kernel's size p; on a CPU this is a matrix product.

    Args:
        images: (B, 3, S, S); rows and columns beyond a multiple of p are not read.
        weight: (W, 3, p, p).
        bias: (W,), or None.

    Returns:
        (B, W, S / p, S / p).
    """
    width, channels, size, _ = weight.shape
    if not use_ours(images, weight):
        return F.conv2d(images, weight, bias, stride=size)
    batch, (high, wide) = images.shape[0], (side // size for side in images.shape[2:])
    patches = images[:, :, :high * size, :wide * size].reshape([batch, channels, high, size, wide, size])
    patches = patches.transpose([0, 2, 4, 1, 3, 5]).reshape([batch, high * wide, channels * size * size])
    embedded = patches.matmul(weight.flatten(1), transpose_y=True)
    embedded = embedded if bias is None else add_bias(embedded, bias)
    return embedded.transpose([0, 2, 1]).reshape([batch, width, high, wide])
