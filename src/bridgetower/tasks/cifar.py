"""CIFAR-10 and CIFAR-100 with the image tower alone."""

from __future__ import annotations

from typing import Any

from ..datasets import CifarDataset
from ..experiment import Experiment, TaskSettings
from ..modules import BridgeTowerForImageClassification
from .single_tower_tasks import SingleTowerTask

__all__ = ["Cifar"]


class Cifar(SingleTowerTask):
    """Classes of small pictures."""

    name = "cifar"
    model = BridgeTowerForImageClassification
    selected_by = ("cifar_accuracy",)
    reads_text = False

    def check(self, experiment: Experiment) -> None:
        """Nothing is refused: the classifier may stay at its random start, as in the original."""

    def freeze(self, model: Any, settings: TaskSettings) -> None:
        """Freeze the classifier unless it is to be trained."""
        for parameter in model.classifier.parameters():
            parameter.stop_gradient = not settings.train_classifier

    def open_split(self, experiment: Experiment, split: Any, data_root: str, seed: int) -> CifarDataset:
        """Open a split; nothing is drawn at random."""
        settings = experiment.data
        return CifarDataset(settings.datasets[0], split, data_root, settings.image_size, settings.eval_transform,
                            settings.debug_limit, experiment.num_channels)
