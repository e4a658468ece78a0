"""Classify pictures alone, or texts alone, by a model of one tower (CIFAR, GLUE)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .base_pipeline import Pipeline, softmax
from .batches import Batch, Item, in_chunks

__all__ = ["ImageClassificationPipeline", "TextClassificationPipeline"]


class ImageClassificationPipeline(Pipeline):
    """Sorts pictures into the classes of a model."""

    task = "image-classification"

    def __call__(self, image: Any, top_k: int | None = 5) -> Any:
        """For each picture a list of `{"label", "score"}`, best first; `top_k=None` returns all classes.

        A picture is a file name, a PIL image or an array of shape (H, W, 3).
        """
        return self._run(image, None, top_k=top_k)

    def _item(self, value: Any, text: Any) -> Item:
        picture = value["image"] if isinstance(value, Mapping) else value
        return Item(super()._item({"image": picture, "text": "none"}, None).picture)

    def _results(self, batch: Batch, **options: Any) -> Iterable[list[dict[str, Any]]]:
        if batch.pixel_values is not None:
            logits = self.engine.classify_images(batch.pixel_values)  # type: ignore[attr-defined]
            for row in batch.rows:
                if (place := batch.readable[row]) is not None:
                    yield self._best(softmax(logits[place]), options["top_k"])


class TextClassificationPipeline(Pipeline):
    """Sorts texts into the classes of a model."""

    task = "text-classification"

    def __call__(self, text: str | Sequence[str], top_k: int | None = 1) -> Any:
        """For each text a list of `{"label", "score"}`, best first; `top_k=None` returns all classes.

        A model with a single class, logits of shape (B, 1), returns the number that it learned to predict as its score.
        """
        results = []
        for texts in in_chunks([text] if isinstance(text, str) else list(text), self.batch_size):
            encoded = self.engine.tokenize(texts)
            for logits in self.engine.classify_texts(**encoded):  # type: ignore[attr-defined]
                results.append(self._best(softmax(logits) if len(logits) > 1 else logits, top_k))
        return results[0] if isinstance(text, str) else results
