"""Vectors of pictures, of texts, and of pairs of both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from .base_pipeline import Pipeline
from .batches import Batch, Item, in_chunks

__all__ = ["FeatureExtractionPipeline"]


class FeatureExtractionPipeline(Pipeline):
    """One vector per input.

    Of models with contrastive heads, the unit vectors that these compare. Of others, the projected state of the first
    token at the highest level that the cross-modal layers read; these were not trained to be compared.
    Of pairs: the unit vector of the pair where the model has a head for it (`BridgeTowerForContrastiveLearning`), else
    the pooled vector that classifiers read.
    """

    task = "feature-extraction"

    def __call__(self, image: Any = None, text: Any = None) -> Any:
        """Make vectors of pictures (`image` alone), of texts (`text` alone), or of pairs (both).

        Args:
            image: a picture, a dictionary with `image` and perhaps `text`, or several of them.
            text: one text, a list or a generator; with pictures, one for all of them, or a list, one per picture or
                all about a single one.

        Returns:
            For each input a float32 vector of shape (C,).

        Raises:
            ValueError: neither was given.
        """
        if image is not None:
            return self._run(image, text)
        if text is None:
            raise ValueError("neither image nor text was given; pass at least one of them")
        if isinstance(text, str):
            return self._text_vectors([text])[0]
        if isinstance(text, Sequence):
            return [vector for texts in in_chunks(text, self.batch_size) for vector in self._text_vectors(texts)]
        return self._stream_texts(iter(text))

    def _item(self, value: Any, text: Any) -> Item:
        if text is None and not (isinstance(value, dict) and self.text_key in value):
            picture = value["image"] if isinstance(value, dict) else value
            return Item(super()._item({"image": picture, "text": "none"}, None).picture)
        return super()._item(value, text)

    def _stream_texts(self, texts: Iterator[str]) -> Iterator[np.ndarray]:
        some: list[str] = []
        for text in texts:
            some.append(text)
            if len(some) == self.batch_size:
                yield from self._text_vectors(some)
                some = []
        if some:
            yield from self._text_vectors(some)

    def _text_vectors(self, texts: Sequence[str]) -> list[np.ndarray]:
        """B texts -> B vectors."""
        return list(self._vectors(self.engine.encode_text(**self.engine.tokenize(list(texts)))))

    def _vectors(self, features: Any) -> np.ndarray:
        """Features of B texts or images -> (B, C) or (B, D)."""
        return features.vectors if features.vectors is not None else self.engine.first_states(features)

    def _results(self, batch: Batch, **options: Any) -> Iterable[np.ndarray]:
        if batch.items[0].texts:
            fused = self._fused(batch, lambda texts, images, _: self.engine.pair_vectors(texts, images))
            yield from (vector for (vector,) in fused)
            return
        images = self._images(batch)
        vectors = None if images is None else self._vectors(images)
        for row in batch.rows:
            if vectors is not None and batch.readable[row] is not None:
                yield vectors[batch.readable[row]]
