"""RandAugment on PIL images: nearest-neighbour warps, black fill, every drawn operation applied.

Written by hand because the augmented pictures must equal those of Pillow of 2022, which the published models saw.
Half of the operations only map values to other values: their tables are combined, in training with the normalisation
too, and looked up once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from .value_tables import (
    PendingPicture,
    auto_contrast_table,
    contrast_table,
    equalize_table,
    table_of,
)

__all__ = ["OPERATIONS", "PILOperation", "PILRandAugment", "sharpen", "solarize_add"]

#: PIL's SMOOTH filter.
_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], dtype=np.float32) / 13


def solarize_add(image: Image.Image, value: float) -> Image.Image:
    """Brighten every pixel by `value` (clipped and truncated to 8 bits), then invert those of 128 and more."""
    brighter = np.clip(np.asarray(image).astype(np.float64) + value, 0, 255).astype(np.uint8)
    return ImageOps.solarize(Image.fromarray(brighter, image.mode), 128)


def sharpen(image: Image.Image, factor: float) -> Image.Image:
    """Blend with a smoothed copy that keeps the border pixels, as `ImageEnhance.Sharpness` does.

    OpenCV smooths five times as fast with the same bytes: multiples of 1/13 are never close enough to a rounding
    boundary for the two to differ.
    """
    pixels = np.asarray(image)
    smooth = cv2.filter2D(pixels, -1, _SMOOTH)
    for border in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        smooth[border] = pixels[border]
    return Image.blend(Image.fromarray(smooth), image, factor)


def _affine(image: Image.Image, *coefficients: float) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, coefficients, Image.Resampling.NEAREST)


@dataclass(frozen=True)
class PILOperation:
    """One entry of the policy.

    Attributes:
        name: as in the RandAugment literature.
        low, high: the argument at strength 0 and at strength 30.
        apply: the operation, given the picture and the argument.
        signed: whether the argument is negated half of the time.
        table: for an operation that only maps values, its (3, 256) uint8 table.
    """

    name: str
    low: float
    high: float
    apply: Callable[[Image.Image, float], Image.Image]
    signed: bool = False
    table: Callable[[PendingPicture, float], np.ndarray] | None = None

    def value(self, strength: float) -> float:
        """The argument at a strength between 0 and 30."""
        return strength / 30 * (self.high - self.low) + self.low


def _pointwise(name: str, low: float, high: float, apply: Callable[[Image.Image, float], Image.Image]
               ) -> PILOperation:
    """An operation whose table depends on its argument alone."""
    return PILOperation(name, low, high, apply, table=lambda picture, v: table_of(apply, v))


#: The affine coefficients map output to input pixels, as PIL defines them.
OPERATIONS: tuple[PILOperation, ...] = (
    PILOperation("AutoContrast", 0, 1, lambda image, v: ImageOps.autocontrast(image), table=auto_contrast_table),
    PILOperation("Equalize", 0, 1, lambda image, v: ImageOps.equalize(image), table=equalize_table),
    PILOperation("Rotate", 0, 30, lambda image, v: image.rotate(v), signed=True),
    _pointwise("Posterize", 0, 4, lambda image, v: ImageOps.posterize(image, max(1, int(v)))),
    _pointwise("Solarize", 0, 256, lambda image, v: ImageOps.solarize(image, v)),  # type: ignore[arg-type]
    _pointwise("SolarizeAdd", 0, 110, solarize_add),
    PILOperation("Color", 0.1, 1.9, lambda image, v: ImageEnhance.Color(image).enhance(v)),
    PILOperation("Contrast", 0.1, 1.9, lambda image, v: ImageEnhance.Contrast(image).enhance(v), table=contrast_table),
    _pointwise("Brightness", 0.1, 1.9, lambda image, v: ImageEnhance.Brightness(image).enhance(v)),
    PILOperation("Sharpness", 0.1, 1.9, sharpen),
    PILOperation("ShearX", 0, 0.3, lambda image, v: _affine(image, 1, v, 0, 0, 1, 0), signed=True),
    PILOperation("ShearY", 0, 0.3, lambda image, v: _affine(image, 1, 0, 0, v, 1, 0), signed=True),
    PILOperation("TranslateXabs", 0, 100, lambda image, v: _affine(image, 1, 0, v, 0, 1, 0), signed=True),
    PILOperation("TranslateYabs", 0, 100, lambda image, v: _affine(image, 1, 0, 0, 0, 1, v), signed=True),
)


@dataclass(frozen=True)
class PILRandAugment:
    """Apply `count` operations drawn with replacement from `OPERATIONS`, each at `strength` (0 to 30)."""

    count: int
    strength: float

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """(H, W, 3) -> (H, W, 3)."""
        return self._draw(image, rng).resolve()

    def augment(self, image: Image.Image, rng: np.random.Generator) -> tuple[Image.Image, np.ndarray | None]:
        """The augmented RGB picture, and the (3, 256) uint8 table still to be applied to it, or None."""
        picture = self._draw(image, rng)
        return picture.image, picture.table

    def _draw(self, image: Image.Image, rng: np.random.Generator) -> PendingPicture:
        picture = PendingPicture(image)
        for index in rng.integers(len(OPERATIONS), size=self.count):
            operation = OPERATIONS[index]
            value = operation.value(self.strength)
            if operation.signed and rng.random() > 0.5:
                value = -value
            if operation.table is not None:
                picture.put_on(operation.table(picture, value))
            else:
                picture.image = operation.apply(picture.resolve(), value)
        return picture
