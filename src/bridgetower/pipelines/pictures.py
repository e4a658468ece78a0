"""Open what a caller may give as a picture: a path, encoded bytes, a PIL picture, an array, or a URL if allowed."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..picture_files.picture_formats import open_picture_file
from ..picture_files.picture_reading import require_one_page

__all__ = ["MAX_BYTES", "Picture", "UnreadablePictureError", "is_picture", "name_of", "open_picture"]

Picture = str | os.PathLike[str] | bytes | bytearray | memoryview | Image.Image | np.ndarray

#: A larger download is refused.
MAX_BYTES = 64 << 20
_URL_STARTS = ("http://", "https://")
_SECONDS = 20
# What Pillow raises for broken files; a programming error is not among them.
_DECODING_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


class UnreadablePictureError(ValueError):
    """A picture that is missing or does not decode. The message names it."""


def is_picture(value: Any) -> bool:
    """Whether a value is one picture, rather than several."""
    if isinstance(value, np.ndarray):
        return value.ndim in (2, 3)
    return isinstance(value, (str, os.PathLike, bytes, bytearray, memoryview, Image.Image))


def name_of(picture: Any, position: int) -> str:
    """What to call a picture in a message: its path, or its place in the input (counted from 1)."""
    return str(picture) if isinstance(picture, (str, os.PathLike)) else f"picture {position}"


def open_picture(picture: Picture, name: str, allow_urls: bool = False) -> Image.Image | np.ndarray:
    """Decode a picture completely; arrays stay as they are.

    Args:
        picture: see the module.
        name: what to call it in messages.
        allow_urls: whether a text that starts with http:// or https:// is downloaded.

    Raises:
        UnreadablePictureError: it is missing, does not decode or has several pages, or it is a URL and these are not
            allowed.
    """
    try:
        if isinstance(picture, np.ndarray):
            return picture
        if isinstance(picture, Image.Image):
            require_one_page(picture)
            picture.load()
            return picture
        if isinstance(picture, str) and picture.startswith(_URL_STARTS):
            picture = _download(picture, allow_urls)
        if isinstance(picture, (str, os.PathLike)):
            return _decode(Path(picture).expanduser())
        return _decode(io.BytesIO(picture))
    except FileNotFoundError:
        raise UnreadablePictureError(f"{name}: no such picture") from None
    except _DECODING_ERRORS as error:
        raise UnreadablePictureError(f"{name}: unreadable picture ({_reason(error)})") from error


def _decode(source: Path | io.BytesIO) -> Image.Image:
    with open_picture_file(source) as image:
        require_one_page(image)
        image.load()
        return image


def _reason(error: BaseException) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "not in a picture format"
    return str(error) or type(error).__name__


def _download(url: str, allowed: bool) -> bytes:
    if not allowed:
        raise ValueError("a URL; pass allow_urls=True to download pictures")
    import urllib.request

    with urllib.request.urlopen(url, timeout=_SECONDS) as response:
        content: bytes = response.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES >> 20} MB")
    return content
