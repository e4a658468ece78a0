"""Paddle's DataLoader, with errors that reach the caller."""

from __future__ import annotations

import gc
import os
import threading
import traceback
from collections.abc import Callable, Iterator, Sized
from functools import partial
from types import TracebackType
from typing import Any

from paddle.io import DataLoader

from ..runtime import die_with_parent, paused_collection

__all__ = ["CarefulLoader"]

_THREAD_END_SECONDS = 10
_WORKER_END_SECONDS = 5


class _Relay:
    """Calls a function; if that fails, keeps the error and ends the data instead."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        try:
            return function(*args)
        except Exception as error:
            self.error = error
            raise StopIteration from error


class _Relayed:
    """A dataset whose samples are read through a relay; it has the attributes of the dataset."""

    def __init__(self, dataset: Any, relay: _Relay) -> None:
        self._dataset, self._relay = dataset, relay

    def __len__(self) -> int:
        return len(self._dataset)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)

    def __getitem__(self, index: int) -> Any:
        return self._relay.call(self._dataset.__getitem__, index)


class _Watch:
    """Keeps the error that ends the reading thread of one loader; errors of all other threads go where they went."""

    _active: list[_Watch] = []
    _previous: Callable[[threading.ExceptHookArgs], Any]

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.error: BaseException | None = None

    def __enter__(self) -> _Watch:
        # One hook for all iterations under way, as they need not end in the order in which they began.
        if not _Watch._active:
            _Watch._previous, threading.excepthook = threading.excepthook, _Watch._hook
        _Watch._active.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _Watch._active.remove(self)
        if not _Watch._active and threading.excepthook is _Watch._hook:
            threading.excepthook = _Watch._previous

    @staticmethod
    def _hook(arguments: threading.ExceptHookArgs) -> None:
        # The thread may die before its iterator is known here, but its traceback leads through the iterator.
        owners = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(arguments.exc_traceback)]
        datasets = [getattr(owner, "_dataset", None) for owner in owners if hasattr(owner, "_thread_loop")]
        watch = next((watch for watch in _Watch._active if any(watch.dataset is each for each in datasets)), None)
        if watch is None:
            _Watch._previous(arguments)
        else:
            watch.error = arguments.exc_value


def _end_workers(batches: Any) -> None:
    """End the loader processes of an iterator now.

    The iterator's own `__del__` waits for them without a limit. If the garbage collector calls it, the queues to the
    processes are closed by then, so that they never hear that they should end.
    """
    if hasattr(batches, "_workers"):
        batches._try_shutdown_all(timeout=_WORKER_END_SECONDS)
        for worker in batches._workers:
            worker.kill()


def _begin_worker(parent: int, _: int) -> None:
    """Prepare a loader process.

    The garbage of its parent is not its to collect: Paddle's readers in it would wait here for threads that a fork
    leaves behind. Paddle's own watch over the parent does not see its end while a worker waits for work.
    """
    gc.freeze()
    gc.enable()
    die_with_parent(parent)


class CarefulLoader(DataLoader):
    """A DataLoader that raises what the dataset or the collator raises.

    Paddle's own reads in a thread. If an error ends that thread, the caller waits for ever (without loader processes)
    or gets a SystemError that does not say why (with them).
    """

    def __init__(self, dataset: Sized, *, batch_sampler: Any, collate_fn: Callable[[Any], Any], num_workers: int
                 ) -> None:
        self._relay = _Relay()
        if not num_workers:
            collate, relay = collate_fn, self._relay
            dataset, collate_fn = _Relayed(dataset, relay), lambda samples: relay.call(collate, samples)
        super().__init__(dataset, batch_sampler=batch_sampler, collate_fn=collate_fn, num_workers=num_workers,
                         worker_init_fn=partial(_begin_worker, os.getpid()))

    def __iter__(self) -> Iterator[Any]:
        with _Watch(self.dataset) as watch:
            with paused_collection():  # until a worker has put aside what it inherits (_begin_worker)
                batches = super().__iter__()
            thread: threading.Thread | None = getattr(batches, "_thread", None)
            try:
                yield from batches
            except SystemError as error:
                if thread is not None:
                    thread.join(_THREAD_END_SECONDS)  # its error is noted when it ends
                raise (watch.error or error) from None
            finally:
                _end_workers(batches)
        if self._relay.error is not None:
            raise self._relay.error
