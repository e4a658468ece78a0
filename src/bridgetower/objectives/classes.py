"""Cross entropy over classes, with the labels that PyTorch's takes."""

from __future__ import annotations

import paddle.nn.functional as F
from paddle import Tensor

__all__ = ["class_cross_entropy"]

_IGNORED = -100


def class_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy over the labelled rows; zero when there are none.

    Paddle's own mean divides by all rows when the label of some is -100.

    Args:
        logits: (B, C).
        labels: (B,) classes, -100 for a row that does not count; or (B, C) probabilities.

    Returns:
        Scalar.
    """
    if labels.is_floating_point() and labels.ndim == logits.ndim and logits.shape[-1] == labels.shape[-1] > 1:
        return F.cross_entropy(logits, labels.astype(logits.dtype), soft_label=True)
    labels = labels.flatten().astype("int64")
    count = (labels != _IGNORED).sum().clip(min=1)
    total = F.cross_entropy(logits, labels, ignore_index=_IGNORED, reduction="sum")
    return total / count.astype(total.dtype)
