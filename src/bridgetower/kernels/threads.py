"""Samples shared between threads on a CPU.

Of Paddle's CPU kernels, matrix products use several threads and most others one: softmax, activations, copies. Several
threads that compute some of the samples each, with their products on one thread, keep all cores busy: in evaluation
from end to end, in training (where autograd runs the backward pass on one thread) inside single operations.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial, wraps
from typing import Any, TypeVar

import paddle
from paddle import Tensor, nn

from ..runtime import cpu_threads
from .dispatch import runs_eagerly_on_cpu

__all__ = ["map_rows", "share_rows"]

Method = TypeVar("Method", bound=Callable[..., Any])

#: Below so many elements, an operation takes less time than handing it to threads and joining their results.
_WORTH_SHARING = 1 << 19


def map_rows(function: Callable[..., Any], *inputs: Any) -> Any:
    """Call a function that needs no gradients, with the rows of large inputs shared between threads.

    Args:
        function: takes and returns tensors with one row per sample, alone or in lists.
        inputs: for the function; the first is a tensor. Every thread gets what has no shape as it is.
    """
    rows = inputs[0].shape[0]
    return _run(function, inputs, {}, rows, _workers(rows) if inputs[0].size >= _WORTH_SHARING else 1)


def share_rows(method: Method) -> Method:
    """Let threads share the samples of a layer's method, in evaluation on a CPU, where that pays.

    All tensors that the method takes and returns, alone or in lists, tuples and outputs, have one row per sample.
    """

    @wraps(method)
    def shared(layer: nn.Layer, *inputs: Any, **named: Any) -> Any:
        first = next(each for each in (*inputs, *named.values()) if each is not None)
        first = first[0] if isinstance(first, list) else first
        may_share = not layer.training and not paddle.is_grad_enabled() and runs_eagerly_on_cpu(first)
        rows = first.shape[0]
        return _run(partial(method, layer), inputs, named, rows, _workers(rows) if may_share else 1)

    return shared  # type: ignore[return-value]


def _run(function: Callable[..., Any], inputs: Sequence[Any], named: Mapping[str, Any], rows: int, workers: int) -> Any:
    """Call a function once, or in several threads without gradients, each with some of the rows."""
    if workers == 1:
        return function(*inputs, **named)
    bounds = [rows * number // workers for number in range(workers + 1)]
    threads = cpu_threads()

    def run(low: int, high: int) -> Any:
        paddle.base.core.set_num_threads(threads // workers)
        with paddle.no_grad():  # a setting of each thread, as is the number of threads
            return function(*(_take(each, low, high) for each in inputs),
                            **{name: _take(each, low, high) for name, each in named.items()})

    try:
        return _join(list(_pool(os.getpid(), workers).map(run, bounds, bounds[1:])))
    finally:
        paddle.base.core.set_num_threads(threads)


@cache
def _pool(process: int, workers: int) -> ThreadPoolExecutor:
    """The threads of this process; after a fork, those of the parent process do not exist."""
    return ThreadPoolExecutor(workers)


def _workers(rows: int) -> int:
    """Number of threads to share rows between; 1 where unequal shares would make the longest one take more time."""
    workers = max(1, min(cpu_threads(), rows))
    return workers if rows % workers == 0 or rows >= 4 * workers else 1


def _take(value: Any, low: int, high: int) -> Any:
    if isinstance(value, list):
        return [_take(each, low, high) for each in value]
    return value[low:high] if hasattr(value, "shape") else value


def _join(parts: Sequence[Any]) -> Any:
    first = parts[0]
    if isinstance(first, Tensor):
        return paddle.concat(list(parts))
    if isinstance(first, (list, tuple)):
        return type(first)(_join(each) for each in zip(*parts, strict=True))
    return type(first)(**{name: _join([part[name] for part in parts]) for name in first})
