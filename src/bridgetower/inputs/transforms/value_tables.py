"""A picture with pending pointwise operations, combined into one table of values.

An operation that maps each 8-bit value to another, wherever it occurs, only needs to change the table.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image

__all__ = ["PendingPicture", "auto_contrast_table", "contrast_table", "equalize_table", "table_of"]

Operation = Callable[[Image.Image, float], Image.Image]
_VALUES = np.arange(256)


class PendingPicture:
    """An RGB picture and the value table still to be applied to it.

    Attributes:
        image: the picture before any pending table.
        table: (3, 256) uint8, the new value of each old value, per channel; None changes nothing.
    """

    def __init__(self, image: Image.Image) -> None:
        self.image = image
        self.table: np.ndarray | None = None

    def put_on(self, table: np.ndarray) -> None:
        """Add an operation: a (3, 256) uint8 table of new values."""
        self.table = table if self.table is None else np.take_along_axis(table, self.table.astype(np.intp), axis=1)

    def resolve(self) -> Image.Image:
        """Apply the pending table; the resulting picture."""
        if self.table is not None:
            self.image, self.table = self.image.point(self.table.ravel().tolist()), None
        return self.image

    def histograms(self) -> np.ndarray:
        """(3, 256) counts of each value in each channel, the pending table included."""
        counts = np.array(self.image.histogram()).reshape(3, 256)
        if self.table is None:
            return counts
        rows = zip(self.table, counts, strict=True)
        return np.stack([np.bincount(new, old, 256).astype(np.int64) for new, old in rows])


@cache
def table_of(operation: Operation, value: float) -> np.ndarray:
    """The (3, 256) uint8 table of an operation that treats all pixels of an RGB picture alike."""
    return np.ascontiguousarray(np.asarray(operation(_ramp(), value))[0].T)


def _ramp() -> Image.Image:
    """A picture that holds every value once in each channel."""
    return Image.fromarray(np.repeat(_VALUES.astype(np.uint8)[None, :, None], 3, axis=2))


def auto_contrast_table(picture: PendingPicture, value: float) -> np.ndarray:
    """Each channel stretched to 0..255, as `ImageOps.autocontrast` does, unless constant. `value` is unused."""
    rows = []
    for counts in picture.histograms():
        found = np.flatnonzero(counts)
        low, high = int(found[0]), int(found[-1])
        scale = 255.0 / (high - low) if high > low else 1.0
        offset = -low * scale if high > low else 0.0
        rows.append(np.clip((_VALUES * scale + offset).astype(np.int64), 0, 255).astype(np.uint8))
    return np.stack(rows)


def equalize_table(picture: PendingPicture, value: float) -> np.ndarray:
    """Equalise the histogram of each channel, as `ImageOps.equalize` does. `value` is unused."""
    rows = []
    for counts in picture.histograms():
        step = int(counts.sum() - counts[np.flatnonzero(counts)[-1]]) // 255
        # Number of pixels below each value, in units of an even share; no step means nothing to do.
        row = (step // 2 + np.cumsum(counts) - counts) // step if step else _VALUES
        rows.append(np.minimum(row, 255).astype(np.uint8))
    return np.stack(rows)


def contrast_table(picture: PendingPicture, value: float) -> np.ndarray:
    """Blend with the mean grey by the factor `value`, as `ImageEnhance.Contrast` does."""
    grey = np.array(picture.resolve().convert("L").histogram())
    mean = int(int(grey @ _VALUES) / int(grey.sum()) + 0.5)
    return _blended(mean, value)


@cache
def _blended(mean: int, value: float) -> np.ndarray:
    blended = Image.blend(Image.new("RGB", (256, 1), (mean,) * 3), _ramp(), value)
    return np.ascontiguousarray(np.asarray(blended)[0].T)
