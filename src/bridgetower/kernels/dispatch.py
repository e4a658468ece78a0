"""The one decision between our kernels and Paddle's operators."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import paddle
from paddle import Tensor
from paddle.base.dygraph.base import in_sot_simulation_mode

from ..known import nearest

__all__ = ["SWITCH", "forced_kernels", "runs_eagerly_on_cpu", "use_ours", "worth_ours"]

#: Environment variable, read at every call: `auto` (the default) takes our kernels where they help, `ours` wherever
#: they can run, `paddle` nowhere.
SWITCH = "BRIDGETOWER_KERNELS"
_CHOICES = ("auto", "ours", "paddle")
#: From so many elements on, kernels of several steps save more time than Python takes to call these steps. Measured for
#: each operation and its gradient with 64 to 768 columns on one thread: they break even between 2^15 and 2^17.
_WORTH_OURS = 1 << 16


def _choice() -> str:
    choice = os.environ.get(SWITCH) or "auto"
    if choice not in _CHOICES:
        raise ValueError(f"{SWITCH}={choice} is not one of {', '.join(_CHOICES)}{nearest(choice, _CHOICES)}")
    return choice


def runs_eagerly_on_cpu(*tensors: Tensor) -> bool:
    """Whether our kernels are allowed and these tensors of any type are on a CPU, outside of tracing."""
    return (_choice() != "paddle" and paddle.in_dynamic_mode() and not in_sot_simulation_mode()
            and all(tensor.place.is_cpu_place() for tensor in tensors))


def use_ours(*tensors: Tensor) -> bool:
    """Whether our kernel computes an operation on these tensors: they are float32, eager and on a CPU."""
    return all(tensor.dtype == paddle.float32 for tensor in tensors) and runs_eagerly_on_cpu(*tensors)


def worth_ours(x: Tensor, *others: Tensor) -> bool:
    """Whether our kernel of several steps computes an operation on `x` and smaller tensors, where `x` has any shape."""
    return use_ours(x, *others) and (x.size >= _WORTH_OURS or _choice() == "ours")


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
