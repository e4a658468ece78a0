"""Resizing, cropping and flipping of PIL images. Sizes are in pixels, (width, height) as in PIL.

These are written by hand because the published models were trained with Pillow of 2022, whose bytes neither a newer
Pillow nor torchvision reproduces.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

__all__ = ["CenterCrop", "HorizontalFlip", "MinMaxResize", "RandomResizedCrop", "ResizeAndCrop", "ShortSideResize",
           "SquareResize", "resize"]

_BICUBIC = Image.Resampling.BICUBIC
_SUPPORT = 2  # of the bicubic filter: input pixels on each side, times the scale when that is above 1


def resize(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Scale to (width, height): first along the rows, then along the columns, rounded to 8 bits in between.

    PIL always used this order until 13.0, which runs the cheaper pass first; the order changes the bytes.
    """
    if image.size == size:
        return image
    if image.mode == "RGBA":  # premultiply once for both passes, as PIL does
        return resize(image.convert("RGBa"), size).convert("RGBA")
    if image.width != size[0]:
        image = image.resize((size[0], image.height), _BICUBIC)
    return image.resize(size, _BICUBIC) if image.height != size[1] else image


@dataclass(frozen=True)
class ShortSideResize:
    """Scale the shorter side to `size`, the longer one in proportion (truncated to a whole pixel)."""

    size: int

    def target(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after the resize."""
        if min(width, height) == self.size:
            return width, height
        if width <= height:
            return self.size, int(self.size * height / width)
        return int(self.size * width / height), self.size

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """(H, W, C) to the shape that `target` gives."""
        target = self.target(*image.size)
        return resize(image, target)


@dataclass(frozen=True)
class CenterCrop:
    """Cut out the central `size` x `size` square; areas outside a smaller image become black."""

    size: int

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """(H, W, C) -> (size, size, C)."""
        left = round((image.width - self.size) / 2)
        top = round((image.height - self.size) / 2)
        return image.crop((left, top, left + self.size, top + self.size))


@dataclass(frozen=True)
class ResizeAndCrop:
    """`ShortSideResize`, then `CenterCrop`: the same bytes, without computing most of the pixels that are cropped."""

    size: int

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """(H, W, C) -> (size, size, C)."""
        target = ShortSideResize(self.size).target(*image.size)
        if image.mode != "RGB" or target == image.size or target[0] == target[1]:
            # Alpha is rare, and such pictures are premultiplied before they are scaled.
            return CenterCrop(self.size)(ShortSideResize(self.size)(image, rng), rng)
        if target[0] > target[1]:
            return self._landscape(image, target[0])
        return self._portrait(image, target[1])

    def _landscape(self, image: Image.Image, long: int) -> Image.Image:
        left = round((long - self.size) / 2)
        box = _exact_box(image.width, long, left, self.size)
        if box is not None:
            rows = image.resize((self.size, image.height), _BICUBIC, (box[0], 0, box[1], image.height))
        else:
            rows = image.resize((long, image.height), _BICUBIC).crop((left, 0, left + self.size, image.height))
        return rows.resize((self.size, self.size), _BICUBIC)

    def _portrait(self, image: Image.Image, long: int) -> Image.Image:
        top = round((long - self.size) / 2)
        # Scale only the rows that the crop reads, and one more.
        scale = image.height / long
        reach = _SUPPORT * max(scale, 1) + 1
        first = max(0, math.floor(top * scale - reach))
        last = min(image.height, math.ceil((top + self.size) * scale + reach))
        band = image.crop((0, first, image.width, last)).resize((self.size, last - first), _BICUBIC)
        rows = Image.new("RGB", (self.size, image.height))
        rows.paste(band, (0, first))
        box = _exact_box(image.height, long, top, self.size)
        if box is not None:
            return rows.resize((self.size, self.size), _BICUBIC, (0, box[0], self.size, box[1]))
        return rows.resize((self.size, long), _BICUBIC).crop((0, top, self.size, top + self.size))


def _exact_box(length: int, resized: int, start: int, size: int) -> tuple[int, int] | None:
    """Source range of the pixels [start, start + size) when a side is scaled from `length` to `resized`.

    None when its ends are not whole pixels: PIL stores a box as 32-bit floats, and only with whole numbers does the
    filter get the same weights as without a box.
    """
    if start * length % resized or size * length % resized:
        return None
    return start * length // resized, (start + size) * length // resized


@dataclass(frozen=True)
class SquareResize:
    """Scale to `size` x `size`, whatever the aspect ratio."""

    size: int

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """(H, W, C) -> (size, size, C)."""
        return resize(image, (self.size, self.size))


@dataclass(frozen=True)
class MinMaxResize:
    """Scale the shorter side to `size`, the longer to at most 1333/800 of it; round both down to 32s."""

    size: int

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """(H, W, C) to a shape of multiples of 32."""
        longest = int(1333 / 800 * self.size)
        scale = self.size / min(image.size)
        # The shorter side becomes exactly `size`; size / side * side could be off by one bit.
        width, height = (side * scale if side != min(image.size) else float(self.size) for side in image.size)
        if max(width, height) > longest:
            scale = longest / max(width, height)
            width, height = width * scale, height * scale
        # At least 32: the original fails on a picture whose length is 20 times its width.
        target = (max(32, int(width + 0.5) // 32 * 32), max(32, int(height + 0.5) // 32 * 32))
        return resize(image, target)


@dataclass(frozen=True)
class RandomResizedCrop:
    """Cut out a random rectangle and scale it to `size` x `size`.

    Its share of the image's area is drawn from [min_area, 1], its aspect ratio from [3/4, 4/3]. If ten draws do not
    fit into the image, the largest central rectangle with an allowed aspect ratio is used.
    """

    size: int
    min_area: float

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """(H, W, C) -> (size, size, C)."""
        left, top, width, height = self.box(image.width, image.height, rng)
        cropped = image.crop((left, top, left + width, top + height))
        return resize(cropped, (self.size, self.size))

    def box(self, width: int, height: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
        """Draw the rectangle for an image of `width` x `height`: (left, top, width, height)."""
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
        """(H, W, C) -> (H, W, C)."""
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else image
