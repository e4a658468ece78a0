"""The activations that a configuration may name, by the names of transformers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import paddle
import paddle.nn.functional as F
from paddle import Tensor

from .. import kernels

__all__ = ["ACTIVATIONS"]


def _tanh_gelu(x: Tensor) -> Tensor:
    """GELU by a hyperbolic tangent, (...) -> (...)."""
    return F.gelu(x, approximate=True)


def _gelu_10(x: Tensor) -> Tensor:
    """GELU clipped to [-10, 10], (...) -> (...)."""
    return kernels.gelu(x).clip(-10.0, 10.0)


def _laplace(x: Tensor) -> Tensor:
    """The distribution function of a normal variable with the mean and deviation of MEGA, (...) -> (...)."""
    return 0.5 * (1.0 + paddle.erf((x - 0.707107) / (0.282095 * math.sqrt(2.0))))


def _linear(x: Tensor) -> Tensor:
    """No activation, (...) -> (...)."""
    return x


def _relu2(x: Tensor) -> Tensor:
    """The square of ReLU, (...) -> (...)."""
    return F.relu(x).square()


#: Exactly the names of `bridgetower.known.ACTIVATIONS`; several name one function, which transformers wrote twice.
ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "gelu": kernels.gelu, "gelu_python": kernels.gelu, "gelu_10": _gelu_10, "gelu_accurate": _tanh_gelu,
    "gelu_fast": _tanh_gelu, "gelu_new": _tanh_gelu, "gelu_pytorch_tanh": _tanh_gelu, "laplace": _laplace,
    "leaky_relu": F.leaky_relu, "linear": _linear, "mish": F.mish, "quick_gelu": kernels.quick_gelu, "relu": F.relu,
    "relu2": _relu2, "relu6": F.relu6, "sigmoid": F.sigmoid, "silu": F.silu, "swish": F.silu, "tanh": F.tanh,
}
