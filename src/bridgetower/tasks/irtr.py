"""Retrieval between images and texts, trained by ranking false captions or by ITC with hard negatives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..experiment import TaskSettings
from ..modules import BridgeTowerForContrastiveRetrieval, BridgeTowerForRetrievalRanking
from .base import Evaluation
from .predictions import PredictionSource, write_recall_table
from .pretrain import PairTask
from .retrieval import gallery_views, retrieve

__all__ = ["ContrastiveRetrieval", "RankingRetrieval"]


class _Retrieval(PairTask):
    """Is measured by the recalls of a whole gallery, unless `task.recall` is false."""

    prediction_file = "retrieval.json"

    def candidates(self, settings: TaskSettings) -> int | None:
        """How many candidates ITC picks for the matching head, see `retrieve`; None scores all pairs."""
        return None

    def evaluate(self, evaluation: Evaluation) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Recalls in percent, their means, and RSUM, the sum of the six recalls."""
        settings = evaluation.settings
        if not (evaluation.with_predictions or settings.recall):
            return super().evaluate(evaluation)
        images, texts = gallery_views(evaluation.dataset)
        result = retrieve(evaluation.model, evaluation.batches(images), evaluation.batches(texts),
                          self.candidates(settings), settings.pairs_per_pass)
        values = {name: 100 * value for name, value in result.recalls().items()}
        values |= {"rsum": sum(value for name, value in values.items() if "_r" in name)}
        return values, {name: np.array([value]) for name, value in values.items()}

    def selection_value(self, metrics: Mapping[str, float]) -> float:
        """The mean recall where it was measured."""
        return metrics["r_mean"] / 100 if "r_mean" in metrics else super().selection_value(metrics)

    def write(self, output: Path, columns: dict[str, np.ndarray], source: PredictionSource) -> None:
        """Write the table of recalls."""
        write_recall_table(output, columns)


class RankingRetrieval(_Retrieval):
    """The true caption of an image is ranked against false ones, and every pair of a gallery is scored."""

    name = "irtr"
    model = BridgeTowerForRetrievalRanking
    selected_by = ("rank_loss",)

    def objectives(self, settings: TaskSettings) -> frozenset[str]:
        """ITM is learned along."""
        return frozenset({"itm"})

    def num_false_texts(self, settings: TaskSettings) -> int:
        """Those of the experiment."""
        return settings.num_false_texts

    def selection_value(self, metrics: Mapping[str, float]) -> float:
        """The mean recall, or the ranking loss with its sign changed, as lower is better."""
        return super().selection_value(metrics) if "r_mean" in metrics else -metrics.get("rank_loss", 0.0)


class ContrastiveRetrieval(_Retrieval):
    """ITC and ITM with hard negatives; ITC picks the candidates that ITM scores."""

    name = "irtr_itm_itc"
    model = BridgeTowerForContrastiveRetrieval
    selected_by = ("itm_accuracy",)

    def candidates(self, settings: TaskSettings) -> int | None:
        """`task.k_test`."""
        return settings.k_test
