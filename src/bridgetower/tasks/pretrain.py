"""Pre-training by any of MLM, ITM and ITC, and the metrics that retrieval shares with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..experiment import Experiment, SettingsError, TaskSettings
from ..modules import BridgeTowerForPreTraining
from .base import Batch, Task
from .metrics import Metrics, num_correct

__all__ = ["PairTask", "PreTraining"]


class PairTask(Task):
    """Learns from images and their captions."""

    data_kind = "caption"

    def update(self, metrics: Metrics, batch: Batch, output: Any, tables: Sequence[str] = ()) -> None:
        """Add the losses and accuracies that the output has."""
        if output.get("mlm_loss") is not None:
            masked = output.mlm_labels.shape[0]
            metrics.add_mean("mlm_loss", output.mlm_loss, masked)
            metrics.add("mlm_accuracy", num_correct(output.mlm_logits, output.mlm_labels), masked)
        if output.get("itm_loss") is not None:
            pairs = output.itm_labels.shape[0]
            metrics.add_mean("itm_loss", output.itm_loss, pairs)
            metrics.add("itm_accuracy", num_correct(output.itm_logits, output.itm_labels), pairs)
        for name in ("itc_loss", "rank_loss"):
            if output.get(name) is not None:
                metrics.add_mean(name, output[name], batch["input_ids"].shape[0])


class PreTraining(PairTask):
    """Pre-training; `task.objectives` says by what."""

    name = "pretrain"
    model = BridgeTowerForPreTraining
    selected_by = ("mlm_accuracy", "itm_accuracy")

    def check(self, experiment: Experiment) -> None:
        """There is at least one objective."""
        super().check(experiment)
        if not experiment.task.objectives:
            raise SettingsError(f"{experiment.source}: task.objectives is empty; name at least one of mlm, itm, itc, "
                                "itm_itc")

    def objectives(self, settings: TaskSettings) -> frozenset[str]:
        """Those of the experiment."""
        return frozenset(settings.objectives)
