"""Sort pairs of a picture and a text into the classes of a model: entailment, own classes, NLVR2's true and false."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .base_pipeline import Pipeline, softmax
from .batches import Batch

__all__ = ["ImageTextClassificationPipeline"]


class ImageTextClassificationPipeline(Pipeline):
    """Classifies pairs; of NLVR2 models a text about two pictures."""

    task = "image-text-classification"

    def __call__(self, image: Any, text: Any = None, top_k: int | None = None) -> Any:
        """Classify one pair or several.

        Args:
            image: a picture (file name, PIL image or array of shape (H, W, 3); of NLVR2 models a tuple of two), a
                dictionary with `image` and `text`, or several of them.
            text: one for all pictures; or a list, one per picture or all about a single one.
            top_k: classes to return, best first; None: all.

        Returns:
            For each pair a list of `{"label", "score"}`; the scores of all classes add up to 1.
        """
        return self._run(image, text, top_k=top_k)

    def _results(self, batch: Batch, **options: Any) -> Iterable[list[dict[str, Any]]]:
        for (logits,) in self._fused(batch):
            yield self._best(softmax(logits), options["top_k"])
