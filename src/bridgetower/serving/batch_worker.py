"""Dynamic batching: requests wait in a bounded queue; one thread runs those of a kind through the model together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

__all__ = ["BatchWorker", "QueueFullError"]

#: Turns the values of jobs of one kind into as many results.
Handler = Callable[[Sequence[Any]], Sequence[Any]]


class QueueFullError(RuntimeError):
    """As many requests wait as may."""


@dataclass
class _Job:
    kind: Hashable
    handler: Handler
    value: Any
    future: Future[Any] = field(default_factory=Future)


class BatchWorker:
    """Runs jobs in one thread, those of a kind together.

    Nobody waits for a batch to fill up: while the model works on one, the next one gathers. The jobs of a batch that
    fails run one by one, so that each gets its own result or error.

    Args:
        max_batch: jobs that pass the model together at most.
        max_waiting: jobs that may wait.
        on_batch: is told the number of jobs of each batch.
    """

    def __init__(self, max_batch: int, max_waiting: int, on_batch: Callable[[int], None] = lambda _: None) -> None:
        self.max_batch, self.max_waiting, self.on_batch = max_batch, max_waiting, on_batch
        self._jobs: list[_Job] = []
        self._changed = threading.Condition()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)

    @property
    def waiting(self) -> int:
        """Jobs that wait."""
        return len(self._jobs)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self) -> None:
        """Finish what waits, then end the thread."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify()
        self._thread.join()

    def check_room(self) -> None:
        """Raise the error that `submit` would raise now, for callers who have work to do before it."""
        if len(self._jobs) >= self.max_waiting or self._is_stopping:
            raise QueueFullError(f"{len(self._jobs)} requests wait already; try again later")

    def submit(self, kind: Hashable, handler: Handler, value: Any) -> Future[Any]:
        """Let a value wait for its turn.

        Args:
            kind: values of equal kinds may go to their handler together.
            handler: see `Handler`; that of the first job of a batch is called.
            value: for the handler.

        Raises:
            QueueFullError: `max_waiting` jobs wait already, or the worker stops.
        """
        with self._changed:
            self.check_room()
            job = _Job(kind, handler, value)
            self._jobs.append(job)
            self._changed.notify()
        return job.future

    def _run(self) -> None:
        while batch := self._next_batch():
            wanted = [job for job in batch if job.future.set_running_or_notify_cancel()]
            if not wanted:
                continue
            self.on_batch(len(wanted))
            if not self._answer(wanted):
                for job in wanted:
                    self._answer([job])

    @staticmethod
    def _answer(jobs: Sequence[_Job]) -> bool:
        """Hand jobs to their handler; False when one of several failed, and none of them has its result."""
        try:
            results = list(zip(jobs, jobs[0].handler([job.value for job in jobs]), strict=True))
        except Exception as error:  # whatever it is, the request must hear of it and the thread must go on
            if len(jobs) > 1:
                return False
            jobs[0].future.set_exception(error)
            return True
        for job, result in results:
            job.future.set_result(result)
        return True

    def _next_batch(self) -> list[_Job]:
        """The oldest job and others of its kind, in their order; nothing when it is time to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._is_stopping)
            same = [job for job in self._jobs if job.kind == self._jobs[0].kind][:self.max_batch]
            chosen = set(map(id, same))
            self._jobs = [job for job in self._jobs if id(job) not in chosen]
            return same
