"""A stream of questions about pictures as batches in which every picture, and every text, stands once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from ..inputs.processor import BridgeTowerImageProcessor
from .pictures import UnreadablePictureError, name_of, open_picture

__all__ = ["Batch", "Item", "PictureReader", "ahead", "batches"]

T = TypeVar("T")
#: Pairs of a batch at most, when its pictures meet many texts each.
MAX_PAIRS = 1024


@dataclass(frozen=True)
class Item:
    """A picture (of NLVR2: two of them; None: texts alone) and the texts that meet it."""

    picture: Any
    texts: tuple[str, ...] = ()


@dataclass
class Batch:
    """Items that pass the model together.

    Attributes:
        items: in the order of the input.
        pictures: the distinct pictures of the items, and what to call each in a message.
        rows: the picture of each item.
        pixel_values: of the readable pictures, (M, 3, S, S).
        readable: the row in `pixel_values` of each picture; None for one that is left out.
    """

    items: list[Item] = field(default_factory=list)
    pictures: list[tuple[Any, str]] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    pixel_values: np.ndarray | None = None
    readable: list[int | None] = field(default_factory=list)


def _key(picture: Any) -> Any:
    """Equal for pictures that are surely the same; the batch keeps objects alive, so that ids are not used twice."""
    if isinstance(picture, (str, os.PathLike)):
        return os.fspath(picture)
    if isinstance(picture, (tuple, list)):
        return tuple(_key(one) for one in picture)
    return id(picture)


def batches(items: Iterable[Item], size: int) -> Iterator[Batch]:
    """Split a stream of items into batches of at most `size` distinct pictures.

    An item may follow in the batch that has its picture as long as that holds fewer than `MAX_PAIRS` pairs.
    """
    known: dict[Any, int] = {}
    batch, pairs, count = Batch(), 0, 0
    for item in items:
        count += 1
        key = _key(item.picture)
        if pairs >= MAX_PAIRS or (key not in known and len(batch.pictures) >= size):
            yield batch
            batch, known, pairs = Batch(), {}, 0
        if key not in known:
            known[key] = len(batch.pictures)
            batch.pictures.append((item.picture, name_of(item.picture, count)))
        batch.items.append(item)
        batch.rows.append(known[key])
        pairs += len(item.texts)
    if batch.items:
        yield batch


class PictureReader:
    """Decodes and prepares the pictures of a batch.

    Args:
        processor: what makes pixel values of a picture.
        images_per_text: 2 when a picture is a pair of pictures.
        allow_urls: see `open_picture`.
    """

    def __init__(self, processor: BridgeTowerImageProcessor, images_per_text: int, allow_urls: bool) -> None:
        self.processor, self.images_per_text, self.allow_urls = processor, images_per_text, allow_urls

    def read(self, batch: Batch) -> tuple[Batch, list[UnreadablePictureError]]:
        """Fill `pixel_values` and `readable` of a batch; the errors of the pictures that cannot be read."""
        pixels: list[np.ndarray] = []
        errors = []
        for picture, name in batch.pictures:
            try:
                pixels.append(self._prepare(picture, name))
                batch.readable.append(len(pixels) - 1)
            except UnreadablePictureError as error:
                errors.append(error)
                batch.readable.append(None)
        batch.pixel_values = np.stack(pixels) if pixels else None
        return batch, errors

    def _prepare(self, picture: Any, name: str) -> np.ndarray:
        """(3, S, S), or (2, 3, S, S) of two pictures."""
        if self.images_per_text == 1:
            return self._pixels(picture, name)
        return np.stack([self._pixels(one, name_of(one, 1) if isinstance(one, (str, os.PathLike)) else name)
                         for one in picture])

    def _pixels(self, picture: Any, name: str) -> np.ndarray:
        opened = open_picture(picture, name, self.allow_urls)
        try:
            return self.processor(opened, return_tensors="np")["pixel_values"][0]
        except (ValueError, TypeError) as error:
            raise UnreadablePictureError(f"{name}: {error}") from error


def ahead(reader: PictureReader, stream: Iterator[Batch]) -> Iterator[tuple[Batch, list[UnreadablePictureError]]]:
    """Read the pictures of the next batch in a thread while the model works on this one.

    The stream itself is consumed in the thread of the caller.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="pictures") as pool:
        waiting: Future[tuple[Batch, list[UnreadablePictureError]]] | None = None
        for batch in stream:
            following = pool.submit(reader.read, batch)
            if waiting is not None:
                yield waiting.result()
            waiting = following
        if waiting is not None:
            yield waiting.result()


def in_chunks(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Runs of at most `size` values."""
    for start in range(0, len(values), size):
        yield values[start:start + size]
