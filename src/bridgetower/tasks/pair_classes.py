"""Classes of image-text pairs: visual entailment, and NLVR2 with its two images."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import paddle.nn.functional as F

from ..modules import BridgeTowerForImagesAndTextClassification, BridgeTowerForVisualEntailment
from .base import Batch, Task
from .metrics import Metrics
from .predictions import PredictionSource, write_class_predictions

__all__ = ["NLVR2", "VisualEntailment"]

logger = logging.getLogger(__name__)


class _PairClasses(Task):
    """Sorts pairs into classes and selects by the dev table; each table is measured by itself."""

    shares_images = True

    def update(self, metrics: Metrics, batch: Batch, output: Any, tables: Sequence[str] = ()) -> None:
        """Add loss and accuracy; in evaluation those of each table, for instance `snli_dev_accuracy`."""
        labels, logits = batch["labels"], output.logits.astype("float32")
        losses = F.cross_entropy(logits, labels, reduction="none").flatten()
        right = (logits.argmax(axis=-1) == labels).astype("float32")
        if not tables:
            metrics.add(f"{self.name}_loss", losses.sum(), labels.shape[0])
            metrics.add(f"{self.name}_accuracy", right.sum(), labels.shape[0])
            return
        table_index = batch["table_index"].numpy()
        for index in np.unique(table_index):
            rows = np.flatnonzero(table_index == index)
            metrics.add(f"{tables[index]}_loss", losses.numpy()[rows].sum(), len(rows))
            metrics.add(f"{tables[index]}_accuracy", right.numpy()[rows].sum(), len(rows))

    def collect(self, batch: Batch, output: Any) -> dict[str, np.ndarray]:
        """Samples and the probability of each class."""
        return {"sample_index": batch["sample_index"].numpy(),
                "scores": F.softmax(output.logits.astype("float32"), axis=-1).numpy()}

    def write(self, output: Path, columns: dict[str, np.ndarray], source: PredictionSource) -> None:
        """Write one line of CSV per text."""
        write_class_predictions(output, columns, source, self.classes)


class VisualEntailment(_PairClasses):
    """SNLI-VE: does an image contradict a text, say nothing about it, or entail it?"""

    name = "snli"
    model = BridgeTowerForVisualEntailment
    selected_by = ("snli_dev_accuracy",)
    data_kind = "snli"
    classes = ("contradiction", "neutral", "entailment")
    prediction_file = "snli_predictions.csv"


class NLVR2(_PairClasses):
    """NLVR2: is a text true of two images?"""

    name = "nlvr2"
    model = BridgeTowerForImagesAndTextClassification
    selected_by = ("nlvr2_dev_accuracy",)
    data_kind = "nlvr2"
    classes = ("False", "True")
    prediction_file = "nlvr2_predictions.csv"

    def write(self, output: Path, columns: dict[str, np.ndarray], source: PredictionSource) -> None:
        """Write the file that NLVR2's evaluation script reads, which needs an identifier of each sentence."""
        identifiers = write_class_predictions(output, columns, source, self.classes)
        if any(identifiers) and len(set(identifiers)) < len(identifiers):
            logger.warning("%s: several texts have one identifier, as the tables name image pairs only; for NLVR2's "
                           "evaluation script make the tables again with python -m bridgetower.preparation nlvr2",
                           output)
