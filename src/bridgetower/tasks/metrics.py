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

    Sums of tensors stay on the device until they are read, so that a training step does not wait for it. A mean that
    saw nothing is left out of the result, so that it is never mistaken for a zero.
    """

    def __init__(self) -> None:
        self._totals: dict[str, float | Tensor] = defaultdict(float)
        self._counts: dict[str, float] = defaultdict(float)

    def add(self, name: str, total: float | Tensor, count: float) -> None:
        """Add a sum over `count` items; `total` is a number or a tensor of one element."""
        if isinstance(total, Tensor):
            total = total.detach().astype("float64").reshape([])
        self._totals[name] = self._totals[name] + total
        self._counts[name] += float(count)

    def add_mean(self, name: str, mean: float | Tensor, count: float) -> None:
        """Add a mean over `count` items."""
        if count:
            mean = mean.detach().astype("float64") if isinstance(mean, Tensor) else mean
            self.add(name, mean * count, count)

    def state(self) -> dict[str, tuple[float, float]]:
        """The sums and counts, by name."""
        return {name: (float(total), self._counts[name]) for name, total in self._totals.items()}

    def merge(self, state: Mapping[str, tuple[float, float]]) -> None:
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
        return {name: total / count for name, (total, count) in self.state().items() if count}

    def reset(self) -> None:
        """Forget everything."""
        self._totals.clear()
        self._counts.clear()


def num_correct(logits: Tensor, labels: Tensor) -> Tensor:
    """How many rows have their highest score at their label, as a scalar on the device.

    Args:
        logits: (N, C); N may be 0.
        labels: (N,).
    """
    if not logits.shape[0]:
        return paddle.zeros([], dtype="int64")
    return (logits.argmax(axis=-1) == labels).astype("int64").sum()


def vqa_scores(logits: Tensor, targets: Tensor) -> Tensor:
    """The soft score of each question's chosen answer, (B, C) and (B, C) -> (B,)."""
    return paddle.take_along_axis(targets, logits.argmax(axis=-1, keepdim=True), axis=1).squeeze(1)
