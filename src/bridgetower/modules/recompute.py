"""Activation recomputation: save the memory of activations by a second forward pass."""

from __future__ import annotations

from typing import Any

import paddle
from paddle import Tensor, nn

__all__ = ["run_layer"]


def run_layer(owner: nn.Layer, layer: nn.Layer, *inputs: Any) -> Tensor:
    """Run `layer`, keeping no activations inside it when `owner.enable_recompute` is set (by `--recompute`).

    PaddleNLP's Trainer sets the attribute on every layer that has it.
    """
    if owner.enable_recompute and owner.training and paddle.is_grad_enabled():
        from paddle.distributed.fleet.utils import recompute

        return recompute(layer, *inputs)
    return layer(*inputs)
