"""The image position table at another image size."""

from __future__ import annotations

import logging
import math

import numpy as np

logger = logging.getLogger(__name__)

_CUBIC = -0.75  # the constant `a` of the convolution kernel that torch uses


def resize_position_table(table: np.ndarray, new_tokens: int) -> np.ndarray:
    """Resize the patch grid of a position table; the class token's row is kept.

    Bicubic interpolation (a = -0.75) with half-pixel centres, repeated edges and no antialiasing.

    Args:
        table: (1 + G * G, W) or (1, 1 + G * G, W) positions, class token first.
        new_tokens: rows of the result, 1 + H * H.

    Returns:
        The table with `new_tokens` rows and the rank and type of `table`; `table` itself if nothing changes.

    Raises:
        ValueError: either grid is not square.
    """
    old_tokens, width = table.shape[-2:]
    old, new = _grid(old_tokens), _grid(new_tokens)
    if old == new:
        return table
    logger.info("image position table: grid %dx%d resized to %dx%d", old, old, new, new)
    rows = table.reshape(old_tokens, width)
    weights = _bicubic(old, new)
    grid = rows[1:].reshape(old, old, width).astype(np.float64)
    grid = np.einsum("yi,xj,ijw->yxw", weights, weights, grid, optimize=True)
    result = np.concatenate([rows[:1], grid.reshape(-1, width).astype(table.dtype)])
    return result.reshape(*table.shape[:-2], new_tokens, width)


def _grid(tokens: int) -> int:
    side = math.isqrt(max(tokens - 1, 0))
    if side == 0 or side * side != tokens - 1:
        raise ValueError(f"a position table of {tokens} rows is no class token and square grid (1 + n * n rows)")
    return side


def _bicubic(old: int, new: int) -> np.ndarray:
    """(new, old) weights: row y gives output pixel y as a sum of input pixels."""
    weights = np.zeros((new, old))
    centres = (np.arange(new) + 0.5) * old / new - 0.5
    for tap in range(-1, 3):
        source = np.floor(centres).astype(int) + tap
        np.add.at(weights, (np.arange(new), source.clip(0, old - 1)), _kernel(np.abs(centres - source)))
    return weights


def _kernel(distance: np.ndarray) -> np.ndarray:
    near = ((_CUBIC + 2) * distance - (_CUBIC + 3)) * distance**2 + 1
    far = _CUBIC * (((distance - 5) * distance + 8) * distance - 4)
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
