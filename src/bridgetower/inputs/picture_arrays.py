"""Pictures of any kind, as PIL images or arrays of three channels."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..picture_files.picture_formats import check_format, open_picture_file
from ..picture_files.picture_reading import require_one_page, scale_values
from .encoding import framework_of

__all__ = ["ImageInput", "Picture", "as_eight_bits", "as_three_channels", "central_square", "flat_list", "grey_values",
           "is_scaled", "pad_to_largest", "with_channels_last", "without_high_bits"]

#: Shares of red, green and blue in the luminance, as in PIL.
_LUMINANCE = (0.299, 0.587, 0.114)

_LAYOUTS = (None, "channels_first", "channels_last", "none")

Picture = Image.Image | np.ndarray
ImageInput = Picture | str | os.PathLike[str] | bytes  # tensors and nested lists of numbers too


def flat_list(images: Any) -> list[Picture]:
    """One picture, several, or nested lists of them, in order.

    A picture is a PIL image, an array or tensor of two or three axes (of four and more: several), nested lists of
    numbers, a path, the bytes of a picture file, or an open file.

    Raises:
        ValueError: no picture, or something that is none.
        FileNotFoundError: a path that does not exist.
    """
    pictures = list(_pictures(images))
    if not pictures:
        raise ValueError("no picture was given; pass at least one")
    return pictures


def _pictures(images: Any) -> Iterable[Picture]:
    if isinstance(images, Image.Image):
        check_format(images)
        require_one_page(images)
        yield images
    elif isinstance(images, str | bytes | bytearray | os.PathLike) or hasattr(images, "read"):
        yield _open(images)
    elif isinstance(images, list | tuple) and _holds_numbers(images) and (array := _rectangular(images)) is not None:
        yield from _pictures(array)
    elif hasattr(images, "__array__") or framework_of(images) in ("paddle", "torch"):
        array = _array(images)
        if array.ndim < 2 or array.dtype.kind not in "buif":
            raise ValueError(f"an array of {array.dtype} and shape {array.shape} is no picture; pass (H, W), "
                             "(H, W, channels) or (channels, H, W) numbers")
        if array.ndim <= 3:
            yield array
        else:
            for part in array:
                yield from _pictures(part)
    elif isinstance(images, Iterable) and not isinstance(images, dict):
        for image in images:
            yield from _pictures(image)
    else:
        raise ValueError(f"a {type(images).__name__} is no picture; pass a PIL image, an array, a tensor, a path "
                         "or bytes")


def _holds_numbers(value: Any) -> bool:
    """Whether the first innermost element of nested lists is a number."""
    while isinstance(value, list | tuple) and value:
        value = value[0]
    return isinstance(value, int | float | np.number)


def _rectangular(rows: Any) -> np.ndarray | None:
    """Nested lists of numbers as an array; None when they are several pictures of different sizes."""
    try:
        return np.asarray(rows)
    except ValueError:
        return None


def _array(image: Any) -> np.ndarray:
    if framework_of(image) == "torch":
        image = image.detach().cpu()
        return (image.float() if str(image.dtype) == "torch.bfloat16" else image).numpy()
    if framework_of(image) == "paddle":
        return (image.astype("float32") if str(image.dtype) == "paddle.bfloat16" else image).numpy()
    return np.asarray(image)


def _open(source: Any) -> Image.Image:
    """The picture in a file: a path, its bytes, or an open file."""
    name = repr(os.fspath(source)) if isinstance(source, str | os.PathLike) else "the given file"
    if name[1:].startswith(("http://", "https://")):
        raise ValueError(f"{name} is not fetched; download it, and pass its path or bytes")
    if isinstance(source, bytes | bytearray):
        name, source = f"a file of {len(source)} bytes", BytesIO(source)
    elif not hasattr(source, "read"):
        source = Path(source).expanduser()
    try:
        image = open_picture_file(source)
        require_one_page(image)
        image.load()
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no picture file {name}; pictures come first, texts second") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{name} is no picture that can be read: {str(error).splitlines()[0]}") from error
    return image


def as_three_channels(array: np.ndarray, layout: str | None = None) -> np.ndarray:
    """An array as (H, W, 3): grey values are repeated, an alpha channel is dropped, as PIL does for "RGB".

    Args:
        array: (H, W), (H, W, C) or (C, H, W) with 1 to 4 channels.
        layout: "channels_first", "channels_last" or "none"; None looks for 1 or 3 channels, the first axis first, as
            the Hugging Face port does, then for 4.

    Raises:
        ValueError: another shape, or another layout.
    """
    if array.ndim == 2 and layout in _LAYOUTS:
        array, layout = array[..., None], "channels_last"
    channels, _ = with_channels_last(array, layout)
    return np.repeat(channels[..., :1], 3, axis=2) if channels.shape[2] < 3 else channels[..., :3]


def with_channels_last(array: Any, layout: str | None = None) -> tuple[np.ndarray, bool]:
    """An array as (H, W, C), and whether it came as (C, H, W).

    Args:
        array: of 1 to 4 channels; tensors and PIL pictures are arrays too.
        layout: see `as_three_channels`.

    Raises:
        ValueError: another shape, or another layout.
    """
    array = _array(array)
    if layout not in _LAYOUTS:
        raise ValueError(f"input_data_format={layout!r} is unknown; use 'channels_first', 'channels_last' or 'none'")
    is_picture = array.ndim == 3 and array.size > 0 and layout != "none"
    is_first = is_picture and (layout == "channels_first" or layout is None and _is_channels_first(array.shape))
    channels = array.transpose(1, 2, 0) if is_first else array
    if not is_picture or channels.shape[2] > 4:
        raise ValueError(f"an array of shape {array.shape} is no picture of 1, 3 or 4 channels"
                         + (f" with input_data_format={layout!r}" if layout else ""))
    return channels, is_first


def _is_channels_first(shape: tuple[int, ...]) -> bool:
    if shape[0] in (1, 3) or shape[2] in (1, 3):
        return shape[0] in (1, 3)
    return shape[0] == 4 and shape[2] != 4


def as_eight_bits(array: np.ndarray) -> tuple[np.ndarray, bool]:
    """Values as uint8, and whether they were multiplied by 255 for that.

    Whole numbers in [0, 255] stay what they are; other numbers must lie in [0, 1]. These are the port's rules.

    Raises:
        ValueError: other values.
    """
    if array.dtype == np.uint8:
        return array, False
    low, high = array.min(), array.max()
    if np.isfinite([low, high]).all() and np.allclose(array, array.astype(np.int64)):
        if low < 0 or high > 255:
            raise ValueError(f"whole picture values must lie in [0, 255], got [{low}, {high}]")
        return array.astype(np.uint8), False
    if not (low >= 0 and high <= 1):  # not a number is neither
        raise ValueError(f"picture values that are not whole must lie in [0, 1], got [{low}, {high}]; "
                         "divide them by 255, or pass uint8")
    return (array.astype(np.float64) * 255).astype(np.float32).astype(np.uint8), True


def without_high_bits(array: np.ndarray, rule: str) -> np.ndarray:
    """An array of uint16 that exceeds 255 as uint8, scaled by a rule of `picture_reading`; others stay.

    Whole numbers up to 255 are 8-bit values whatever their type, as in the port.
    """
    if array.dtype != np.uint16 or not array.size or array.max() <= 255:
        return array
    return scale_values(array, rule, (0.0, 65535.0))


def grey_values(values: np.ndarray) -> np.ndarray:
    """The luminance (H, W, 1) of (H, W, 3) values: whole numbers stay whole, and grey pictures what they are."""
    if (values == values[..., :1]).all():
        return values[..., :1]
    grey = (values @ np.asarray(_LUMINANCE))[..., None]
    return (np.rint(grey) if values.dtype.kind in "iu" else grey).astype(values.dtype)


def is_scaled(array: np.ndarray) -> bool:
    """Whether all values lie between 0 and 1 already."""
    return array.dtype != np.uint8 and array.size > 0 and bool(array.min() >= 0 and array.max() <= 1)


def central_square(values: np.ndarray, size: int) -> np.ndarray:
    """The central (size, size, C) of (H, W, C); what lies outside becomes 0."""
    out = np.zeros((size, size, values.shape[2]), values.dtype)
    top, left = (values.shape[0] - size) // 2, (values.shape[1] - size) // 2
    part = values[max(0, top) : max(0, top + size), max(0, left) : max(0, left + size)]
    row, column = max(0, -top), max(0, -left)
    out[row : row + part.shape[0], column : column + part.shape[1]] = part
    return out


def pad_to_largest(pictures: Sequence[np.ndarray], fill: Any = 0) -> dict[str, list[np.ndarray]]:
    """Pictures (C, h, w) as `pixel_values` (C, H, W), filled at the right and at the bottom, and their `pixel_mask`.

    Args:
        pictures: of any sizes.
        fill: a number, or those of both ends of height and width as `numpy.pad` takes them.
    """
    fills = ((0, 0), *np.broadcast_to(fill, (2, 2)))
    height, width = (max(picture.shape[axis] for picture in pictures) for axis in (1, 2))
    data: dict[str, list[np.ndarray]] = {"pixel_values": [], "pixel_mask": []}
    for picture in pictures:
        padding = ((0, height - picture.shape[1]), (0, width - picture.shape[2]))
        data["pixel_values"].append(np.pad(picture, ((0, 0), *padding), constant_values=fills))
        data["pixel_mask"].append(np.pad(np.ones(picture.shape[1:], np.int64), padding))
    return data
