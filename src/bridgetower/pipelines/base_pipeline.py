"""What all pipelines share: inputs of any form, batches, a progress bar, results in order.

P pairs, M images, B texts, C classes or vector width.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from tqdm import tqdm

from ..progress import progress_bar
from .batches import Batch, Item, PictureReader, ahead, batches, in_chunks
from .engine import Engine
from .pictures import is_picture

__all__ = ["OnError", "Pipeline", "sigmoid", "softmax"]

logger = logging.getLogger(__name__)

OnError = Literal["raise", "skip"]
Fuse = Callable[[Any, Any, Sequence[str]], Any]
_MANY = (list, tuple)


class Pipeline:
    """A model behind a call: pictures and texts in, plain results out.

    Args:
        engine: the model.
        batch_size: pictures, and pairs of a picture and a text, that pass the model together.
        on_error: what to do with a picture that cannot be read: `raise` an error that names it, or `skip` it with a
            warning; the result of a skipped picture is None.
        allow_urls: download pictures given as http:// and https:// addresses.
        progress: show a progress bar on more than one batch.

    Attributes:
        task: its name.
        text_key: what a text is called in an input dictionary.
    """

    task: ClassVar[str]
    text_key: ClassVar[str] = "text"

    def __init__(self, engine: Engine, batch_size: int = 16, on_error: OnError = "raise", allow_urls: bool = False,
                 progress: bool = True) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size} must be 1 or more")
        if on_error not in ("raise", "skip"):
            raise ValueError(f"on_error={on_error!r} is unknown; use 'raise' or 'skip'")
        self.engine, self.batch_size, self.on_error = engine, batch_size, on_error
        self.allow_urls, self.progress = allow_urls, progress
        self._kept: tuple[tuple[str, ...], Any] = ((), None)

    def _run(self, inputs: Any, texts: Any, **options: Any) -> Any:
        """Results of inputs of any form.

        Args:
            inputs: a picture, a dictionary with `image` and a text, or several of them as a list or a generator.
            texts: a text for all pictures, or a list of texts: one per picture, or all for a single picture.
            options: what `_results` reads.

        Returns:
            One result for one input, a list for a list, a generator for a generator.
        """
        if isinstance(inputs, Mapping) or self._is_one(inputs):
            items = self._items_of_one(inputs, texts)
            results = list(self._stream(iter(items), len(items), options))
            return results[0] if isinstance(inputs, Mapping) or not isinstance(texts, _MANY) else results
        if isinstance(inputs, np.ndarray) or hasattr(inputs, "__len__"):
            inputs = list(inputs)
            return list(self._stream(self._items(inputs, texts, len(inputs)), len(inputs), options))
        return self._stream(self._items(inputs, texts, None), None, options)

    def check(self, image: Any, text: str) -> None:
        """Raise the error that a call with this picture and this text would raise, without running the model."""
        self._item({"image": image, self.text_key: text}, None)

    def _is_one(self, value: Any) -> bool:
        if self.engine.images_per_text == 1:
            return is_picture(value)
        return isinstance(value, _MANY) and len(value) == self.engine.images_per_text and all(map(is_picture, value))

    def _items_of_one(self, value: Any, texts: Any) -> list[Item]:
        if isinstance(value, Mapping):
            return [self._item(value, texts)]
        if texts is None:
            return [self._item({"image": value}, None)]
        return [self._item({"image": value}, text) for text in ([texts] if isinstance(texts, str) else texts)]

    def _items(self, inputs: Iterable[Any], texts: Any, count: int | None) -> Iterator[Item]:
        if isinstance(texts, _MANY):
            if len(texts) != count:
                raise ValueError(f"{len(texts)} texts for {count} pictures; give one text per picture, one for all, "
                                 f"or dictionaries with 'image' and {self.text_key!r}")
            return (self._item(value, text) for value, text in zip(inputs, texts, strict=True))
        return (self._item(value, texts) for value in inputs)

    def _item(self, value: Any, text: Any) -> Item:
        """One input and its text as an item.

        Raises:
            ValueError: a picture or a text is missing.
        """
        if isinstance(value, Mapping):
            text = value.get(self.text_key, text)
            value = value.get("image")
        if not self._is_one(value):
            wanted = "a picture" if self.engine.images_per_text == 1 else "a pair of two pictures"
            raise ValueError(f"{_shown(value)} is not {wanted}; give a path, bytes, a PIL picture or an array")
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{self.text_key} is missing: pass it, or dictionaries with 'image' and {self.text_key!r}")
        return Item(value, (text,))

    def _stream(self, items: Iterator[Item], total: int | None, options: Mapping[str, Any]) -> Iterator[Any]:
        """Results in order; memory holds two batches."""
        reader = PictureReader(self.engine.image_processor, self.engine.images_per_text, self.allow_urls)
        with _Progress(total, self.progress) as bar:
            for batch, errors in ahead(reader, batches(items, self.batch_size)):
                for error in errors:
                    if self.on_error == "raise":
                        raise error
                    logger.warning("%s; left out", error)
                results = iter(self._results(batch, **options))
                for row in batch.rows:
                    yield None if batch.readable[row] is None else next(results)
                bar.update(len(batch.items))

    def _results(self, batch: Batch, **options: Any) -> Iterable[Any]:
        """One result for each item of a batch whose picture was read; pipelines that take pictures define it."""
        raise NotImplementedError(f"{type(self).__name__} must define _results")

    def _fused(self, batch: Batch, fuse: Fuse | None = None, prompts: tuple[str, ...] = ()) -> list[list[Any]]:
        """What the model says of each item: one output per text.

        Args:
            batch: with its pictures read.
            fuse: makes P outputs of features of P texts, of P images and of the texts themselves; None: `Engine.fuse`.
            prompts: texts that meet every picture, instead of those of the items.
        """
        images = self._images(batch)
        if images is None:
            return []
        items = [(prompts or item.texts, batch.readable[row])
                 for item, row in zip(batch.items, batch.rows, strict=True) if batch.readable[row] is not None]
        pairs = [(text, image) for texts, image in items for text in texts]
        outputs: list[Any] = [None] * len(pairs)
        # Text by text rather than picture by picture, so that a text passes its tower once per batch.
        for texts in in_chunks(list(dict.fromkeys(text for text, _ in pairs)), 4 * self.batch_size):
            place = {text: row for row, text in enumerate(texts)}
            features = self._texts(tuple(texts))
            for some in in_chunks([index for index, (text, _) in enumerate(pairs) if text in place], self.batch_size):
                words = [pairs[index][0] for index in some]
                text_rows = features.take([place[word] for word in words])
                image_rows = images.take([pairs[index][1] for index in some])
                fused = fuse(text_rows, image_rows, words) if fuse else self.engine.fuse(text_rows, image_rows)
                for index, output in zip(some, fused, strict=True):
                    outputs[index] = output
        results = iter(outputs)
        return [[next(results) for _ in texts] for texts, _ in items]

    def _best(self, scores: np.ndarray, count: int | None, key: str = "label") -> list[dict[str, Any]]:
        """The `count` best of scores (C,) by the names of their classes, or by their numbers where they have none."""
        order = np.argsort(-scores, kind="stable")[:count]
        names = self.engine.labels
        return [{key: names[index] if names else str(index), "score": float(scores[index])} for index in order]

    def _images(self, batch: Batch) -> Any:
        """Features of the pictures of a batch, each of which passes its tower once; None when none was read."""
        return None if batch.pixel_values is None else self.engine.encode_image(batch.pixel_values)

    def _texts(self, texts: tuple[str, ...]) -> Any:
        """Features of texts; those of the batch before are kept, as all pictures often meet the same texts."""
        if texts != self._kept[0]:
            self._kept = texts, self.engine.encode_text(**self.engine.tokenize(texts))
        return self._kept[1]


class _Progress:
    """A progress bar that appears when a second batch comes."""

    def __init__(self, total: int | None, shown: bool) -> None:
        self.total, self.shown, self.done = total, shown, 0
        self.bar: tqdm[Any] | None = None

    def update(self, count: int) -> None:
        """Say that so many further items are done."""
        if self.shown and self.bar is None and (self.done or (self.total is not None and count < self.total)):
            self.bar = progress_bar(total=self.total, initial=self.done, unit=" pictures")
        self.done += count
        if self.bar is not None:
            self.bar.update(count)

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis, the same shape."""
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponents / exponents.sum(axis=-1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), the same shape."""
    return np.exp(-np.logaddexp(0, -logits))
