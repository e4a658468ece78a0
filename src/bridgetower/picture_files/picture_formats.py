"""The picture formats that are read. Pillow knows many more; opening an EPS file, for one, starts Ghostscript on it."""

from __future__ import annotations

import os
from typing import IO, Any

from PIL import Image, UnidentifiedImageError

from ..known import nearest

__all__ = ["FORMATS", "SWITCH", "allowed_formats", "check_format", "open_picture_file"]

#: By Pillow's names.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "PPM")
#: Environment variable with further formats, separated by commas, for instance `AVIF,ICO`.
SWITCH = "BRIDGETOWER_PICTURE_FORMATS"
_TIFF_STARTS = (b"II*\0", b"MM\0*")
#: Formats whose reader runs a program, or follows what the file says to another file.
_NEVER = ("EPS", "WMF", "MIC", "FPX", "GBR")


def allowed_formats() -> tuple[str, ...]:
    """The formats that are read, those of the environment included.

    Raises:
        ValueError: `BRIDGETOWER_PICTURE_FORMATS` names one that Pillow does not know, or that is never read.
    """
    further = [name.strip().upper() for name in os.environ.get(SWITCH, "").split(",") if name.strip()]
    if further:
        Image.init()
    for name in further:
        if name in _NEVER:
            raise ValueError(f"{SWITCH}: {name} is never read, as its reader can run a program; convert such pictures")
        if name not in Image.OPEN:
            raise ValueError(f"{SWITCH}: {name} is no format of Pillow{nearest(name, Image.OPEN)}")
    return (*FORMATS, *further)


def open_picture_file(source: str | os.PathLike[str] | IO[bytes]) -> Image.Image:
    """`PIL.Image.open` for the allowed formats, whatever the name of the file ends with.

    Raises:
        OSError: no such picture; see Pillow. What is a TIFF is not called something else.
    """
    try:
        return Image.open(source, formats=allowed_formats())
    except UnidentifiedImageError as error:
        if _first_bytes(source, 4) in _TIFF_STARTS:
            raise OSError("a TIFF of a kind that Pillow does not read, such as floats of 16 or 64 bits; save it with "
                          "whole numbers of 16 bits or floats of 32") from error
        if isinstance(source, str | os.PathLike):
            raise
        # Pillow names the stream, whose address helps nobody.
        raise UnidentifiedImageError(f"no picture in any of the formats {', '.join(allowed_formats())}") from error


def _first_bytes(source: str | os.PathLike[str] | IO[bytes], count: int) -> bytes:
    if isinstance(source, str | os.PathLike):
        with open(source, "rb") as file:
            return file.read(count)
    source.seek(0)
    return source.read(count)


def check_format(picture: Any) -> None:
    """Refuse a picture that somebody else opened and whose pixels its reader would run a program for.

    Raises:
        ValueError: names the format.
    """
    name = getattr(picture, "format", None)
    if name in _NEVER:
        raise ValueError(f"a picture in the format {name} is not read, as its reader can run a program; convert it to "
                         "PNG")
