"""Answer questions about pictures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .base_pipeline import Pipeline, sigmoid
from .batches import Batch

__all__ = ["VisualQuestionAnsweringPipeline"]


class VisualQuestionAnsweringPipeline(Pipeline):
    """Chooses among the answers that the model was trained on."""

    task = "visual-question-answering"
    text_key = "question"

    def __call__(self, image: Any, question: Any = None, top_k: int | None = 5) -> Any:
        """Answer one question or several.

        Args:
            image: a picture (file name, PIL image or array of shape (H, W, 3)), a dictionary with `image` and
                `question`, or several of them.
            question: one for all pictures; or a list, one per picture or all about a single one.
            top_k: answers to return, best first; None: all.

        Returns:
            For each question a list of `{"answer", "score"}`; the score is the probability, between 0 and 1, that the
            answer is right, and the scores of several right answers need not add up to 1.
        """
        return self._run(image, question, top_k=top_k)

    def _results(self, batch: Batch, **options: Any) -> Iterable[list[dict[str, Any]]]:
        for (logits,) in self._fused(batch):
            yield self._best(sigmoid(logits), options["top_k"], "answer")
