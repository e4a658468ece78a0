"""Tasks of one tower alone, whose items have one label each: what CIFAR and GLUE share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..config import BridgeTowerConfig
from ..experiment import DataSettings, Experiment, SettingsError
from .base import Batch, Labels, Task
from .metrics import Metrics, num_correct

__all__ = ["SingleTowerTask"]


class SingleTowerTask(Task):
    """Reads one data set of its own form, and measures loss and accuracy."""

    def check_datasets(self, settings: DataSettings, data_root: str | None = None) -> None:
        """Refuse several data sets; the dataset itself refuses unknown ones."""
        if len(settings.datasets) != 1:
            raise SettingsError(f"data.datasets={list(settings.datasets)}: the task {self.name} reads one data set; "
                                "name one")

    def labels(self, experiment: Experiment, datasets: Mapping[str, Any], data_root: str,
               trained: BridgeTowerConfig | None, source: str) -> Labels:
        """As many classes as the data set has; they have no names."""
        return Labels(next(iter(datasets.values())).num_labels)

    def update(self, metrics: Metrics, batch: Batch, output: Any, tables: Sequence[str] = ()) -> None:
        """Add the loss, and the accuracy unless the labels are numbers; nothing where samples have no labels."""
        if "labels" not in batch:
            return
        labels = batch["labels"]
        metrics.add_mean(f"{self.name}_loss", output.loss, labels.shape[0])
        if output.logits.shape[1] > 1:
            metrics.add(f"{self.name}_accuracy", num_correct(output.logits, labels), labels.shape[0])
