"""Running metrics: sums that add up over batches and processes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import paddle
from paddle import Tensor

from ..distributed import all_gather_objects

__all__ = ["Metrics", "num_correct", "vqa_scores"]


class Metrics:
    """Weighted means by name, for instance `mlm_accuracy`.

    A mean that saw nothing is left out of the result, so that it is never mistaken for a zero.
    """

    def __init__(self) -> None:
        self._sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])

    def add(self, name: str, total: float | Tensor, count: float) -> None:
        """Add a sum over `count` items."""
        entry = self._sums[name]
        entry[0] += float(total)
        entry[1] += float(count)

    def add_mean(self, name: str, mean: float | Tensor, count: float) -> None:
        """Add a mean over `count` items."""
        if count:
            self.add(name, float(mean) * count, count)

    def state(self) -> dict[str, list[float]]:
        """The sums and counts, by name."""
        return dict(self._sums)

    def merge(self, state: Mapping[str, list[float]]) -> None:
        """Add the sums and counts of another process."""
        for name, (total, count) in state.items():
            self.add(name, total, count)

    def reduced(self) -> Metrics:
        """The metrics of all processes together."""
        everything = Metrics()
        for state in all_gather_objects(self.state()):
            everything.merge(state)
        return everything

    def compute(self) -> dict[str, float]:
        """The means, by name."""
        return {name: total / count for name, (total, count) in self._sums.items() if count}

    def reset(self) -> None:
        """Forget everything."""
        self._sums.clear()


def num_correct(logits: Tensor, labels: Tensor) -> int:
    """How many rows have their highest score at their label; logits (N, C), labels (N,)."""
    return int((logits.argmax(axis=-1) == labels).sum()) if logits.shape[0] else 0


def vqa_scores(logits: Tensor, targets: Tensor) -> Tensor:
    """The soft score of each question's chosen answer, (B, C) and (B, C) -> (B,)."""
    return paddle.take_along_axis(targets, logits.argmax(axis=-1, keepdim=True), axis=1).squeeze(1)
