"""Samples of an inference shared between threads.

Of Paddle's CPU kernels, matrix products use several threads and most others one: softmax, activations, copies. Several
threads that compute some of the samples each, with products on one thread, keep all cores busy with all of them. In
training this gained nothing: autograd runs backward on one thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, wraps
from typing import Any, TypeVar

import paddle
from paddle import Tensor, nn

from ..runtime import cpu_threads
from .layers import on_cpu

__all__ = ["share_rows"]

Method = TypeVar("Method", bound=Callable[..., Any])


def share_rows(method: Method) -> Method:
    """Let threads share the samples of a layer's method, in evaluation on a CPU, where that pays.

    All tensors that the method takes and returns, alone or in lists and outputs, have one row a sample.
    """

    @wraps(method)
    def shared(layer: nn.Layer, *inputs: Any, **named: Any) -> Any:
        first = next(iter((*inputs, *named.values())))
        first = first[0] if isinstance(first, list) else first
        may_share = on_cpu() and first.place.is_cpu_place() and not layer.training and not paddle.is_grad_enabled()
        workers = _workers(first.shape[0]) if may_share else 1
        if workers == 1:
            return method(layer, *inputs, **named)
        bounds = [first.shape[0] * number // workers for number in range(workers + 1)]
        threads = cpu_threads()

        def run(low: int, high: int) -> Any:
            paddle.base.core.set_num_threads(threads // workers)
            with paddle.no_grad():  # a setting of each thread, as is the number of threads
                return method(layer, *(_take(each, low, high) for each in inputs),
                              **{name: _take(each, low, high) for name, each in named.items()})

        try:
            return _join(list(_pool(os.getpid(), workers).map(run, bounds, bounds[1:])))
        finally:
            paddle.base.core.set_num_threads(threads)

    return shared  # type: ignore[return-value]


@cache
def _pool(process: int, workers: int) -> ThreadPoolExecutor:
    """Of this process: the threads of another one are not there after a fork."""
    return ThreadPoolExecutor(workers)


def _workers(rows: int) -> int:
    """Threads with rows of their own; 1 where shares would be so unequal that the longest one takes more time."""
    workers = max(1, min(cpu_threads(), rows))
    return workers if rows % workers == 0 or rows >= 4 * workers else 1


def _take(value: Any, low: int, high: int) -> Any:
    if isinstance(value, list):
        return [_take(each, low, high) for each in value]
    return value[low:high] if isinstance(value, Tensor) else value


def _join(parts: Sequence[Any]) -> Any:
    first = parts[0]
    if isinstance(first, Tensor):
        return paddle.concat(list(parts))
    if isinstance(first, list):
        return [_join(each) for each in zip(*parts, strict=True)]
    return type(first)(**{name: _join([part[name] for part in parts]) for name in first})
