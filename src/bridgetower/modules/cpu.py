"""What makes layers fast on a CPU, whatever they compute: samples shared between threads.

Of Paddle's CPU kernels, matrix products use several threads and most others one: softmax, activations, copies. Several
threads that compute some of the samples each, with products on one thread, keep all cores busy with all of them: in
evaluation from end to end, in training (where autograd runs backward on one thread) inside single layers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial, wraps
from typing import Any, TypeVar

import paddle
from paddle import Tensor, nn
from paddle.base.dygraph.base import in_sot_simulation_mode

from ..runtime import cpu_threads

__all__ = ["map_rows", "on_cpu", "share_rows"]

Method = TypeVar("Method", bound=Callable[..., Any])

#: Elements below which a layer takes less time than handing it to threads and joining their results.
_WORTH_SHARING = 1 << 19


def on_cpu(*tensors: Tensor) -> bool:
    """Whether to go around the CPU kernels: eager float32 on a CPU, not traced."""
    return (paddle.in_dynamic_mode() and not in_sot_simulation_mode()
            and all(tensor.dtype == paddle.float32 and tensor.place.is_cpu_place() for tensor in tensors))


def map_rows(function: Callable[..., Any], *inputs: Any) -> Any:
    """Call a function that needs no gradients, with the rows of large inputs shared between threads.

    Args:
        function: takes and returns tensors with one row a sample, alone or in lists.
        inputs: for the function; the first is a tensor. What has no shape goes to each thread as it is.
    """
    rows = inputs[0].shape[0]
    return _run(function, inputs, {}, rows, _workers(rows) if inputs[0].size >= _WORTH_SHARING else 1)


def share_rows(method: Method) -> Method:
    """Let threads share the samples of a layer's method, in evaluation on a CPU, where that pays.

    All tensors that the method takes and returns, alone or in lists and outputs, have one row a sample.
    """

    @wraps(method)
    def shared(layer: nn.Layer, *inputs: Any, **named: Any) -> Any:
        first = next(iter((*inputs, *named.values())))
        first = first[0] if isinstance(first, list) else first
        may_share = on_cpu() and first.place.is_cpu_place() and not layer.training and not paddle.is_grad_enabled()
        rows = first.shape[0]
        return _run(partial(method, layer), inputs, named, rows, _workers(rows) if may_share else 1)

    return shared  # type: ignore[return-value]


def _run(function: Callable[..., Any], inputs: Sequence[Any], named: Mapping[str, Any], rows: int, workers: int) -> Any:
    """Call a function once, or without gradients in each of several threads with some of the rows."""
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
    """Of this process: the threads of another one are not there after a fork."""
    return ThreadPoolExecutor(workers)


def _workers(rows: int) -> int:
    """Threads with rows of their own; 1 where shares would be so unequal that the longest one takes more time."""
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
    if isinstance(first, list):
        return [_join(each) for each in zip(*parts, strict=True)]
    return type(first)(**{name: _join([part[name] for part in parts]) for name in first})
