"""Dynamic batching: what waits goes together by kind, the queue is bounded, errors reach those who asked."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import pytest

from bridgetower.serving.batch_worker import BatchWorker, QueueFullError


class Held:
    """A handler that doubles numbers; its first batch is held until `release` is set."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun, self.release = threading.Event(), threading.Event()

    def __call__(self, values: Sequence[int]) -> list[int]:
        self.batches.append(list(values))
        self.begun.set()
        assert self.release.wait(60)
        if 13 in values:
            raise ValueError("unlucky")
        return [2 * value for value in values]


@pytest.fixture
def held() -> Held:
    return Held()


def busy(worker: BatchWorker, held: Held) -> Future[Any]:
    """Start a worker and let it begin with a first job."""
    worker.start()
    first = worker.submit("a", held, 0)
    assert held.begun.wait(60)
    return first


def test_what_gathers_meanwhile_goes_together(held: Held) -> None:
    sizes: list[int] = []
    worker = BatchWorker(3, 100, sizes.append)
    first = busy(worker, held)
    futures = [worker.submit("b" if number == 3 else "a", held, number) for number in range(1, 7)]
    assert worker.waiting == 6
    held.release.set()
    assert [future.result(60) for future in (first, *futures)] == [0, 2, 4, 6, 8, 10, 12]
    assert held.batches == [[0], [1, 2, 4], [3], [5, 6]] and sizes == [1, 3, 1, 2]
    worker.stop()


def test_the_queue_is_bounded(held: Held) -> None:
    worker = BatchWorker(2, 3)
    busy(worker, held)
    futures = [worker.submit("a", held, number) for number in range(3)]
    with pytest.raises(QueueFullError, match="3 requests wait already"):
        worker.submit("a", held, 9)
    held.release.set()
    assert [future.result(60) for future in futures] == [0, 2, 4]
    worker.stop()


def test_an_error_reaches_the_one_who_caused_it(held: Held) -> None:
    worker = BatchWorker(3, 10)
    busy(worker, held)
    futures = [worker.submit("a", held, value) for value in (1, 13, 2)]
    held.release.set()
    with pytest.raises(ValueError, match="unlucky"):
        futures[1].result(60)
    assert (futures[0].result(60), futures[2].result(60)) == (2, 4)
    assert held.batches == [[0], [1, 13, 2], [1], [13], [2]]
    worker.stop()


def test_cancelled_jobs_are_left_out_and_stopping_finishes_the_rest(held: Held) -> None:
    worker = BatchWorker(4, 10)
    busy(worker, held)
    futures = [worker.submit("a", held, number) for number in range(1, 4)]
    assert futures[1].cancel()
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    held.release.set()
    stopping.join(60)
    assert held.batches == [[0], [1, 3]] and futures[2].result(0) == 6
    with pytest.raises(QueueFullError):
        worker.submit("a", held, 1)
