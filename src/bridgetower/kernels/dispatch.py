"""The one decision between our kernels and Paddle's operators."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import paddle
from paddle import Tensor
from paddle.base.dygraph.base import in_sot_simulation_mode

from ..known import nearest

__all__ = ["SWITCH", "forced_kernels", "runs_eagerly_on_cpu", "use_ours"]

#: Environment variable, read at every call: `auto` (the default) takes our kernels where they help, `paddle` never.
SWITCH = "BRIDGETOWER_KERNELS"
_CHOICES = ("auto", "paddle")


def _ours_are_allowed() -> bool:
    choice = os.environ.get(SWITCH) or "auto"
    if choice not in _CHOICES:
        raise ValueError(f"{SWITCH}={choice} is not one of {', '.join(_CHOICES)}{nearest(choice, _CHOICES)}")
    return choice == "auto"


def runs_eagerly_on_cpu(*tensors: Tensor) -> bool:
    """Whether our kernels are allowed and these tensors of any type are on a CPU, outside of tracing."""
    return (_ours_are_allowed() and paddle.in_dynamic_mode() and not in_sot_simulation_mode()
            and all(tensor.place.is_cpu_place() for tensor in tensors))


def use_ours(*tensors: Tensor) -> bool:
    """Whether our kernel computes an operation on these tensors: they are float32, eager and on a CPU."""
    return all(tensor.dtype == paddle.float32 for tensor in tensors) and runs_eagerly_on_cpu(*tensors)


@contextmanager
def forced_kernels(choice: str) -> Iterator[None]:
    """Set `BRIDGETOWER_KERNELS` to `choice` inside a `with` block, for all threads and for processes started there."""
    before = os.environ.get(SWITCH)
    os.environ[SWITCH] = choice
    try:
        yield
    finally:
        if before is None:
            del os.environ[SWITCH]
        else:
            os.environ[SWITCH] = before
