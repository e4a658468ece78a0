"""Helpers for several processes; all of them also work in a single process."""

from __future__ import annotations

from typing import Any

import paddle
import paddle.distributed as dist
from paddle import Tensor
from paddle.autograd import PyLayer

__all__ = ["all_gather_objects", "gather_with_gradient", "max_over_processes", "rank", "world_size"]


def world_size() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Index of this process."""
    return dist.get_rank() if dist.is_initialized() else 0


class _Gather(PyLayer):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """(B, ...) -> (world size * B, ...): the shapes of all processes are equal."""
        ctx.rows = x.shape[0]
        parts: list[Tensor] = []
        dist.all_gather(parts, x.contiguous())
        return paddle.concat(parts, axis=0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """(world size * B, ...) -> (B, ...)."""
        # Every process uses the rows of this one in its loss: their gradients add up.
        grad = grad.contiguous()
        dist.all_reduce(grad)
        return grad[rank() * ctx.rows:(rank() + 1) * ctx.rows]


def gather_with_gradient(x: Tensor) -> Tensor:
    """Concatenate the rows of all processes, (B, ...) -> (world_size * B, ...); gradients flow back to each.

    All processes must hold the same number of rows.
    """
    return x if world_size() == 1 else _Gather.apply(x)


def max_over_processes(value: int) -> int:
    """The largest value of all processes."""
    if world_size() == 1:
        return value
    largest = paddle.to_tensor(value, dtype="int64")
    dist.all_reduce(largest, op=dist.ReduceOp.MAX)
    return int(largest)


def all_gather_objects(value: Any) -> list[Any]:
    """The value of every process, in the order of their ranks."""
    if world_size() == 1:
        return [value]
    values: list[Any] = []
    dist.all_gather_object(values, value)
    return values
