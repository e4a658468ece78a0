"""Say whether pictures and texts belong together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .base_pipeline import Pipeline, softmax
from .batches import Batch
from .engine import Engine

__all__ = ["ImageTextMatchingPipeline", "matcher"]


class ImageTextMatchingPipeline(Pipeline):
    """Scores pairs of a picture and a text."""

    task = "image-text-matching"

    def __call__(self, image: Any, text: Any = None) -> Any:
        """Score one pair or several.

        Args:
            image: a picture (file name, PIL image or array of shape (H, W, 3)), a dictionary with `image` and `text`,
                or several of them.
            text: one for all pictures; or a list, one per picture or all about a single one.

        Returns:
            For each pair `{"text", "score", "label"}`: of models with an ITM head the probability of a match, and
            `match` or `no match`; of a ranking model its score, higher for a better match, without a label.
        """
        return self._run(image, text)

    def _results(self, batch: Batch, **options: Any) -> Iterable[dict[str, Any]]:
        items = [item for item, row in zip(batch.items, batch.rows, strict=True) if batch.readable[row] is not None]
        for item, (output,) in zip(items, self._fused(batch), strict=True):
            if self.engine.output == "scores":
                yield {"text": item.texts[0], "score": float(output)}
            else:
                score = float(softmax(output)[1])
                yield {"text": item.texts[0], "score": score, "label": "match" if score > 0.5 else "no match"}


def matcher(engine: Engine, batch_size: int) -> Callable[[Sequence[str], str], list[float | None]] | None:
    """A function that scores picture files against a text, None for one that cannot be read.

    Of models that have vectors and a matching head, to order what was found by the vectors; None for those without.
    """
    if engine.output != "scores":
        return None
    pipe = ImageTextMatchingPipeline(engine, batch_size, "skip", progress=False)

    def match(images: Sequence[str], text: str) -> list[float | None]:
        return [result and result["score"] for result in pipe(list(images), text)]

    return match
