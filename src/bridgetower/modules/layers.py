"""Paddle's Linear, LayerNorm, Conv2D and Dropout, whose forward passes call the kernels.

Anything that replaces, wraps or observes layers of Paddle (LoRA, quantisation, hooks, summaries) works on these, too.
"""

from __future__ import annotations

import paddle
from paddle import Tensor, nn
from paddle.hapi.dynamic_flops import register_hooks

from .. import kernels

__all__ = ["Dropout", "LayerNorm", "Linear", "PatchEmbedding", "is_unmodified", "size_of"]

_LARGEST_EPSILON = 1e-3  # of Paddle's own LayerNorm


class Linear(nn.Linear):
    """`paddle.nn.Linear`."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out), with any leading shape."""
        return kernels.linear(x, self.weight, self.bias)


class LayerNorm(nn.LayerNorm):
    """`paddle.nn.LayerNorm` over the last axis, with a scale and a shift; it takes any epsilon."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D), with any leading shape."""
        if self._epsilon > _LARGEST_EPSILON:
            centred = x - x.mean(-1, keepdim=True)
            variance = (centred * centred).mean(-1, keepdim=True)
            return centred * (variance + self._epsilon).rsqrt() * self.weight + self.bias
        return kernels.layer_norm(x, self.weight, self.bias, self._epsilon)


class PatchEmbedding(nn.Conv2D):
    """`paddle.nn.Conv2D` whose stride is the size of its kernel."""

    def __init__(self, channels: int, width: int, patch_size: int, has_bias: bool) -> None:
        super().__init__(channels, width, patch_size, patch_size, bias_attr=None if has_bias else False)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3 or 1, S, S) -> (B, W, S / p, S / p), where p is the side of a patch."""
        return kernels.patch_embedding(images, self.weight, self.bias)


class Dropout(nn.Dropout):
    """`paddle.nn.Dropout`."""

    def forward(self, x: Tensor) -> Tensor:
        """A tensor of any shape to one of the same shape."""
        return kernels.dropout(x, self.p, self.training)


def is_unmodified(layer: nn.Layer) -> bool:
    """Whether calling `layer` is exactly `kernels.linear` with its weight and bias: no other class, no hook."""
    return (type(layer) is Linear and "forward" not in vars(layer)
            and not layer._forward_pre_hooks and not layer._forward_post_hooks)


# `paddle.flops` looks layers up by their exact class and counts a LayerNorm as nothing.
register_hooks.update({Linear: register_hooks[nn.Linear], PatchEmbedding: register_hooks[nn.Conv2D],
                       Dropout: register_hooks[nn.Dropout]})


def size_of(x: Tensor, axis: int) -> int | Tensor:
    """The size of an axis of a tensor of any shape; while a model is traced, a tensor of shape () that will hold it."""
    return int(x.shape[axis]) if paddle.in_dynamic_mode() else paddle.shape(x)[axis]
