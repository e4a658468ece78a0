"""Refuses a training that no device of this machine could hold, before anything of it is allocated."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import paddle

from ..experiment import Experiment, SettingsError
from ..setting_rules.config_limits import parameter_count
from .memory import Method, Need, need_of, passes_of

if TYPE_CHECKING:
    from ..config import BridgeTowerConfig
    from ..tasks import Task
    from .arguments import BridgeTowerTrainingArguments

__all__ = ["check_fits", "device_memory"]

#: The computed memory is at most a tenth off, and the rest is for swap space and for what is shared.
_SLACK = 1.25


def device_memory(device: str) -> int | None:
    """Bytes that a device has in all, whoever uses them now; None if it does not say."""
    if device.startswith("cpu"):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if device.startswith("gpu"):
        return int(paddle.device.cuda.get_device_properties().total_memory)
    return None


def check_fits(config: BridgeTowerConfig, experiment: Experiment, task: Task, args: BridgeTowerTrainingArguments
               ) -> None:
    """Compare the least that a run takes with all that its device has.

    Raises:
        SettingsError: it is clearly more; the message says how much and what to lower.
    """
    total = device_memory(args.device)
    if total is None:
        return
    batch = args.per_device_train_batch_size if args.do_train else args.per_device_eval_batch_size
    least = _least(config, experiment, args, parameter_count(config))
    if least.total(batch) <= _SLACK * total:
        return
    with paddle.LazyGuard():  # a task may have one tower only, which is not worth making for every run
        parameters = sum(int(np.prod(each.shape)) for each in task.model(config).parameters())
    least = _least(config, experiment, args, parameters)
    if least.total(batch) <= _SLACK * total:
        return
    recompute = "" if args.recompute or not args.do_train else ", or add --recompute"
    flag = "--per_device_train_batch_size" if args.do_train else "--per_device_eval_batch_size"
    fitting = int((total - least.states) // least.sample)
    advice = f"use {flag} {fitting} or less, a smaller data.image_size{recompute}" if fitting > 0 else \
        f"use a smaller model or data.image_size{recompute}"
    raise SettingsError(
        f"{experiment.source}: this run takes {least.total(batch) / 1e9:,.1f} GB or more ({least.states / 1e9:,.1f} GB "
        f"for {parameters / 1e6:,.0f} million parameters, {least.sample / 1e9:,.2f} GB for each of {batch} samples of "
        f"{experiment.data.image_size} pixels), but {args.device} has {total / 1e9:,.1f} GB in all; {advice}")


def _least(config: BridgeTowerConfig, experiment: Experiment, args: BridgeTowerTrainingArguments, parameters: int
           ) -> Need:
    """The memory with the shortest texts and most shared pictures; without training, of weights and pictures alone."""
    if not args.do_train:
        vision = config.vision_config
        return Need(4.0 * parameters, 4.0 * vision.num_channels * vision.image_size**2)
    data = experiment.data
    precision = f"bf16 {args.fp16_opt_level}" if args.bf16 or args.fp16 else "float32"
    stage = 2 if "stage2" in str(args.sharding) else 1 if args.sharding else 0
    method = Method(precision, bool(args.recompute), stage, args.world_size)
    passes = passes_of(experiment.task.name, experiment.task, config.objectives)
    passes = replace(passes, images=passes.images / max(data.texts_per_image, 1))
    length = data.max_text_len if data.padding == "max_length" else 3
    return need_of(config, parameters, passes, length, method, data.mlm_probability)
