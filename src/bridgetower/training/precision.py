"""Mixed precision: where Paddle supports it, and what stays in float32."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import paddle
from paddle import Tensor, nn

from ..experiment import SettingsError

__all__ = ["FLOAT32_OPERATORS", "check_precision", "keep_in_float32", "load_state", "save_as_float32"]

#: Operators that compute in float32 at both levels, by Paddle's names of its lists. Paddle itself keeps most of them
#: there at O1, but none at O2, and the norms of vectors (`p_norm`) at neither.
FLOAT32_OPERATORS = ("layer_norm", "softmax", "log_softmax", "softmax_with_cross_entropy",
                     "sigmoid_cross_entropy_with_logits", "p_norm", "exp", "mean", "reduce_mean")
_LEVELS = ("O1", "O2")


def check_precision(bf16: bool, fp16: bool, level: str, device: str) -> None:
    """Refuse a precision that Paddle would not compute in.

    On a CPU its `auto_cast` and `decorate` only warn and go on in float32, its loss scaling fails at the first step,
    and most operators have no kernels for half precision; so it is on a GPU too old for the type.

    Args:
        bf16, fp16: what is asked for.
        level: of Paddle's mixed precision.
        device: `cpu`, `gpu`, `gpu:0`, ...

    Raises:
        SettingsError: says what to do instead.
    """
    if not (bf16 or fp16):
        return
    flag, other = ("--bf16", "--fp16") if bf16 else ("--fp16", "--bf16")
    if level not in _LEVELS:
        raise SettingsError(f"--fp16_opt_level {level} is none of {', '.join(_LEVELS)}; O1 keeps the weights in "
                            f"float32, O2 halves them, and without {flag} all is float32")
    if device == "cpu":
        raise SettingsError(f"{flag}: Paddle computes in half precision on GPUs only, not on a CPU; leave {flag} out, "
                            "or train with --device gpu")
    supported = paddle.amp.is_bfloat16_supported if bf16 else paddle.amp.is_float16_supported
    if not supported(device):
        raise SettingsError(f"{flag}: the device {device} does not support it; leave {flag} out, or try {other}")


def keep_in_float32(model: nn.Layer) -> list[Any]:
    """What O2 must not turn into half precision, for `paddle.amp.decorate`.

    Besides LayerNorm these are the parameters that the model itself holds, the temperatures of ITC: rounded to 8 bits
    they would jump from one value to the next.

    Returns:
        Types of layers.
    """
    # `excluded_layers` would exclude everything inside the model too; this is the mark that it leaves on a layer.
    model._cast_to_low_precision = False
    return [nn.LayerNorm]


def save_as_float32(model: nn.Layer) -> None:
    """Let the model hand out, and so save, its half-precision parameters as float32: NumPy has no bfloat16.

    They are the values that the model computes with. The float32 copies that O2 updates are in the optimiser's file,
    from which a resumed run goes on.
    """

    def widen(state: dict[str, Tensor]) -> None:
        for name, value in state.items():
            if value.dtype in (paddle.float16, paddle.bfloat16):
                state[name] = value.astype("float32")
                state[name].name = value.name

    model.register_state_dict_hook(widen)


def load_state(model: nn.Layer, state: Mapping[str, np.ndarray]) -> None:
    """Give a model the weights that `save_as_float32` let it save, each in the precision of its parameter."""
    for name, parameter in model.named_parameters():
        parameter.set_value(paddle.to_tensor(state[name]).astype(parameter.dtype))
