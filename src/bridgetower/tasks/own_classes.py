"""Classes of a user's own pictures, texts, or both, with the model that fits what the tables hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import paddle.nn.functional as F
from sklearn.metrics import confusion_matrix, f1_score, roc_auc_score

from ..config import BridgeTowerConfig
from ..datasets.source import Mode
from ..datasets.specs import DatasetSpec, dataset_spec
from ..experiment import DataSettings, Experiment, SettingsError
from ..files import write_json
from ..modules import (
    BridgeTowerForImageAndTextClassification,
    BridgeTowerForImageClassification,
    BridgeTowerForImagesAndTextClassification,
    BridgeTowerForSequenceClassification,
    BridgeTowerPretrainedModel,
)
from .base import Batch, Labels, Task
from .metrics import Metrics, num_correct
from .predictions import PredictionSource, write_class_predictions

__all__ = ["OwnClasses", "OwnPairClasses"]

#: What a sample consists of -> how data sets make it, and the model that reads it.
_READERS: dict[str, tuple[Mode, type[BridgeTowerPretrainedModel]]] = {
    "image+text": ("pairs", BridgeTowerForImageAndTextClassification),
    "image": ("image_only", BridgeTowerForImageClassification),
    "text": ("text_only", BridgeTowerForSequenceClassification),
}


class OwnClasses(Task):
    """Classes of pictures, of texts, or of pictures with a text, named by the description of the tables.

    Attributes:
        kinds: what its data sets may hold, see `DatasetSpec`.
    """

    name: ClassVar[str] = "classify"
    kinds: ClassVar[tuple[str, ...]] = ("classify", "snli")
    model = BridgeTowerForImageAndTextClassification
    selected_by: ClassVar[tuple[str, ...]] = ("classify_accuracy",)
    shares_images = True
    prediction_file = "predictions.csv"
    scores_predictions = True

    def for_data(self, experiment: Experiment, data_root: str) -> OwnClasses:
        """The task with the classes of the data sets, and the model that reads their samples.

        Raises:
            SettingsError: data sets without classes, or of different ones.
            KeyError: an unknown data set.
        """
        self.check_datasets(experiment.data, data_root)
        specs = [dataset_spec(name, data_root) for name in experiment.data.datasets]
        first, task = specs[0], type(self)()
        for other in specs[1:]:
            if (other.class_names, other.modality) != (first.class_names, first.modality):
                raise SettingsError(f"data.datasets: {other.key} has {_describe(other)}, but {first.key} has "
                                    f"{_describe(first)}; make them with the same columns and --classes")
        task.classes = first.class_names
        if not first.holds_pairs:
            task.mode, task.model = _READERS[first.modality]
        task.reads_images, task.reads_text = task.mode != "text_only", task.mode != "image_only"
        task.shares_images = task.mode == "pairs"
        return task

    def check_datasets(self, settings: DataSettings, data_root: str | None = None) -> None:
        """Refuse data sets without classes, or with another number of pictures per sample.

        Raises:
            SettingsError: names the data set and what to do.
            KeyError: an unknown data set.
        """
        for name in settings.datasets:
            kind = dataset_spec(name, data_root).kind
            if kind not in self.kinds:
                raise SettingsError(f"data.datasets has {name!r}, which holds {kind} samples, but the task {self.name} "
                                    f"reads {' and '.join(self.kinds)} samples; make tables of them with python -m "
                                    f"bridgetower.preparation table --task {self.name}")

    def labels(self, experiment: Experiment, datasets: Mapping[str, Any], data_root: str,
               trained: BridgeTowerConfig | None, source: str) -> Labels:
        """The classes of the data sets.

        Raises:
            SettingsError: without training, the checkpoint has learned other classes.
        """
        known = {} if trained is None else trained.label_names
        if known and "train" not in datasets and known != dict(enumerate(self.classes)):
            raise SettingsError(f"{source} was trained with the classes {', '.join(known.values())}, but the tables of "
                                f"{data_root} have {', '.join(self.classes)}; make them again with --classes in the "
                                "order of the checkpoint")
        return super().labels(experiment, datasets, data_root, trained, source)

    def update(self, metrics: Metrics, batch: Batch, output: Any, tables: Sequence[str] = ()) -> None:
        """Add loss and accuracy."""
        labels = batch["labels"]
        metrics.add_mean(f"{self.name}_loss", output.loss, labels.shape[0])
        metrics.add(f"{self.name}_accuracy", num_correct(output.logits, labels), labels.shape[0])

    def collect(self, batch: Batch, output: Any) -> dict[str, np.ndarray]:
        """Samples, their classes, and the probability of each class."""
        return {"sample_index": batch["sample_index"].numpy(), "labels": batch["labels"].numpy(),
                "scores": F.softmax(output.logits.astype("float32"), axis=-1).numpy()}

    def score(self, columns: dict[str, np.ndarray], dataset: Any) -> dict[str, float]:
        """Macro F1 over the classes that occur; of two classes also the area under the ROC curve, where both occur."""
        labels, scores = columns["labels"], columns["scores"]
        values = {"macro_f1": f1_score(labels, scores.argmax(axis=1), average="macro", zero_division=0.0)}
        if scores.shape[1] == 2 and len(np.unique(labels)) == 2:
            values["auc"] = roc_auc_score(labels, scores[:, 1])
        return {f"{self.name}_{name}": float(value) for name, value in values.items()}

    def write_details(self, folder: Path, prefix: str, columns: dict[str, np.ndarray]) -> None:
        """Write the confusion matrix, which `python -m bridgetower.report` draws.

        Its rows are the right classes, its columns the predicted ones.
        """
        counts = confusion_matrix(columns["labels"], columns["scores"].argmax(axis=1),
                                  labels=range(len(self.classes)))
        write_json(folder / f"{prefix}_confusion.json", {"classes": list(self.classes), "counts": counts.tolist()})

    def write(self, output: Path, columns: dict[str, np.ndarray], source: PredictionSource) -> None:
        """Write one line of CSV per sample."""
        write_class_predictions(output, columns, source, self.classes)


class OwnPairClasses(OwnClasses):
    """Classes of pairs of pictures with a text."""

    name = "pair_classify"
    kinds = ("pair_classify", "nlvr2")
    model = BridgeTowerForImagesAndTextClassification
    selected_by = ("pair_classify_accuracy",)


def _describe(spec: DatasetSpec) -> str:
    return f"{len(spec.class_names)} classes ({', '.join(spec.class_names)}) of {spec.modality}"
