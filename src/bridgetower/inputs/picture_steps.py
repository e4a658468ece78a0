"""The steps of picture processing one by one, on arrays, as methods with the signatures of the Hugging Face port."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike
from PIL import Image

from ..setting_rules.ranges import ImageSide, checked, shown
from .encoding import Encoding, plain
from .picture_arrays import as_eight_bits, central_square, pad_to_largest, with_channels_last

__all__ = ["PictureSteps", "check_layout", "normalized", "rescaled", "shortest_edge", "target_size", "scaled_back"]


class PictureSteps:
    """One method per step of an image processor.

    Every method reads (H, W, C) and (C, H, W). `input_data_format` says which, "channels_first" or "channels_last";
    None infers it. `data_format` is that of the result; None keeps the one of the input.
    """

    def resize(self, image: Any, size: Any, size_divisor: int = 32, resample: int = 3, data_format: str | None = None,
               input_data_format: str | None = None) -> np.ndarray:
        """An array with its shorter side scaled to `size`, as in `preprocess`: uint8, or float32 in [0, 1]."""
        values, was_first = with_channels_last(image, plain(input_data_format))
        eight_bits, was_scaled = as_eight_bits(values)
        target = target_size(values.shape[1], values.shape[0], shortest_edge("size", size), size_divisor)
        # Pillow has no pictures of one channel with a third axis.
        picture = Image.fromarray(np.ascontiguousarray(eight_bits[..., 0] if values.shape[2] == 1 else eight_bits))
        resized = np.atleast_3d(np.asarray(picture.resize(target, plain(resample))))
        return _laid_out(scaled_back(resized) if was_scaled else resized, was_first, data_format)

    def center_crop(self, image: Any, size: Any, data_format: str | None = None,
                    input_data_format: str | None = None) -> np.ndarray:
        """The central square of `size` pixels; what lies outside the array becomes 0."""
        values, was_first = with_channels_last(image, plain(input_data_format))
        return _laid_out(central_square(values, shortest_edge("size", size)), was_first, data_format)

    def rescale(self, image: Any, scale: float, data_format: str | None = None, input_data_format: str | None = None,
                dtype: DTypeLike = np.float32) -> np.ndarray:
        """The values times `scale`; an array of any shape when no `data_format` is given."""
        if data_format is None:
            return rescaled(np.asarray(image), scale, dtype)
        values, was_first = with_channels_last(image, plain(input_data_format))
        return _laid_out(rescaled(values, scale, dtype), was_first, data_format)

    def normalize(self, image: Any, mean: float | Sequence[float], std: float | Sequence[float],
                  data_format: str | None = None, input_data_format: str | None = None) -> np.ndarray:
        """(value - mean) / std, with one mean and deviation for all channels or one for each."""
        values, was_first = with_channels_last(image, plain(input_data_format))
        for name, constants in (("mean", mean), ("std", std)):
            if np.ndim(constants) and len(np.asarray(constants)) != values.shape[2]:
                raise ValueError(f"{name}={shown(constants)} needs one value, or one per channel, of which the picture "
                                 f"has {values.shape[2]}")
        return _laid_out(normalized(values, mean, std), was_first, data_format)

    def pad(self, images: Sequence[Any], constant_values: Any = 0, return_pixel_mask: bool = True,
            return_tensors: str | None = None, data_format: str | None = None, input_data_format: str | None = None
            ) -> Encoding:
        """Pictures filled up at the right and at the bottom to the largest height and width, as `pixel_values`.

        Args:
            images: one array per picture.
            constant_values: what to fill with; a number, or one for each end of height and width as in `numpy.pad`.
            return_pixel_mask: whether to return `pixel_mask` (H, W) too, 1 where there is a picture.
            return_tensors: "np", "pd", "pt", or None for lists of arrays.
            data_format, input_data_format: see the class.
        """
        given = [with_channels_last(image, plain(input_data_format)) for image in images]
        if not given:
            raise ValueError("no picture was given; pass at least one")
        data = pad_to_largest([values.transpose(2, 0, 1) for values, _ in given], constant_values)
        data["pixel_values"] = [_laid_out(values.transpose(1, 2, 0), was_first, data_format)
                                for values, (_, was_first) in zip(data["pixel_values"], given, strict=True)]
        if not return_pixel_mask:
            del data["pixel_mask"]
        return Encoding(data, tensor_type=return_tensors)


def check_layout(data_format: Any) -> None:
    """Refuse a `data_format` that is none.

    Raises:
        ValueError: neither "channels_first" nor "channels_last".
    """
    if plain(data_format) not in ("channels_first", "channels_last"):
        raise ValueError(f"data_format={data_format!r} is unknown; use 'channels_first' or 'channels_last'")


def _laid_out(values: np.ndarray, was_first: bool, data_format: str | None) -> np.ndarray:
    """An array (H, W, C) in the layout that was asked for, or in the one that it came in."""
    if data_format is not None:
        check_layout(data_format)
        was_first = plain(data_format) == "channels_first"
    return values.transpose(2, 0, 1) if was_first else values


def rescaled(values: np.ndarray, scale: float, dtype: DTypeLike = np.float32) -> np.ndarray:
    """The values times a factor, computed in 64 bits as in the Hugging Face port."""
    return (values.astype(np.float64) * scale).astype(dtype)


def scaled_back(values: np.ndarray) -> np.ndarray:
    """Values in [0, 1] that `as_eight_bits` multiplied by 255."""
    return rescaled(values, 1 / 255)


def normalized(values: np.ndarray, mean: Any, std: Any) -> np.ndarray:
    """(value - mean) / std along the last axis; whole numbers become float32, others keep their type."""
    values = values if values.dtype.kind == "f" else values.astype(np.float32)
    return (values - np.array(mean, values.dtype)) / np.array(std, values.dtype)


def target_size(width: int, height: int, shorter: int, divisor: int) -> tuple[int, int]:
    """Width and height of a picture after the resize of its shorter side.

    Raises:
        ValueError: nothing would be left of it.
    """
    longer = int(1333 / 800 * shorter)
    scale = shorter / min(width, height)
    new_height: float = shorter if height < width else scale * height
    new_width: float = scale * width if height < width else shorter
    if max(new_height, new_width) > longer:
        scale = longer / max(new_height, new_width)
        new_height, new_width = scale * new_height, scale * new_width
    target = (int(new_width + 0.5) // divisor * divisor, int(new_height + 0.5) // divisor * divisor)
    if 0 in target:
        raise ValueError(f"a picture of {width}x{height} pixels is too long for shortest_edge={shorter}")
    return target


def shortest_edge(name: str, value: Any) -> int:
    """The one number of pixels in a size setting.

    Raises:
        ValueError: it holds none, or several.
    """
    if isinstance(value, Mapping) and "shortest_edge" in value:
        value = value["shortest_edge"]  # like the port, whatever `longest_edge` says
    edges = list(value.values()) if isinstance(value, Mapping) else [value]
    edge = edges[0] if edges else None
    if not isinstance(edge, int) or isinstance(edge, bool) or any(other != edge for other in edges):
        raise ValueError(f'{name}={shown(value)} is not a size; use {{"shortest_edge": 288}}')
    return int(checked(edge, ImageSide, name))
