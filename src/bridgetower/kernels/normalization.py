"""LayerNorm with a gradient made of matrix products and elementwise operations."""

from __future__ import annotations

from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import Tensor
from paddle.autograd import PyLayer

from .dispatch import worth_ours
from .gradients import frozen, ones_column, sum_rows, unless

__all__ = ["layer_norm"]


class _LayerNormFunction(PyLayer):
    """Paddle's forward kernel with our gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
        """(..., D), (D,) and (D,) to the shape (..., D)."""
        ctx.frozen = frozen(x, weight, bias)
        ctx.save_for_backward(x, weight)
        ctx.epsilon = epsilon
        return F.layer_norm(x, weight.shape, weight, bias, epsilon)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """(..., D) -> (..., D), (D,) and (D,)."""
        x, weight = ctx.saved_tensor()
        rows, upstream = x.flatten(0, -2), gradient.flatten(0, -2)
        normal = F.layer_norm(rows, weight.shape, epsilon=ctx.epsilon)
        product = upstream * normal

        def to_x() -> Tensor:
            mean, column = ones_column(weight.size) / weight.size, weight.unsqueeze(1) / weight.size
            inverse = _inverse_deviation(rows, normal, mean, ctx.epsilon)
            slope, shift = product.matmul(column) * inverse, upstream.matmul(column) * inverse
            # Products with one row, and expanded columns: broadcasting takes Paddle three times as long.
            result = inverse.matmul(weight.unsqueeze(0)).multiply_(upstream)
            result = result.subtract_(slope.expand(rows.shape).multiply_(normal))
            return result.subtract_(shift.expand(rows.shape)).reshape(x.shape)

        return unless(ctx.frozen, to_x, lambda: sum_rows(product), lambda: sum_rows(upstream))


def _inverse_deviation(rows: Tensor, normal: Tensor, mean: Tensor, epsilon: float) -> Tensor:
    """1 / sqrt(variance + epsilon) of each row, (rows, D) -> (rows, 1); Paddle's kernel does not return it.

    The covariance c of a row and its normalised form is r v, and r^2 (v + epsilon) = 1. Solved for r, this form avoids
    cancellation.
    """
    covariance = (rows * normal).matmul(mean) - rows.matmul(mean) * normal.matmul(mean)
    return 2.0 / (covariance + (covariance * covariance + 4.0 * epsilon).sqrt())


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """Normalise the last axis, (..., D) -> (..., D), with a scale and a shift of shape (D,)."""
    if paddle.is_grad_enabled() and worth_ours(x, weight, bias):
        return _LayerNormFunction.apply(x, weight, bias, epsilon)
    if weight.stop_gradient and paddle.is_grad_enabled() and not x.stop_gradient:
        # Paddle 3.3's kernel on a CPU leaves a frozen scale out of the gradient of its input.
        return F.layer_norm(x, weight.shape, epsilon=epsilon) * weight + bias
    return F.layer_norm(x, weight.shape, weight, bias, epsilon)
