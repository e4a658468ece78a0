"""Linear, LayerNorm, dropout and GELU that go around Paddle's slow CPU kernels; elsewhere they are Paddle's own.

Paddle 3.3 on a CPU sums the gradients of biases and of LayerNorm's parameters on one thread and with long strides
(a bias of 3072 over 1300 rows: 50 ms, where the products of the same layer take 58), and draws each number of a dropout
mask by itself (8 ns an element). Sums over rows are products with a vector of ones here, which MKL does in 0.2 ms.
Results are equal up to rounding. Parameters have Paddle's names and shapes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn
from paddle.autograd import PyLayer

from .cpu import on_cpu

__all__ = ["Dropout", "DropoutMask", "LayerNorm", "Linear", "add_bias", "dropout", "gelu", "quick_gelu"]

#: Sixteen random bits decide about one element of a dropout mask: p is rounded to a multiple of 1/65536.
_LEVELS = 1 << 16


def _ones(rows: int) -> Tensor:
    return paddle.ones([rows, 1])


def _sum_rows(x: Tensor) -> Tensor:
    """(rows, D) -> (D,)."""
    return _ones(x.shape[0]).matmul(x, transpose_x=True).reshape([-1])


def _frozen(*inputs: Tensor) -> tuple[bool, ...]:
    return tuple(tensor.stop_gradient for tensor in inputs)


def _unless(frozen: tuple[bool, ...], *gradients: Callable[[], Tensor]) -> tuple[Tensor | None, ...]:
    """Compute the gradients of inputs that are not frozen; of the others, Paddle expects None."""
    return tuple(None if skip else gradient() for skip, gradient in zip(frozen, gradients, strict=True))


class _AddBiasFunction(PyLayer):
    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor) -> Tensor:
        ctx.frozen = _frozen(x, bias)
        return x + bias

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return _unless(ctx.frozen, lambda: gradient, lambda: _sum_rows(gradient.flatten(0, -2)))


def add_bias(x: Tensor, bias: Tensor) -> Tensor:
    """(..., D) + (D,) -> (..., D)."""
    if paddle.is_grad_enabled() and on_cpu(x, bias):
        return _AddBiasFunction.apply(x, bias)
    return x + bias


def _affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x weight + bias, where MKL adds to the bias: a sum afterwards runs on one thread."""
    return paddle.addmm(bias, x.flatten(0, -2), weight).reshape([*x.shape[:-1], bias.shape[0]])


class _LinearFunction(PyLayer):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.frozen = _frozen(x, weight, bias)
        ctx.save_for_backward(x, weight)
        return _affine(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensor()
        rows = gradient.flatten(0, -2)
        return _unless(ctx.frozen, lambda: gradient.matmul(weight, transpose_y=True),
                       lambda: x.flatten(0, -2).matmul(rows, transpose_x=True), lambda: _sum_rows(rows))


class Linear(nn.Linear):
    """`paddle.nn.Linear`."""

    def forward(self, x: Tensor, extra_bias: Tensor | None = None) -> Tensor:
        """Map the last axis.

        Args:
            x: (..., in).
            extra_bias: (out,) added to the bias, as one addition of both is cheaper than two of each row.

        Returns:
            (..., out).
        """
        bias = self.bias if extra_bias is None else self.bias + extra_bias
        if bias is None or not on_cpu(x, self.weight):
            return F.linear(x, self.weight, bias)
        if paddle.is_grad_enabled():
            return _LinearFunction.apply(x, self.weight, bias)
        return _affine(x, self.weight, bias)


class _LayerNormFunction(PyLayer):
    """The forward kernel of Paddle with a gradient made of products and elementwise operations."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
        ctx.frozen = _frozen(x, weight, bias)
        ctx.save_for_backward(x, weight)
        ctx.epsilon = epsilon
        return F.layer_norm(x, weight.shape, weight, bias, epsilon)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensor()
        rows, upstream = x.flatten(0, -2), gradient.flatten(0, -2)
        normal = F.layer_norm(rows, weight.shape, epsilon=ctx.epsilon)
        product = upstream * normal

        def to_x() -> Tensor:
            mean, column = _ones(weight.size) / weight.size, weight.unsqueeze(1) / weight.size
            inverse = _inverse_deviation(rows, normal, mean, ctx.epsilon)
            slope, shift = product.matmul(column) * inverse, upstream.matmul(column) * inverse
            # Products with one row and expanded columns: broadcasting takes Paddle three times as long.
            result = inverse.matmul(weight.unsqueeze(0)).multiply_(upstream)
            result = result.subtract_(slope.expand(rows.shape).multiply_(normal))
            return result.subtract_(shift.expand(rows.shape)).reshape(x.shape)

        return _unless(ctx.frozen, to_x, lambda: _sum_rows(product), lambda: _sum_rows(upstream))


def _inverse_deviation(rows: Tensor, normal: Tensor, mean: Tensor, epsilon: float) -> Tensor:
    """1 / sqrt(variance + epsilon) of each row, (rows, D) -> (rows, 1), which Paddle's kernel keeps to itself.

    The covariance c of a row with its normal form is r v, and r^2 (v + epsilon) = 1, which solved for r needs no
    difference of large numbers.
    """
    covariance = (rows * normal).matmul(mean) - rows.matmul(mean) * normal.matmul(mean)
    return 2.0 / (covariance + (covariance * covariance + 4.0 * epsilon).sqrt())


class LayerNorm(nn.LayerNorm):
    """`paddle.nn.LayerNorm` over the last axis."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        if paddle.is_grad_enabled() and on_cpu(x, self.weight):
            return _LayerNormFunction.apply(x, self.weight, self.bias, self._epsilon)
        return super().forward(x)


class DropoutMask:
    """Zeroes elements with probability p and scales the others by 1 / (1 - p), the same ones at every call.

    It keeps a byte an element. Its seed comes from Paddle, whose state is what recomputation replays and a checkpoint
    stores.
    """

    def __init__(self, shape: list[int], p: float) -> None:
        level, size = round(p * _LEVELS), int(np.prod(shape))
        seed = int(paddle.randint(np.iinfo(np.int32).max, shape=[1]))
        draws = np.random.SFC64(seed).random_raw(-(-size // 4)).view(np.uint16)[:size]
        self._kept = paddle.to_tensor((draws >= level).view(np.uint8)).reshape(shape)
        self._scale = _LEVELS / max(_LEVELS - level, 1)  # with all of them dropped nothing is left to scale

    @property
    def shape(self) -> list[int]:
        """Of what the mask is for."""
        return self._kept.shape

    def __getitem__(self, rows: slice) -> DropoutMask:
        """The mask of some of the rows."""
        part = copy.copy(self)
        part._kept = self._kept[rows]
        return part

    def __call__(self, x: Tensor) -> Tensor:
        """(shape) -> (shape)."""
        return self._kept.astype(x.dtype).multiply_(x).scale_(self._scale)


class _DropoutFunction(PyLayer):
    @staticmethod
    def forward(ctx: Any, x: Tensor, p: float) -> Tensor:
        ctx.mask = DropoutMask(x.shape, p)
        return ctx.mask(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return ctx.mask(gradient)


def dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """Zero elements with probability p and scale the others by 1 / (1 - p), (...) -> (...)."""
    if not training or p == 0.0:
        return x
    if p < 1.0 and on_cpu(x):
        return _DropoutFunction.apply(x, p)
    return F.dropout(x, p)


class Dropout(nn.Dropout):
    """`paddle.nn.Dropout`."""

    def forward(self, x: Tensor) -> Tensor:
        """(...) -> (...)."""
        return dropout(x, self.p, self.training)


class _ActivationFunction(PyLayer):
    """An activation that keeps its derivative in place of its input: backward is one product."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, activation: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Tensor:
        result, derivative = activation(x)
        ctx.save_for_backward(derivative)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return ctx.saved_tensor()[0].multiply(gradient)


def _normal_distribution(x: Tensor) -> Tensor:
    return paddle.erf(x.scale(math.sqrt(0.5))).scale_(0.5, 0.5)


def _gelu_with_derivative(x: Tensor) -> tuple[Tensor, Tensor]:
    """x P(x) and P(x) + x p(x), with P and p the normal distribution and its density."""
    distribution = _normal_distribution(x)
    density = (x * x).scale_(-0.5, -0.5 * math.log(2.0 * math.pi)).exp_()
    return x * distribution, density.multiply_(x).add_(distribution)


def _quick_gelu_gate(x: Tensor) -> Tensor:
    """sigmoid(1.702 x), by the hyperbolic tangent: Paddle computes it in less than half the time of a sigmoid."""
    return x.scale(0.851).tanh_().scale_(0.5, 0.5)


def _quick_gelu_with_derivative(x: Tensor) -> tuple[Tensor, Tensor]:
    """x g(x) and g + 1.702 x g (1 - g), with g the gate."""
    gate = _quick_gelu_gate(x)
    result = x * gate
    return result, (x - result).scale_(1.702, 1.0).multiply_(gate)


def gelu(x: Tensor) -> Tensor:
    """x times the normal distribution of x, (...) -> (...)."""
    if not on_cpu(x):
        return F.gelu(x)
    if not paddle.is_grad_enabled():
        return _normal_distribution(x).multiply_(x)
    return _ActivationFunction.apply(x, _gelu_with_derivative)


def quick_gelu(x: Tensor) -> Tensor:
    """CLIP's approximation of GELU, x * sigmoid(1.702 x), (...) -> (...)."""
    if not on_cpu(x):
        return x * F.sigmoid(1.702 * x)
    if not paddle.is_grad_enabled():
        return _quick_gelu_gate(x).multiply_(x)
    return _ActivationFunction.apply(x, _quick_gelu_with_derivative)
