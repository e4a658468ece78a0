"""The loss of visual question answering with soft targets."""

from __future__ import annotations

import paddle.nn.functional as F
from paddle import Tensor

from .float32 import in_float32

__all__ = ["vqa_loss"]


def vqa_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross entropy summed over answers and averaged over questions.

    The original multiplies the mean over both axes by the number of answers (`src/modules/objectives.py`,
    compute_vqa), which is the same.

    Args:
        logits: (B, C).
        targets: (B, C) scores in [0, 1].

    Returns:
        Scalar, float32 whatever the logits are.
    """
    return F.binary_cross_entropy_with_logits(in_float32(logits), in_float32(targets)) * logits.shape[1]
