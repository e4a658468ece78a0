"""The named image transforms of the experiments: one table from key to pipeline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from bridgetower.inputs.transforms.geometry import (
    HorizontalFlip,
    MinMaxResize,
    RandomResizedCrop,
    ResizeAndCrop,
    SquareResize,
)
from bridgetower.inputs.transforms.normalize import CLIP, IMAGENET, INCEPTION, Normalization
from bridgetower.inputs.transforms.randaugment import PILRandAugment
from bridgetower.inputs.transforms.randaugment_cv2 import CvRandAugment

from ...known import nearest

__all__ = ["TRANSFORM_KEYS", "ImageTransform", "build_transform"]

Step = Callable[[Image.Image, np.random.Generator], Image.Image]


@dataclass(frozen=True)
class ImageTransform:
    """A picture of any mode to a normalised array: `transform(image, rng)`.

    Attributes:
        key: its name in the table.
        steps: applied in order to the PIL image.
        normalization: applied last.
        keeps_alpha: resize pictures that have transparent pixels with their alpha channel (PIL premultiplies it, so
            transparent parts turn black) and drop it afterwards. Opaque pictures give the same bytes either way and
            take the cheaper way through RGB.
        is_random: whether two calls on one picture may differ.
    """

    key: str
    steps: tuple[Step, ...]
    normalization: Normalization
    keeps_alpha: bool = False
    is_random: bool = False

    def __call__(self, image: Image.Image, rng: np.random.Generator | None = None) -> np.ndarray:
        """The transformed picture, (3, S, S) float32 (for `pixelbert*` (3, H, W), both multiples of 32).

        Args:
            image: a picture of any mode.
            rng: the source of randomness; needed when `is_random`.
        """
        if rng is None:
            if self.is_random:
                raise ValueError(f"transform {self.key!r} is random; pass it a numpy Generator")
            rng = _NO_RANDOMNESS
        image = _as_mode(image, "RGBA" if self.keeps_alpha and _is_transparent(image) else "RGB")
        *steps, last = self.steps
        for step in steps:
            image = step(image, rng)
        if isinstance(last, PILRandAugment):  # what is left of it to look up goes into the table of the normalisation
            return self.normalization(*last.augment(image, rng))
        return self.normalization(_as_mode(last(image, rng), "RGB"))


_NO_RANDOMNESS = np.random.default_rng(0)  # steps of a transform that is not random never draw from it


def _as_mode(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)  # PIL would copy a picture that has the mode already


def _is_transparent(image: Image.Image) -> bool:
    """Whether any pixel is not fully opaque."""
    if "transparency" not in image.info and image.mode not in ("RGBA", "LA", "PA", "RGBa", "La"):
        return False
    return bool(np.asarray(image.convert("RGBA").getchannel("A")).min() < 255)


def _resize_and_crop(size: int) -> list[Step]:
    return [ResizeAndCrop(size)]


def _plain(steps: Callable[[int], Sequence[Step]], normalization: Normalization, keeps_alpha: bool = False) -> _Recipe:
    return lambda key, size, compat: ImageTransform(key, tuple(steps(size)), normalization, keeps_alpha)


def _augmented(steps: Callable[[int], Sequence[Step]], normalization: Normalization) -> _Recipe:
    """The PIL RandAugment on the picture in its own size, then `steps`."""
    return lambda key, size, compat: ImageTransform(
        key, (PILRandAugment(2, 9), *steps(size)), normalization, is_random=True
    )


def _cropped(min_area: float, flip: bool, augment: Callable[[bool], Step]) -> _Recipe:
    """Random crop to the final size, then perhaps a flip, then the augmentation."""

    def recipe(key: str, size: int, compat: bool) -> ImageTransform:
        flips: list[Step] = [HorizontalFlip()] if flip else []
        return ImageTransform(key, (RandomResizedCrop(size, min_area), *flips, augment(compat)), CLIP, is_random=True)

    return recipe


_Recipe = Callable[[str, int, bool], ImageTransform]
_RECIPES: dict[str, _Recipe] = {
    "pixelbert": _plain(lambda size: [MinMaxResize(size)], INCEPTION),
    "pixelbert_randaug": _augmented(lambda size: [MinMaxResize(size)], INCEPTION),
    "imagenet": _plain(_resize_and_crop, IMAGENET),
    "imagenet_randaug": _augmented(_resize_and_crop, IMAGENET),
    "vit": _plain(_resize_and_crop, INCEPTION),
    "vit_randaug": _augmented(_resize_and_crop, INCEPTION),
    "clip": _plain(_resize_and_crop, CLIP, keeps_alpha=True),
    # Drops alpha before it augments, so nothing of it is left when it resizes.
    "clip_randaug": _augmented(_resize_and_crop, CLIP),
    "blip": _plain(lambda size: [SquareResize(size)], CLIP),
    "blip_randaug": _cropped(0.5, True, lambda compat: CvRandAugment(2, 5, compat)),
    "blip_randaug_pretrain": _cropped(0.2, True, lambda compat: CvRandAugment(2, 5, compat)),
    "blip_randaug_wohf": _cropped(0.5, False, lambda compat: CvRandAugment(2, 5, compat)),
    "blip_randaug_wc": _cropped(0.5, True, lambda compat: PILRandAugment(2, 7)),
}
TRANSFORM_KEYS: tuple[str, ...] = tuple(_RECIPES)


def build_transform(key: str, image_size: int, autocontrast_compat: bool = True) -> ImageTransform:
    """Build a named transform.

    Args:
        key: one of `TRANSFORM_KEYS`.
        image_size: S in pixels.
        autocontrast_compat: for the keys with the OpenCV RandAugment, whether AutoContrast keeps the original's
            overflow (see `auto_contrast`).

    Raises:
        KeyError: an unknown key.
        ValueError: a size that is not positive.
    """
    if key not in _RECIPES:
        known = ", ".join(TRANSFORM_KEYS)
        raise KeyError(f"unknown transform {key!r}{nearest(key, TRANSFORM_KEYS, cutoff=0.0)} Known: {known}")
    if image_size <= 0:
        raise ValueError(f"image_size={image_size} must be a positive number of pixels")
    return _RECIPES[key](key, image_size, autocontrast_compat)
