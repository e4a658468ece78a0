"""Paddle's DataLoader, with errors that reach the caller."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sized
from typing import Any

from paddle.io import DataLoader

__all__ = ["CarefulLoader"]


class _Relay:
    """Calls a function; when that fails, keeps the error and ends the data instead."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def __call__(self, function: Callable[..., Any], *args: Any) -> Any:
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
        return self._relay(self._dataset.__getitem__, index)


class CarefulLoader(DataLoader):
    """A DataLoader that raises what the dataset or the collator raises.

    Paddle's reads in a thread. When that dies of an error, the caller waits for ever (without loader processes) or
    gets a SystemError that does not say why (with them).
    """

    def __init__(self, dataset: Sized, *, batch_sampler: Any, collate_fn: Callable[[Any], Any], num_workers: int
                 ) -> None:
        self._relay = _Relay()
        if not num_workers:
            collate, relay = collate_fn, self._relay
            dataset, collate_fn = _Relayed(dataset, relay), lambda samples: relay(collate, samples)
        super().__init__(dataset, batch_sampler=batch_sampler, collate_fn=collate_fn, num_workers=num_workers)

    def __iter__(self) -> Iterator[Any]:
        died: list[BaseException] = []
        hook = threading.excepthook
        threading.excepthook = lambda arguments: died.append(arguments.exc_value or SystemError("a thread died"))
        try:
            yield from super().__iter__()
        except SystemError as error:
            raise (died[0] if died else error) from None
        finally:
            threading.excepthook = hook
        if self._relay.error is not None:
            raise self._relay.error
