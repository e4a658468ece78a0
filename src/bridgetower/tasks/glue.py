"""The GLUE tasks with the text tower alone: official metrics and submission files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from ..datasets import GlueDataset
from ..datasets.glue_tasks import GlueTask
from ..experiment import Experiment
from ..files import write_text
from ..modules import BridgeTowerForSequenceClassification
from .base import Batch
from .predictions import PredictionSource
from .single_tower_tasks import SingleTowerTask

__all__ = ["METRICS", "Glue", "evaluate_glue", "pearson", "spearman", "submission"]

Metric = Callable[[np.ndarray, np.ndarray], float]


def pearson(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Linear correlation, (Q,) and (Q,); 0 when one of them is constant, where the coefficient is not defined."""
    if np.ptp(labels) == 0 or np.ptp(predictions) == 0:
        return 0.0
    return float(np.corrcoef(labels, predictions)[0, 1])


def spearman(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Correlation of the ranks, (Q,) and (Q,); 0 when one of them is constant."""
    return pearson(rankdata(labels), rankdata(predictions))


_F1: Metric = partial(f1_score, zero_division=0.0)
_ACCURACY: Mapping[str, Metric] = {"accuracy": accuracy_score}
#: Metrics of each task, (labels, predictions) -> value; the last one selects the best checkpoint.
METRICS: Mapping[str, Mapping[str, Metric]] = {
    "cola": {"matthews": matthews_corrcoef}, "sst2": _ACCURACY, "mrpc": {**_ACCURACY, "f1": _F1},
    "qqp": {**_ACCURACY, "f1": _F1}, "stsb": {"pearson": pearson, "spearman": spearman}, "mnli": _ACCURACY,
    "qnli": _ACCURACY, "rte": _ACCURACY, "wnli": _ACCURACY}


class Glue(SingleTowerTask):
    """Classes of sentences and pairs of sentences, or their similarity (STS-B)."""

    name = "glue"
    model = BridgeTowerForSequenceClassification
    selected_by = ("glue_score",)
    reads_images = False
    prediction_file = ""
    scores_predictions = True

    def open_split(self, experiment: Experiment, split: Any, data_root: str, seed: int) -> GlueDataset:
        """Open a split; nothing is drawn at random."""
        return GlueDataset(experiment.data.datasets[0], split, data_root, experiment.data.debug_limit)

    def collect(self, batch: Batch, output: Any) -> dict[str, np.ndarray]:
        """Samples, their part of the split, their scores, and their labels where there are any."""
        columns = {name: batch[name].numpy() for name in ("sample_index", "table_index", "labels") if name in batch}
        return columns | {"scores": output.logits.astype("float32").numpy()}

    def score(self, columns: dict[str, np.ndarray], dataset: GlueDataset) -> dict[str, float]:
        """The official metrics; nothing without labels."""
        if "labels" not in columns:
            return {}
        return evaluate_glue(dataset.task, columns["scores"], columns["labels"], columns["table_index"])

    def write(self, output: Path, columns: dict[str, np.ndarray], source: PredictionSource) -> None:
        """Write the files of the evaluation server, for instance `CoLA.tsv`; MNLI has two."""
        task, order = source.dataset.task, np.argsort(columns["sample_index"])
        scores, tables = columns["scores"][order], columns["table_index"][order]
        for index, file in enumerate(task.files):
            write_text(output / file, submission(task, scores[tables == index]))


def evaluate_glue(task: GlueTask, scores: np.ndarray, labels: np.ndarray, table_index: np.ndarray
                  ) -> dict[str, float]:
    """All metrics, of each part by itself, and `glue_score`, the mean of the selecting metric over the parts.

    Args:
        task: says which metrics and parts.
        scores: (Q, C) logits, or (Q, 1) numbers.
        labels: (Q,).
        table_index: (Q,) the part of each sample.
    """
    predicted, selecting = task.predictions(scores), []
    result: dict[str, float] = {}
    for index, part in enumerate(task.parts or ("",)):
        rows = table_index == index
        if not rows.any():
            continue
        values = {name: float(metric(labels[rows], predicted[rows])) for name, metric in METRICS[task.name].items()}
        selecting.append(list(values.values())[-1])
        result |= {f"{part}_{name}" if part else name: value for name, value in values.items()}
    return result | {"glue_score": float(np.mean(selecting)) if selecting else 0.0}


def submission(task: GlueTask, scores: np.ndarray) -> str:
    """The content of a submission file for the scores (Q, C) of one part, in the order of its rows."""
    lines = ["index\tprediction"]
    for row, value in enumerate(task.predictions(scores)):
        if task.num_labels == 1:  # the evaluation server takes similarities from 0 to 5
            text = f"{min(max(float(value), 0.0), 5.0):.3f}"
        else:
            text = task.classes[value] if task.classes else str(value)
        lines.append(f"{row}\t{text}")
    return "\n".join(lines) + "\n"
