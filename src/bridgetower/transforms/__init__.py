"""Image transforms: geometry, both RandAugments, normalisation, and the table of named pipelines."""

from bridgetower.transforms.normalize import CLIP, IMAGENET, INCEPTION, Normalization, look_up
from bridgetower.transforms.registry import TRANSFORM_KEYS, ImageTransform, build_transform

__all__ = [
    "CLIP",
    "IMAGENET",
    "INCEPTION",
    "TRANSFORM_KEYS",
    "ImageTransform",
    "Normalization",
    "build_transform",
    "look_up",
]
