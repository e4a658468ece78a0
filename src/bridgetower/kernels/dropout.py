"""Dropout whose mask is drawn in blocks of random bits, 16 for each element."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor
from paddle.autograd import PyLayer

from .dispatch import worth_ours

__all__ = ["DropoutMask", "dropout"]

#: Sixteen random bits decide about one element: p is rounded to a multiple of 1/65536.
_LEVELS = 1 << 16


class DropoutMask:
    """Zeroes elements with probability p and scales the others by 1 / (1 - p), the same ones at every call.

    It keeps one byte per element. Its seed comes from Paddle's generator, whose state recomputation replays and
    checkpoints store.
    """

    def __init__(self, shape: list[int], p: float) -> None:
        level, size = round(p * _LEVELS), int(np.prod(shape))
        seed = int(paddle.randint(np.iinfo(np.int32).max, shape=[1]))
        draws = np.random.SFC64(seed).random_raw(-(-size // 4)).view(np.uint16)[:size]
        self._kept = paddle.to_tensor((draws >= level).view(np.uint8)).reshape(shape)
        self._scale = _LEVELS / max(_LEVELS - level, 1)  # if everything is dropped, nothing is left to scale

    @property
    def shape(self) -> list[int]:
        """Shape of the tensors that the mask applies to."""
        return self._kept.shape

    def __getitem__(self, rows: slice) -> DropoutMask:
        """The mask of some rows."""
        part = copy.copy(self)
        part._kept = self._kept[rows]
        return part

    def __call__(self, x: Tensor) -> Tensor:
        """Apply the mask to a tensor of its shape."""
        return self._kept.astype(x.dtype).multiply_(x).scale_(self._scale)


class _DropoutFunction(PyLayer):
    """Applies one mask in both directions."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, p: float) -> Tensor:
        """A tensor of any shape to one of the same shape."""
        ctx.mask = DropoutMask(x.shape, p)
        return ctx.mask(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """(...) -> (...)."""
        return ctx.mask(gradient)


def dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """Zero elements with probability p and scale the others by 1 / (1 - p), (...) -> (...)."""
    if not training or p == 0.0:
        return x
    return _DropoutFunction.apply(x, p) if p < 1.0 and worth_ours(x) else F.dropout(x, p)
