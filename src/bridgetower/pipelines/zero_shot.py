"""Sort pictures into classes that are given as words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .base_pipeline import Pipeline, softmax
from .batches import Batch, Item

__all__ = ["ZeroShotImageClassificationPipeline"]


class ZeroShotImageClassificationPipeline(Pipeline):
    """Compares pictures with a sentence about each class.

    Models with contrastive heads compare vectors, so that each picture and each sentence passes one tower; others
    score every pair of a picture and a sentence by their matching head.
    """

    task = "zero-shot-image-classification"

    def __call__(self, image: Any, candidate_labels: Sequence[str] | str | None = None,
                 hypothesis_template: str = "a photo of a {}.", top_k: int | None = None) -> Any:
        """Classify one picture or several.

        Args:
            image: a picture (file name, PIL image or array of shape (H, W, 3)), or several.
            candidate_labels: the classes, as a list or separated by commas.
            hypothesis_template: the sentence; `{}` is replaced by the class.
            top_k: classes to return, best first; None: all.

        Returns:
            For each picture a list of `{"label", "score"}`; the scores of all classes add up to 1.

        Raises:
            ValueError: no classes, or a template without `{}`.
        """
        labels = candidate_labels.split(",") if isinstance(candidate_labels, str) else list(candidate_labels or ())
        labels = list(dict.fromkeys(label.strip() for label in labels if label.strip()))
        if not labels:
            raise ValueError("candidate_labels is empty; give the classes, such as ['cat', 'dog']")
        if "{}" not in hypothesis_template:
            raise ValueError(f"hypothesis_template={hypothesis_template!r} has no {{}} for the class")
        prompts = tuple(hypothesis_template.replace("{}", label) for label in labels)
        return self._run(image, None, labels=labels, prompts=prompts, top_k=top_k)

    def _item(self, value: Any, text: Any) -> Item:
        return super()._item({"image": value["image"] if isinstance(value, dict) else value, "text": "class"}, None)

    def _results(self, batch: Batch, **options: Any) -> Iterable[list[dict[str, Any]]]:
        labels = options["labels"]
        for logits in self._logits(batch, options["prompts"]):
            scores = softmax(logits)
            order = np.argsort(-scores, kind="stable")[:options["top_k"]]
            yield [{"label": labels[index], "score": float(scores[index])} for index in order]

    def _logits(self, batch: Batch, prompts: tuple[str, ...]) -> Iterable[np.ndarray]:
        """One score per class for each picture that was read."""
        if not self.engine.has_vectors:
            for outputs in self._fused(batch, prompts=prompts):
                # Of a matching head, how much a match is preferred; a ranking head has one score.
                yield np.array([output[1] - output[0] if np.ndim(output) else output for output in outputs])
            return
        images = self._images(batch)
        for row in batch.rows if images is not None else ():
            if batch.readable[row] is not None:
                yield self._texts(prompts).vectors @ images.vectors[batch.readable[row]] / self.engine.temperature
