"""Image transforms: geometry, both RandAugments, normalisation, and the table of named pipelines."""

from .image_transform import TRANSFORM_KEYS, ImageTransform, build_transform
from .normalize import CLIP, GREY, IMAGENET, INCEPTION, Normalization, look_up

__all__ = [
    "CLIP",
    "GREY",
    "IMAGENET",
    "INCEPTION",
    "TRANSFORM_KEYS",
    "ImageTransform",
    "Normalization",
    "build_transform",
    "look_up",
]
