"""Cross entropy over selected positions (masked language modelling)."""

from __future__ import annotations

import paddle.nn.functional as F
from paddle import Tensor

from .float32 import in_float32

__all__ = ["masked_cross_entropy"]


def masked_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy over the given positions; zero, with zero gradients, when there are none.

    The original gets NaN from a batch without a masked word (`src/modules/objectives.py`, compute_mlm).

    Args:
        logits: (M, V).
        labels: (M,) int64, all in [0, V).

    Returns:
        Scalar, float32 whatever the logits are.
    """
    if logits.shape[0] == 0:
        return in_float32(logits).sum() * 0.0
    return F.cross_entropy(in_float32(logits), labels)
