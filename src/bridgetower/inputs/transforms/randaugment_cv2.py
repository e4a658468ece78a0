"""RandAugment with OpenCV: bilinear warps, grey fill, each drawn operation skipped half of the time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageOps

__all__ = ["CvRandAugment", "auto_contrast", "brightness", "rotate", "sharpness", "shear", "translate"]

_FILL = (128, 128, 128)
#: Largest arguments, reached at strength 10.
_MAX_SHEAR, _MAX_SHIFT, _MAX_DEGREES = 0.3, 10, 30
#: Brightness and sharpness: exactly 1 at strength 5.
_FACTOR_RANGE, _MIN_FACTOR = 1.8, 0.1


def auto_contrast(pixels: np.ndarray) -> np.ndarray:
    """Stretch each channel of an (H, W, 3) uint8 array to 0..255, with the arithmetic of the original.

    The original negates the smallest value in 8 bits, so a channel whose minimum is above 0 becomes 255 throughout.
    """
    out = pixels.copy()
    for channel in range(3):
        low, high = int(pixels[..., channel].min()), int(pixels[..., channel].max())
        if high > low:
            table = np.full(256, 255.0) if low else np.clip(np.arange(256) * (255 / high), 0, 255)
            out[..., channel] = table.astype(np.uint8)[pixels[..., channel]]
    return out


def equalize(pixels: np.ndarray) -> np.ndarray:
    """Equalise the histogram of each channel, with PIL's arithmetic."""
    return np.asarray(ImageOps.equalize(Image.fromarray(pixels)))


def brightness(pixels: np.ndarray, factor: float) -> np.ndarray:
    """Multiply each value by `factor`, clipped and truncated to 8 bits."""
    return np.clip(np.arange(256) * factor, 0, 255).astype(np.uint8)[pixels]


def sharpness(pixels: np.ndarray, factor: float) -> np.ndarray:
    """Blend with a blurred copy: factor 0 gives the copy, 1 the picture itself; border pixels are kept."""
    if factor == 1.0:
        return pixels
    kernel = np.ones((3, 3), dtype=np.float32)
    kernel[1, 1] = 5
    blurred = cv2.filter2D(pixels, -1, kernel / kernel.sum()).astype(np.float32)[1:-1, 1:-1]
    out = pixels.astype(np.float32)
    out[1:-1, 1:-1] = blurred + factor * (out[1:-1, 1:-1] - blurred)
    return np.clip(out, 0, 255).astype(np.uint8)


def _warp(pixels: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Move each input pixel (x, y) to matrix @ (x, y, 1), keeping the size."""
    height, width = pixels.shape[:2]
    return cv2.warpAffine(pixels, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT,
                          borderValue=_FILL)


def shear(pixels: np.ndarray, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    """Move each pixel right by `x` times its row and down by `y` times its column."""
    return _warp(pixels, np.array([[1, x, 0], [y, 1, 0]], dtype=np.float32))


def translate(pixels: np.ndarray, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    """Move the picture left by `x` and up by `y` pixels."""
    return _warp(pixels, np.array([[1, 0, -x], [0, 1, -y]], dtype=np.float32))


def rotate(pixels: np.ndarray, degrees: float) -> np.ndarray:
    """Turn about (W/2, H/2), counter-clockwise for positive angles."""
    height, width = pixels.shape[:2]
    return _warp(pixels, cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1))


@dataclass(frozen=True)
class CvRandAugment:
    """Draw `count` operations with replacement, skip each with probability 0.5, apply the others at `strength`.

    Attributes:
        count: number of draws.
        strength: 0 to 10. At 5, brightness and sharpness have factor 1 and so change nothing, as in the original.
    """

    count: int
    strength: float

    def operations(self) -> dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]]:
        """The ten operations by name; each takes (H, W, 3) uint8 pixels and the generator that draws its sign."""
        level = self.strength / 10
        factor = level * _FACTOR_RANGE + _MIN_FACTOR
        lean, shift, turn = level * _MAX_SHEAR, level * _MAX_SHIFT, level * _MAX_DEGREES

        def sign(rng: np.random.Generator) -> int:
            return -1 if rng.random() > 0.5 else 1

        return {
            "Identity": lambda pixels, rng: pixels,
            "AutoContrast": lambda pixels, rng: auto_contrast(pixels),
            "Brightness": lambda pixels, rng: brightness(pixels, factor),
            "Sharpness": lambda pixels, rng: sharpness(pixels, factor),
            "Equalize": lambda pixels, rng: equalize(pixels),
            "ShearX": lambda pixels, rng: shear(pixels, x=sign(rng) * lean),
            "ShearY": lambda pixels, rng: shear(pixels, y=sign(rng) * lean),
            "TranslateX": lambda pixels, rng: translate(pixels, x=sign(rng) * shift),
            "TranslateY": lambda pixels, rng: translate(pixels, y=sign(rng) * shift),
            # The original negates angles on the opposite half of the draws.
            "Rotate": lambda pixels, rng: rotate(pixels, -sign(rng) * turn),
        }

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """(H, W, 3) -> (H, W, 3)."""
        operations = list(self.operations().values())
        pixels = np.asarray(image)
        for index in rng.integers(len(operations), size=self.count):
            if rng.random() <= 0.5:
                pixels = operations[index](pixels, rng)
        return Image.fromarray(pixels)
