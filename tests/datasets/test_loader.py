"""The loader hands errors on, and leaves everything else as Paddle has it."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from paddle.io import BatchSampler

from bridgetower.datasets.loader import CarefulLoader


class Numbers:
    """0, 1, 2, ..., and an error at one place."""

    name = "numbers"

    def __init__(self, size: int, broken: int = -1) -> None:
        self.size, self.broken = size, broken

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> int:
        if index == self.broken:
            raise KeyError(f"no number {index}")
        return index


def collate(numbers: list[int]) -> dict[str, np.ndarray]:
    """Refuses 7."""
    if 7 in numbers:
        raise ValueError("seven")
    return {"x": np.array(numbers)}


def loader(dataset: Any) -> CarefulLoader:
    return CarefulLoader(dataset, batch_sampler=BatchSampler(dataset, batch_size=2), collate_fn=collate, num_workers=0)


def test_batches_of_every_epoch() -> None:
    batches = loader(Numbers(5))
    for _ in range(2):
        assert [batch["x"].tolist() for batch in batches] == [[0, 1], [2, 3], [4]]
    assert len(batches) == 3 and len(batches.dataset) == 5 and batches.dataset.name == "numbers"


@pytest.mark.parametrize("dataset, error", [(Numbers(6, broken=3), KeyError), (Numbers(9), ValueError)])
def test_errors_reach_the_caller(dataset: Numbers, error: type[Exception]) -> None:
    seen, hook = [], threading.excepthook
    with pytest.raises(error):
        for batch in loader(dataset):
            seen += batch["x"].tolist()
    assert seen == list(range(len(seen))) and len(seen) >= 2 and threading.excepthook is hook
