"""Turns 8-bit pictures into the normalised float arrays that the models read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from PIL import Image

from ...one_channel import CLIP_MEAN, CLIP_STD

__all__ = ["CLIP", "GREY", "IMAGENET", "INCEPTION", "Normalization", "look_up"]

# OpenCV's threads do not survive the fork of a loader worker, and a worker should use one core anyway.
cv2.setNumThreads(0)


@dataclass(frozen=True)
class Normalization:
    """Per-channel (value / 255 - mean) / std.

    Attributes:
        mean, std: red, green, blue, in units of value / 255; or of grey alone.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, image: Image.Image, values: np.ndarray | None = None) -> np.ndarray:
        """The RGB picture as a normalised float32 array, (3, H, W), or (1, H, W) of its luminance.

        Args:
            image: the picture.
            values: (3, 256) uint8, the replacement of each value before normalisation; None changes nothing.
        """
        if len(self.mean) == 1:
            image = image if values is None else image.point(values.ravel().tolist())
            return look_up(image.convert("L"), self._tables)
        if values is None:
            return look_up(image, self._tables)
        return look_up(image, [table[row] for table, row in zip(self._tables, values, strict=True)])

    @cached_property
    def _tables(self) -> list[np.ndarray]:
        values = np.arange(256, dtype=np.float32) / np.float32(255)
        return [(values - np.float32(mean)) / np.float32(std) for mean, std in zip(self.mean, self.std, strict=True)]


def look_up(image: Image.Image, tables: Sequence[np.ndarray]) -> np.ndarray:
    """Replace each 8-bit value by the entry of its channel's table.

    A channel has only 256 possible results, so this is exact, and each pixel is read and written once.

    Args:
        image: an RGB picture, or a grey one.
        tables: a float32 array of 256 values for each of its channels.

    Returns:
        (3, H, W) or (1, H, W) float32.

    Raises:
        ValueError: a picture of another mode.
    """
    mode = "L" if len(tables) == 1 else "RGB"
    if image.mode != mode:
        raise ValueError(f"expected a picture of mode {mode!r}, got mode {image.mode!r}; use image.convert({mode!r})")
    out = np.empty((len(tables), image.height, image.width), dtype=np.float32)
    for plane, table, target in zip(cv2.split(np.asarray(image)), tables, out, strict=True):
        cv2.LUT(plane, table, dst=target)
    return out


CLIP = Normalization(CLIP_MEAN, CLIP_STD)
IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
INCEPTION = Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
#: Of models with one channel, whose weights contain the normalisation.
GREY = Normalization((0.0,), (1.0,))
