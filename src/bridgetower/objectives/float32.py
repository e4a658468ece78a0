"""Losses in float32 when the model computes in half precision."""

from __future__ import annotations

import paddle
from paddle import Tensor

__all__ = ["in_float32"]


def in_float32(x: Tensor) -> Tensor:
    """`x` as float32, without a copy if it is already: (...) -> (...).

    A loss adds up many small terms, and bfloat16 has three digits: a target score of 0.3 would become 0.2988.
    """
    return x if x.dtype == paddle.float32 else x.astype("float32")
