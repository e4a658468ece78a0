"""Image-text matching (ITM): which text meets which image, and what the head says of them."""

from __future__ import annotations

import paddle
from paddle import Tensor

__all__ = ["matching_image_rows", "select_rows"]


def select_rows(states: list[Tensor], rows: Tensor) -> list[Tensor]:
    """Rows of each state, (B, ...) and (R,) -> (R, ...)."""
    return [state.index_select(rows) for state in states]


def matching_image_rows(labels: Tensor) -> Tensor:
    """The image of each ITM row among [B true images; false images]: its own, or the next false one at label 0.

    Args:
        labels: (B,) int64, 1 = match.

    Returns:
        (B,) int64.
    """
    is_false, count = 1 - labels, labels.shape[0]
    return labels * paddle.arange(count) + is_false * (count + is_false.cumsum() - 1)
