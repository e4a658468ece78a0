"""The GLUE tasks: their fields, official metrics and submission files. Needs neither Paddle nor files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..known import nearest

__all__ = ["GLUE", "GlueTask", "glue_task"]

Metric = Callable[[np.ndarray, np.ndarray], float]


def accuracy(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Share of equal entries, (Q,) and (Q,)."""
    return float((predictions == labels).mean())


def f1(predictions: np.ndarray, labels: np.ndarray) -> float:
    """F1 of class 1, (Q,) and (Q,); 0 when it neither occurs nor is predicted."""
    hits = float(((predictions == 1) & (labels == 1)).sum())
    total = float((predictions == 1).sum() + (labels == 1).sum())
    return 2 * hits / total if total else 0.0


def pearson(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Linear correlation, (Q,) and (Q,); 0 when one of them is constant."""
    x, y = (np.asarray(values, np.float64) - np.mean(values, dtype=np.float64) for values in (predictions, labels))
    scale = np.sqrt((x ** 2).sum() * (y ** 2).sum())
    return float((x * y).sum() / scale) if scale else 0.0


def spearman(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Correlation of the ranks, equal values sharing their mean rank, (Q,) and (Q,)."""
    return pearson(_ranks(predictions), _ranks(labels))


def matthews(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Correlation of two classes, (Q,) and (Q,) of zeros and ones; 0 when one of them is constant."""
    return pearson(predictions, labels)


def _ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((last - counts + 1 + last) / 2)[inverse.reshape(-1)]


@dataclass(frozen=True)
class GlueTask:
    """One task.

    Attributes:
        fields: columns of the sentence, or of both.
        num_labels: classes; 1 when the label is a number.
        metrics: by name; the last one selects the best checkpoint.
        files: submission file of each part of the test split.
        parts: what the validation and test splits are divided in; empty: they are not.
        classes: names of the classes in submissions; empty: their numbers.
    """

    fields: tuple[str, ...]
    num_labels: int
    metrics: dict[str, Metric]
    files: tuple[str, ...]
    parts: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()

    def predictions(self, scores: np.ndarray) -> np.ndarray:
        """What the scores (Q, C) say: a class (Q,) int64, or the number itself (Q,) float32."""
        return scores[:, 0] if self.num_labels == 1 else scores.argmax(axis=1)

    def evaluate(self, scores: np.ndarray, labels: np.ndarray, table_index: np.ndarray) -> dict[str, float]:
        """All metrics, of each part apart, and `glue_score`, the mean of the selecting metric over the parts."""
        predicted, selecting = self.predictions(scores), []
        result: dict[str, float] = {}
        for index, part in enumerate(self.parts or ("",)):
            rows = table_index == index
            if not rows.any():
                continue
            values = {name: metric(predicted[rows], labels[rows]) for name, metric in self.metrics.items()}
            selecting.append(list(values.values())[-1])
            result |= {f"{part}_{name}" if part else name: value for name, value in values.items()}
        return result | {"glue_score": float(np.mean(selecting)) if selecting else 0.0}

    def submission(self, scores: np.ndarray) -> str:
        """The rows of a submission file for the scores (Q, C) of one part, in the order of its rows."""
        lines = ["index\tprediction"]
        for row, value in enumerate(self.predictions(scores)):
            if self.num_labels == 1:  # the evaluation server takes similarities from 0 to 5
                text = f"{min(max(float(value), 0.0), 5.0):.3f}"
            else:
                text = self.classes[value] if self.classes else str(value)
            lines.append(f"{row}\t{text}")
        return "\n".join(lines) + "\n"


_ENTAILMENT = ("entailment", "not_entailment")
_TWO = ("sentence1", "sentence2")
GLUE: dict[str, GlueTask] = {
    "cola": GlueTask(("sentence",), 2, {"matthews": matthews}, ("CoLA.tsv",)),
    "sst2": GlueTask(("sentence",), 2, {"accuracy": accuracy}, ("SST-2.tsv",)),
    "mrpc": GlueTask(_TWO, 2, {"accuracy": accuracy, "f1": f1}, ("MRPC.tsv",)),
    "qqp": GlueTask(("question1", "question2"), 2, {"accuracy": accuracy, "f1": f1}, ("QQP.tsv",)),
    "stsb": GlueTask(_TWO, 1, {"pearson": pearson, "spearman": spearman}, ("STS-B.tsv",)),
    "mnli": GlueTask(("premise", "hypothesis"), 3, {"accuracy": accuracy}, ("MNLI-m.tsv", "MNLI-mm.tsv"),
                     ("matched", "mismatched"), ("entailment", "neutral", "contradiction")),
    "qnli": GlueTask(("question", "sentence"), 2, {"accuracy": accuracy}, ("QNLI.tsv",), classes=_ENTAILMENT),
    "rte": GlueTask(_TWO, 2, {"accuracy": accuracy}, ("RTE.tsv",), classes=_ENTAILMENT),
    "wnli": GlueTask(_TWO, 2, {"accuracy": accuracy}, ("WNLI.tsv",)),
}


def glue_task(name: str) -> GlueTask:
    """Look up a task.

    Raises:
        KeyError: an unknown name, with the nearest known one.
    """
    if name not in GLUE:
        raise KeyError(f"unknown GLUE task {name!r}{nearest(name, GLUE, cutoff=0.0)} Known: {', '.join(GLUE)}")
    return GLUE[name]
