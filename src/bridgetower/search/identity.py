"""Whether vectors come from the same model, found out by what it makes of one picture and one text.

So a checkpoint, its export, and a copy of either in another place count as one model, while another image transform or
tokenizer does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

__all__ = ["Embedder", "probe", "same_model"]

#: Devices and batches round differently; two trainings differ by more than this.
_TOLERANCE = 1e-3
_TEXT = "two dogs play in the snow"


class Embedder(Protocol):
    """What makes vectors, such as a pipeline for `feature-extraction`."""

    def __call__(self, image: Any = None, text: Any = None) -> Any:
        """Vectors of shape (C,) of pictures, of texts, or of pairs: one, a list or a generator, as the input is."""


def probe(embed: Embedder) -> list[float]:
    """The vectors of a fixed picture and a fixed text, one behind the other."""
    rows, columns = np.mgrid[0:96, 0:128]
    picture = np.stack([2 * rows, 2 * columns - 20, 255 - rows - columns], axis=-1).clip(0, 255).astype(np.uint8)
    return np.concatenate([embed(picture), embed(text=_TEXT)]).astype(float).round(6).tolist()


def same_model(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two probes are of one model."""
    return len(one) == len(other) and bool(np.abs(np.subtract(one, other)).max() < _TOLERANCE)
