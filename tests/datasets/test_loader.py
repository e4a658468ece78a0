"""The loader hands errors on, and leaves everything else as Paddle has it."""

from __future__ import annotations

import gc
import multiprocessing
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


def test_a_heap_stays_as_the_caller_left_it() -> None:
    """A program that has taken its imports out of garbage collection does not pay for them after an epoch."""
    gc.freeze()
    held = gc.get_freeze_count()
    assert len(list(loader(Numbers(5)))) == 3
    assert gc.get_freeze_count() > 0.9 * held and gc.isenabled()


def test_batches_for_a_gpu_are_pinned_and_copied_ahead() -> None:
    batches = loader(Numbers(5))
    assert batches.pin_memory and batches.use_buffer_reader and batches.prefetch_factor == 2


@pytest.mark.parametrize("dataset, error", [(Numbers(6, broken=3), KeyError), (Numbers(9), ValueError)])
def test_errors_reach_the_caller(dataset: Numbers, error: type[Exception]) -> None:
    seen, hook = [], threading.excepthook
    with pytest.raises(error):
        for batch in loader(dataset):
            seen += batch["x"].tolist()
    assert seen == list(range(len(seen))) and len(seen) >= 2 and threading.excepthook is hook


def fail_in_a_thread(error: Exception) -> None:
    def run() -> None:
        raise error

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)


def test_errors_of_other_threads_go_where_they_went(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[BaseException | None] = []

    def hook(arguments: threading.ExceptHookArgs) -> None:
        seen.append(arguments.exc_value)

    monkeypatch.setattr(threading, "excepthook", hook)
    error = KeyError("of another thread")
    for number, _ in enumerate(loader(Numbers(6))):
        if number == 1:
            fail_in_a_thread(error)
    assert seen == [error] and threading.excepthook is hook


def test_loaders_may_end_in_any_order() -> None:
    hook = threading.excepthook
    first, second = iter(loader(Numbers(6))), iter(loader(Numbers(6, broken=4)))
    next(first), next(second)
    assert len(list(first)) == 2
    with pytest.raises(KeyError):
        list(second)
    assert threading.excepthook is hook


@pytest.mark.slow
def test_the_error_of_a_loader_process_is_raised_as_it_is() -> None:
    dataset = Numbers(6, broken=3)
    batches = CarefulLoader(dataset, batch_sampler=BatchSampler(dataset, batch_size=2), collate_fn=collate,
                            num_workers=1)
    others = set(multiprocessing.active_children())
    with pytest.raises(KeyError, match="no number 3"):
        list(batches)
    assert set(multiprocessing.active_children()) <= others  # a later garbage collection has nothing to wait for
