"""Counters in the text format of Prometheus."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator

from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["CountRequests", "ServerMetrics"]

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64)


class _Histogram:
    def __init__(self, name: str, text: str, bounds: tuple[float, ...]) -> None:
        self.name, self.text, self.bounds = name, text, bounds
        self.counts, self.sum = [0] * (len(bounds) + 1), 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def lines(self) -> Iterator[str]:
        yield f"# HELP {self.name} {self.text}"
        yield f"# TYPE {self.name} histogram"
        total = 0
        for bound, count in zip((*self.bounds, "+Inf"), self.counts, strict=True):
            total += count
            yield f'{self.name}_bucket{{le="{bound}"}} {total}'
        yield f"{self.name}_sum {self.sum:.6f}"
        yield f"{self.name}_count {total}"


class ServerMetrics:
    """Requests by path and status, their seconds, batch sizes, and how many requests wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._seconds = _Histogram("bridgetower_request_seconds", "Time to answer a request.", _SECONDS)
        self._batches = _Histogram("bridgetower_batch_size", "Requests that passed the model together.", _SIZES)

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        with self._lock:
            self._requests[path, status] += 1
            self._seconds.observe(seconds)

    def batch(self, size: int) -> None:
        """Count a batch."""
        with self._lock:
            self._batches.observe(size)

    def text(self, waiting: Callable[[], int]) -> str:
        """All of them; `waiting` says how many requests wait."""
        with self._lock:
            lines = ["# HELP bridgetower_requests_total Answered requests.",
                     "# TYPE bridgetower_requests_total counter"]
            lines += [f'bridgetower_requests_total{{path="{path}",status="{status}"}} {count}'
                      for (path, status), count in sorted(self._requests.items())]
            lines += [*self._seconds.lines(), *self._batches.lines()]
        lines += ["# HELP bridgetower_waiting Requests that wait.", "# TYPE bridgetower_waiting gauge",
                  f"bridgetower_waiting {waiting()}"]
        return "\n".join(lines) + "\n"


class CountRequests:
    """ASGI middleware that counts each request with its status and its seconds."""

    def __init__(self, app: ASGIApp, metrics: ServerMetrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500  # of an error that nobody caught

        async def watched(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            route = scope.get("route")  # a path that is none of ours is not counted by its name
            self.metrics.request(getattr(route, "path", "other"), status, time.perf_counter() - start)
