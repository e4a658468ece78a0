"""Turns 8-bit RGB pictures into the normalised float arrays that the models read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from PIL import Image

__all__ = ["CLIP", "IMAGENET", "INCEPTION", "Normalization", "look_up"]

# OpenCV's threads do not survive the fork of a loader worker, and a worker should use one core anyway.
cv2.setNumThreads(0)


@dataclass(frozen=True)
class Normalization:
    """Per-channel (value / 255 - mean) / std.

    Attributes:
        mean, std: red, green, blue, in units of value / 255.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __call__(self, image: Image.Image, values: np.ndarray | None = None) -> np.ndarray:
        """The RGB picture as a normalised (3, H, W) float32 array.

        Args:
            image: the picture.
            values: (3, 256) uint8, the replacement of each value before normalisation; None changes nothing.
        """
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
        image: an RGB picture.
        tables: three float32 arrays of 256 values.

    Returns:
        (3, H, W) float32.

    Raises:
        ValueError: a picture of another mode.
    """
    if image.mode != "RGB":
        raise ValueError(f"expected an RGB picture, got mode {image.mode!r}; use image.convert('RGB')")
    out = np.empty((3, image.height, image.width), dtype=np.float32)
    for plane, table, target in zip(cv2.split(np.asarray(image)), tables, out, strict=True):
        cv2.LUT(plane, table, dst=target)
    return out


CLIP = Normalization((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
INCEPTION = Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
