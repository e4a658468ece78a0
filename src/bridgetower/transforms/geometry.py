"""Resizing, cropping and flipping of PIL images. Sizes are in pixels, (width, height) as in PIL."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

__all__ = ["CenterCrop", "HorizontalFlip", "MinMaxResize", "RandomResizedCrop", "ShortSideResize", "SquareResize"]

_BICUBIC = Image.Resampling.BICUBIC


@dataclass(frozen=True)
class ShortSideResize:
    """Scale the shorter side to `size`, the longer one in proportion (truncated to a whole pixel)."""

    size: int

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        width, height = image.size
        if min(width, height) == self.size:
            return image
        if width <= height:
            return image.resize((self.size, int(self.size * height / width)), _BICUBIC)
        return image.resize((int(self.size * width / height), self.size), _BICUBIC)


@dataclass(frozen=True)
class CenterCrop:
    """Cut out the central `size` x `size` square; what lies outside of a smaller image becomes black."""

    size: int

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        left = round((image.width - self.size) / 2)
        top = round((image.height - self.size) / 2)
        return image.crop((left, top, left + self.size, top + self.size))


@dataclass(frozen=True)
class SquareResize:
    """Scale to `size` x `size`, whatever the aspect ratio."""

    size: int

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        return image.resize((self.size, self.size), _BICUBIC)


@dataclass(frozen=True)
class MinMaxResize:
    """Scale the shorter side to `size` but the longer one to at most 1333/800 of it; both floored to 32s."""

    size: int

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        longest = int(1333 / 800 * self.size)
        scale = self.size / min(image.size)
        # One side is `size` exactly; size / side * side may miss it by one bit.
        width, height = (side * scale if side != min(image.size) else float(self.size) for side in image.size)
        if max(width, height) > longest:
            scale = longest / max(width, height)
            width, height = width * scale, height * scale
        # At least 32: the original fails on a picture that is 20 times as long as wide.
        target = (max(32, int(width + 0.5) // 32 * 32), max(32, int(height + 0.5) // 32 * 32))
        return image.resize(target, _BICUBIC)


@dataclass(frozen=True)
class RandomResizedCrop:
    """Cut out a random rectangle and scale it to `size` x `size`.

    Its area is a share of the image drawn from [min_area, 1], its aspect ratio lies between 3/4 and 4/3. When ten
    draws do not fit into the image, the largest central rectangle of an allowed aspect ratio is taken.
    """

    size: int
    min_area: float

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        left, top, width, height = self.box(image.width, image.height, rng)
        cropped = image.crop((left, top, left + width, top + height))
        return cropped.resize((self.size, self.size), _BICUBIC)

    def box(self, width: int, height: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
        """Draw the rectangle of an image of `width` x `height`: (left, top, width, height)."""
        narrowest, widest = 3 / 4, 4 / 3
        for _ in range(10):
            area = width * height * rng.uniform(self.min_area, 1.0)
            aspect = math.exp(rng.uniform(math.log(narrowest), math.log(widest)))
            w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < w <= width and 0 < h <= height:
                return int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1)), w, h
        w, h = width, height
        if width / height < narrowest:
            h = round(width / narrowest)
        elif width / height > widest:
            w = round(height * widest)
        return (width - w) // 2, (height - h) // 2, w, h


@dataclass(frozen=True)
class HorizontalFlip:
    """Mirror left and right with probability 0.5."""

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else image
