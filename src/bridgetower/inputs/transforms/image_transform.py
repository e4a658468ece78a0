"""The named image transforms of the experiments, as one table from key to pipeline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from ...known import nearest
from ...picture_files.picture_reading import to_eight_bits
from ...setting_rules.ranges import shown
from .geometry import HorizontalFlip, MinMaxResize, RandomResizedCrop, ResizeAndCrop, SquareResize
from .normalize import CLIP, GREY, IMAGENET, INCEPTION, Normalization
from .randaugment import PILRandAugment
from .randaugment_cv2 import CvRandAugment

__all__ = ["TRANSFORM_KEYS", "ImageTransform", "build_transform"]

Step = Callable[[Image.Image, np.random.Generator], Image.Image]


@dataclass(frozen=True)
class ImageTransform:
    """Turns a picture of any mode into a normalised array: `transform(image, rng)`.

    Attributes:
        key: its name in the table.
        steps: applied in order to the PIL image.
        normalization: applied last.
        keeps_alpha: resize pictures that have transparent pixels with their alpha channel (PIL premultiplies it, so
            transparent parts turn black) and drop it afterwards. Opaque pictures give the same bytes either way, so
            they are converted to RGB first, which is cheaper.
        is_random: whether two calls on one picture may differ.
    """

    key: str
    steps: tuple[Step, ...]
    normalization: Normalization
    keeps_alpha: bool = False
    is_random: bool = False

    def __call__(self, image: Image.Image, rng: np.random.Generator | None = None) -> np.ndarray:
        """The transformed picture, (3, S, S) float32 (for `pixelbert*` (3, H, W), both multiples of 32).

        With the normalisation of grey it has one channel.

        Args:
            image: a picture of any mode; one of more than 8 bits per channel is scaled by the rule `full`.
            rng: source of randomness; required when `is_random`.
        """
        if rng is None:
            if self.is_random:
                raise ValueError(f"transform {self.key!r} is random; pass it a numpy Generator")
            rng = _NO_RANDOMNESS
        image = to_eight_bits(image)
        image = _as_mode(image, "RGBA" if self.keeps_alpha and _is_transparent(image) else "RGB")
        *steps, last = self.steps
        for step in steps:
            image = step(image, rng)
        if isinstance(last, PILRandAugment):  # its remaining value table is merged with the normalisation
            return self.normalization(*last.augment(image, rng))
        return self.normalization(_as_mode(last(image, rng), "RGB"))


_NO_RANDOMNESS = np.random.default_rng(0)  # deterministic steps never draw from it


def _as_mode(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)  # PIL copies even a picture that has the mode already


def _is_transparent(image: Image.Image) -> bool:
    """Whether any pixel is not fully opaque."""
    if "transparency" not in image.info and image.mode not in ("RGBA", "LA", "PA", "RGBa", "La"):
        return False
    return bool(np.asarray(image.convert("RGBA").getchannel("A")).min() < 255)


def _resize_and_crop(size: int) -> list[Step]:
    return [ResizeAndCrop(size)]


def _plain(steps: Callable[[int], Sequence[Step]], normalization: Normalization, keeps_alpha: bool = False) -> _Recipe:
    return lambda key, size: ImageTransform(key, tuple(steps(size)), normalization, keeps_alpha)


def _augmented(steps: Callable[[int], Sequence[Step]], normalization: Normalization) -> _Recipe:
    """PIL RandAugment at the original size of the picture, then `steps`."""
    return lambda key, size: ImageTransform(key, (PILRandAugment(2, 9), *steps(size)), normalization, is_random=True)


def _cropped(min_area: float, *steps: Step) -> _Recipe:
    """Random crop to the final size, then `steps`."""
    return lambda key, size: ImageTransform(key, (RandomResizedCrop(size, min_area), *steps), CLIP, is_random=True)


_Recipe = Callable[[str, int], ImageTransform]
_RECIPES: dict[str, _Recipe] = {
    "pixelbert": _plain(lambda size: [MinMaxResize(size)], INCEPTION),
    "pixelbert_randaug": _augmented(lambda size: [MinMaxResize(size)], INCEPTION),
    "imagenet": _plain(_resize_and_crop, IMAGENET),
    "imagenet_randaug": _augmented(_resize_and_crop, IMAGENET),
    "vit": _plain(_resize_and_crop, INCEPTION),
    "vit_randaug": _augmented(_resize_and_crop, INCEPTION),
    "clip": _plain(_resize_and_crop, CLIP, keeps_alpha=True),
    # Alpha is dropped before the augmentation, so the resize never sees it.
    "clip_randaug": _augmented(_resize_and_crop, CLIP),
    "blip": _plain(lambda size: [SquareResize(size)], CLIP),
    "blip_randaug": _cropped(0.5, HorizontalFlip(), CvRandAugment(2, 5)),
    "blip_randaug_pretrain": _cropped(0.2, HorizontalFlip(), CvRandAugment(2, 5)),
    "blip_randaug_wohf": _cropped(0.5, CvRandAugment(2, 5)),
    "blip_randaug_wc": _cropped(0.5, HorizontalFlip(), PILRandAugment(2, 7)),
    # Not the original's: for pictures whose colours are asked for, which the augmentations above change.
    "clip_crop": _cropped(0.7, HorizontalFlip()),
}
TRANSFORM_KEYS: tuple[str, ...] = tuple(_RECIPES)


def build_transform(key: str, image_size: int, num_channels: int = 3) -> ImageTransform:
    """Build a named transform.

    Args:
        key: one of `TRANSFORM_KEYS`.
        image_size: S in pixels.
        num_channels: 3, or 1 for the luminance alone, whose values from 0 to 1 are not normalised.

    Raises:
        KeyError: an unknown key.
        ValueError: a size that is not positive, or another number of channels.
    """
    if key not in _RECIPES:
        known = ", ".join(TRANSFORM_KEYS)
        raise KeyError(f"unknown transform {shown(key)}{nearest(key, TRANSFORM_KEYS, cutoff=0.0)} Known: {known}")
    if image_size <= 0:
        raise ValueError(f"image_size={image_size} must be a positive number of pixels")
    if num_channels not in (1, 3):
        raise ValueError(f"num_channels={num_channels} is not possible; a picture has 3 channels, or 1 if it is grey")
    transform = _RECIPES[key](key, image_size)
    return transform if num_channels == 3 else replace(transform, normalization=GREY)
