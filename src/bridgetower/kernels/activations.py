"""GELU and CLIP's approximation of it, with the derivative computed in the forward pass."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import Tensor
from paddle.autograd import PyLayer

from .dispatch import worth_ours

__all__ = ["gelu", "quick_gelu"]


class _ActivationFunction(PyLayer):
    """An activation that keeps its derivative instead of its input: the backward pass is one product."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, activation: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Tensor:
        """A tensor of any shape to one of the same shape."""
        result, derivative = activation(x)
        ctx.save_for_backward(derivative)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """(...) -> (...)."""
        return ctx.saved_tensor()[0].multiply(gradient)


def _normal_distribution(x: Tensor) -> Tensor:
    return paddle.erf(x.scale(math.sqrt(0.5))).scale_(0.5, 0.5)


def _gelu_with_derivative(x: Tensor) -> tuple[Tensor, Tensor]:
    """x P(x) and P(x) + x p(x), where P is the normal distribution and p its density."""
    distribution = _normal_distribution(x)
    density = (x * x).scale_(-0.5, -0.5 * math.log(2.0 * math.pi)).exp_()
    return x * distribution, density.multiply_(x).add_(distribution)


def _quick_gelu_gate(x: Tensor) -> Tensor:
    """sigmoid(1.702 x) by the hyperbolic tangent, which Paddle computes in less than half the time of a sigmoid."""
    return x.scale(0.851).tanh_().scale_(0.5, 0.5)


def _quick_gelu_with_derivative(x: Tensor) -> tuple[Tensor, Tensor]:
    """x g(x) and g + 1.702 x g (1 - g), where g is the gate."""
    gate = _quick_gelu_gate(x)
    result = x * gate
    return result, (x - result).scale_(1.702, 1.0).multiply_(gate)


def gelu(x: Tensor) -> Tensor:
    """x times the normal distribution of x, (...) -> (...)."""
    if not worth_ours(x):
        return F.gelu(x)
    if not paddle.is_grad_enabled():
        return _normal_distribution(x).multiply_(x)
    return _ActivationFunction.apply(x, _gelu_with_derivative)


def quick_gelu(x: Tensor) -> Tensor:
    """CLIP's approximation of GELU, x * sigmoid(1.702 x), (...) -> (...)."""
    if not worth_ours(x):
        return x * F.sigmoid(1.702 * x)
    if not paddle.is_grad_enabled():
        return _quick_gelu_gate(x).multiply_(x)
    return _ActivationFunction.apply(x, _quick_gelu_with_derivative)
