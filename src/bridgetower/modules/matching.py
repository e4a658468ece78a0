"""Image-text matching (ITM): which text is paired with which image."""

from __future__ import annotations

import paddle
from paddle import Tensor

__all__ = ["matching_image_rows", "select_rows"]


def select_rows(states: list[Tensor], rows: Tensor) -> list[Tensor]:
    """Select rows of each state, (B, ...) and (R,) -> (R, ...)."""
    return [state.index_select(rows) for state in states]


def matching_image_rows(labels: Tensor) -> Tensor:
    """The image of each ITM row among [B true images; false images]: its own, or at label 0 the next false one.

    Args:
        labels: (B,) int64, 1 = match.

    Returns:
        (B,) int64.
    """
    is_false, count = 1 - labels, labels.shape[0]
    return labels * paddle.arange(count) + is_false * (count + is_false.cumsum() - 1)
