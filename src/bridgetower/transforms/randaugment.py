"""RandAugment on PIL images: nearest-neighbour warps, black fill, every drawn operation applied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

__all__ = ["OPERATIONS", "PILOperation", "PILRandAugment", "solarize_add"]


def solarize_add(image: Image.Image, value: float) -> Image.Image:
    """Brighten every pixel by `value` (clipped and truncated to 8 bits), then invert those of 128 and more."""
    brighter = np.clip(np.asarray(image).astype(np.float64) + value, 0, 255).astype(np.uint8)
    return ImageOps.solarize(Image.fromarray(brighter, image.mode), 128)


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
    """

    name: str
    low: float
    high: float
    apply: Callable[[Image.Image, float], Image.Image]
    signed: bool = False

    def value(self, strength: float) -> float:
        """The argument at a strength between 0 and 30."""
        return strength / 30 * (self.high - self.low) + self.low


#: The affine coefficients map output to input pixels, as PIL defines them.
OPERATIONS: tuple[PILOperation, ...] = (
    PILOperation("AutoContrast", 0, 1, lambda image, v: ImageOps.autocontrast(image)),
    PILOperation("Equalize", 0, 1, lambda image, v: ImageOps.equalize(image)),
    PILOperation("Rotate", 0, 30, lambda image, v: image.rotate(v), signed=True),
    PILOperation("Posterize", 0, 4, lambda image, v: ImageOps.posterize(image, max(1, int(v)))),
    PILOperation("Solarize", 0, 256, lambda image, v: ImageOps.solarize(image, v)),  # type: ignore[arg-type]
    PILOperation("SolarizeAdd", 0, 110, solarize_add),
    PILOperation("Color", 0.1, 1.9, lambda image, v: ImageEnhance.Color(image).enhance(v)),
    PILOperation("Contrast", 0.1, 1.9, lambda image, v: ImageEnhance.Contrast(image).enhance(v)),
    PILOperation("Brightness", 0.1, 1.9, lambda image, v: ImageEnhance.Brightness(image).enhance(v)),
    PILOperation("Sharpness", 0.1, 1.9, lambda image, v: ImageEnhance.Sharpness(image).enhance(v)),
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
        for index in rng.integers(len(OPERATIONS), size=self.count):
            operation = OPERATIONS[index]
            value = operation.value(self.strength)
            if operation.signed and rng.random() > 0.5:
                value = -value
            image = operation.apply(image, value)
        return image
