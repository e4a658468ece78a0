"""The optimiser, its six parameter groups and the learning-rate schedules of the original."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import paddle
from paddle import nn
from paddle.optimizer.lr import LRScheduler
from paddlenlp.trainer.trainer_utils import get_scheduler

from ..model_parts import BASE_PREFIX, part_of

__all__ = ["AdamW", "ParameterGroup", "learning_rate_schedule", "parameter_groups"]

_NORM = re.compile(r"(^|[._])norm\.(weight|bias)$")


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters with one rate and one weight decay.

    Attributes:
        name: `base`, `head` or `cross_modal`.
        learning_rate: factor on the base rate.
        weight_decay: 0 for the group without decay.
        parameters: by their names in the model.
    """

    name: str
    learning_rate: float
    weight_decay: float
    parameters: dict[str, paddle.Tensor]


def _decays(bare: str, has_clip_tower: bool) -> bool:
    """Whether a parameter is decayed; the exceptions are the original's (src/modules/meter_utils.py, set_schedule).

    Its list of undecayed names knows `LayerNorm` and `norm`, but neither CLIP's `ln_*` nor the unnamed LayerNorm in
    a two-layer head, so that the weights of those are decayed. Biases never are.
    """
    if bare.endswith(".bias"):
        return False
    if not _NORM.search(bare):
        return True
    return bare.startswith("classifier.") or (has_clip_tower and bare.startswith("image_tower."))


def parameter_groups(model: nn.Layer, weight_decay: float, lr_mult_head: float, lr_mult_cross_modal: float
                     ) -> list[ParameterGroup]:
    """Sort the trainable parameters into the original's six groups.

    Args:
        model: one of the task models, whose `config` tells the kind of its image tower.
        weight_decay: decay of the groups that have one.
        lr_mult_head: factor of the heads' rate on the base rate.
        lr_mult_cross_modal: factor of the cross-modal rate on the base rate.

    Returns:
        Base with and without decay, heads with and without, cross-modal with and without; empty groups are left out.
    """
    has_clip_tower = model.config.vision_config.kind == "clip"
    factors = {"base": 1.0, "head": float(lr_mult_head), "cross_modal": float(lr_mult_cross_modal)}
    groups = {(name, decays): ParameterGroup(name, factor, float(weight_decay) if decays else 0.0, {})
              for name, factor in factors.items() for decays in (True, False)}
    for name, parameter in model.named_parameters():
        if not parameter.stop_gradient:
            bare = name.removeprefix(BASE_PREFIX)
            part = part_of(bare)
            rate = "base" if part is None else part.rate
            groups[rate, _decays(bare, has_clip_tower)].parameters[name] = parameter
    return [group for group in groups.values() if group.parameters]


class AdamW(paddle.optimizer.AdamW):
    """AdamW with the arithmetic of the original's optimiser (Hugging Face's AdamW of 2022).

    That one adds epsilon to the square root of the *uncorrected* second moment and decays the weights *after* the
    Adam step: p <- (p - a m / (sqrt(v) + eps)) (1 - lr wd) with a = lr sqrt(1 - b2^t) / (1 - b1^t). Paddle's kernel
    computes p (1 - r coeff) - r sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + e sqrt(1 - b2^t)), which is the same for
    r = lr (1 - lr wd), coeff = wd / (1 - lr wd), e = eps / sqrt(1 - b2^t). So the fused kernel does the work.

    The factor 1 - lr wd is part of the rate r itself and not Paddle's `lr_ratio`: the GPU kernel multiplies the whole
    rate by that ratio, the CPU kernel only the rate of the decay. With a ratio of one both compute the line above.

    The parameters are one list, each with its rate and its decay, and not Paddle's list of groups: that one is clipped
    group by group, while the original clips by the norm of all gradients, and sharding refuses it.

    Args:
        learning_rate: the base rate, or its schedule.
        groups: the parameters; none is in two groups.
        beta1, beta2, epsilon: of Adam.
        grad_clip: clips all gradients together before the step.
        multi_precision: whether half-precision parameters get float32 copies, which are what is updated.
    """

    _beta2: float
    _epsilon: float
    _weight_decay: float

    def __init__(self, learning_rate: float | LRScheduler, groups: Sequence[ParameterGroup], beta1: float = 0.9,
                 beta2: float = 0.98, epsilon: float = 1e-8, grad_clip: nn.clip.ClipGradBase | None = None,
                 multi_precision: bool = False) -> None:
        self._decays: dict[str, float] = {}
        self._beta2_powers: dict[str, np.float32] = {}
        parameters: list[paddle.Tensor] = []
        for group in groups:
            for parameter in group.parameters.values():
                parameter.optimize_attr["learning_rate"] = group.learning_rate
                self._decays[parameter.name] = group.weight_decay
                parameters.append(parameter)
        super().__init__(learning_rate, beta1, beta2, epsilon, parameters, grad_clip=grad_clip,
                         multi_precision=multi_precision)

    def _append_optimize_op(self, block: Any, param_and_grad: tuple[paddle.Tensor, paddle.Tensor]) -> Any:
        parameter = param_and_grad[0]
        epsilon, decay = self._epsilon, self._decays[parameter.name]
        factor = parameter.optimize_attr.get("learning_rate", 1.0)
        beta2_power = self._next_beta2_power(parameter)
        shrink = 1.0 - self.get_lr() * factor * decay
        self._epsilon = epsilon / (1.0 - beta2_power) ** 0.5
        self._weight_decay = decay / shrink
        parameter.optimize_attr["learning_rate"] = factor * shrink
        try:
            return super()._append_optimize_op(block, param_and_grad)
        finally:
            self._epsilon, parameter.optimize_attr["learning_rate"] = epsilon, factor

    def _next_beta2_power(self, parameter: paddle.Tensor) -> float:
        """b2^t of the update to come.

        Paddle's accumulator holds it. It is read once, and from then on multiplied here as the kernel does it there: a
        read of a tensor in every update would let the host wait for the device.
        """
        power = self._beta2_powers.get(parameter.name)
        if power is None:
            power = np.float32(float(self._get_accumulator_master(self._beta2_pow_acc_str, parameter)))
        self._beta2_powers[parameter.name] = power * np.float32(self._beta2)
        return float(power)

    def set_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the state of another run."""
        self._beta2_powers.clear()
        super().set_state_dict(state_dict)


def learning_rate_schedule(kind: str, learning_rate: float, num_steps: int, warmup: float, lr_end: float = 0.0,
                           power: float = 1.0, num_cycles: float = 0.5) -> LRScheduler:
    """Warm up linearly from zero, then decay.

    Args:
        kind: `polynomial`, `cosine`, `linear` or any other schedule of PaddleNLP.
        learning_rate: the base rate, reached after the warm-up.
        num_steps: updates in all.
        warmup: below 1, a fraction of `num_steps`, rounded down; from 1 on, a number of updates.
        lr_end: final base rate of the polynomial schedule.
        power: exponent of the polynomial schedule.
        num_cycles: waves of the cosine schedule.

    Returns:
        A scheduler whose value at step i is the rate of update i, counted from 0.
    """
    warmup_steps = int(warmup * num_steps) if warmup < 1 else int(warmup)
    return get_scheduler(kind, learning_rate=learning_rate, num_warmup_steps=warmup_steps,
                         num_training_steps=num_steps, num_cycles=num_cycles, lr_end=lr_end, power=power)
