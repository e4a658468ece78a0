"""Images that cannot be decoded: recognised, counted over all loader workers, and limited."""

from __future__ import annotations

import io
import logging
import multiprocessing
import struct
import zlib

from PIL import Image

from ..picture_files.picture_formats import open_picture_file
from ..picture_files.picture_reading import PictureReading

__all__ = ["UnreadableImageError", "UnreadableImages", "open_image", "read_image"]

logger = logging.getLogger(__name__)

# What Pillow raises for broken files; a programming error is not among them.
_DECODING_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


class UnreadableImageError(ValueError):
    """An encoded image that does not decode. The message names file and row."""


def open_image(data: memoryview | None, where: str) -> Image.Image:
    """Decode an image completely; of an animation or several pages, the first one.

    Raises:
        UnreadableImageError: with `where` in its message.
    """
    try:
        if data is None or not len(data):
            raise ValueError("the cell is empty")
        image = open_picture_file(io.BytesIO(data))
        image.load()
        return image
    except _DECODING_ERRORS as error:
        raise UnreadableImageError(f"{where}: unreadable image ({error})") from error


def read_image(image: Image.Image, where: str, reading: PictureReading) -> Image.Image:
    """Bring a decoded image to 8 bits, and turn it if asked.

    Raises:
        UnreadableImageError: with `where` in its message.
    """
    try:
        return reading(image)
    except _DECODING_ERRORS as error:
        raise UnreadableImageError(f"{where}: unreadable image ({error})") from error


class UnreadableImages:
    """Counts the distinct unreadable images of a training run, in memory that forked loader workers share.

    Attributes:
        limit: how many images may be skipped.
    """

    def __init__(self, num_images: int, limit: int) -> None:
        self.limit = limit
        # One byte per image: an image that several workers or epochs meet counts once.
        self._seen = multiprocessing.RawArray("b", max(1, num_images))
        self._count = multiprocessing.Value("q", 0)

    @property
    def count(self) -> int:
        """Number of distinct images skipped so far, by all workers of this process."""
        return self._count.value

    def skip(self, image_index: int, error: UnreadableImageError) -> None:
        """Take note of an image that training replaces by another.

        Raises:
            UnreadableImageError: more than `limit` images are unreadable.
        """
        with self._count.get_lock():
            if self._seen[image_index]:
                return
            self._seen[image_index] = 1
            self._count.value += 1
            count = self._count.value
        if count > self.limit:
            raise UnreadableImageError(
                f"{error}; this is unreadable image number {count}, more than the limit of {self.limit}: "
                "repair the files, or raise max_unreadable_images"
            ) from error
        logger.warning("%s; another sample takes its place (%d of at most %d)", error, count, self.limit)
