"""The tasks: which model learns, what its batches need, how it is measured and what it writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import paddle.nn.functional as F
from paddle import Tensor, nn

from ..config import BridgeTowerConfig
from ..datasets import DATASETS, CifarDataset, GlueDataset, ImageTextDataset, LabelledDataset
from ..datasets.specs import dataset_spec
from ..experiment import DataSettings, SettingsError, TaskSettings
from ..known import nearest
from ..modules import (
    BridgeTowerForContrastiveRetrieval,
    BridgeTowerForImageClassification,
    BridgeTowerForImagesAndTextClassification,
    BridgeTowerForPreTraining,
    BridgeTowerForQuestionAnswering,
    BridgeTowerForRetrievalRanking,
    BridgeTowerForSequenceClassification,
    BridgeTowerForVisualEntailment,
    BridgeTowerPretrainedModel,
)
from .metrics import Metrics, num_correct, vqa_scores
from .predictions import (
    PredictionSource,
    write_class_predictions,
    write_glue_submission,
    write_recall_table,
    write_vqa_submission,
)
from .retrieval import gallery_views, retrieve

__all__ = ["TASKS", "Task", "get_task", "task_model_config"]

#: Turns one batch and its output into {column: values} for the predictions.
Collect = Callable[[Mapping[str, Tensor], Any], dict[str, np.ndarray]]
#: Makes batches of an evaluation dataset, each sample once over all processes.
MakeLoader = Callable[[ImageTextDataset], Any]


class Update(Protocol):
    """Adds what one batch says to the metrics."""

    def __call__(self, metrics: Metrics, batch: Mapping[str, Tensor], output: Any, tables: Sequence[str] = ()) -> None:
        """Add to `metrics`; in evaluation `tables` are the names that `table_index` of the batch points into."""


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        model: the model class that learns it.
        update: see `Update`.
        best: the metric that selects the best checkpoint, higher is better; a sum when it names several.
        data_kind: what its data sets must hold (see `DatasetSpec`); None: `open_split` knows.
        collect: see `Collect`; None when there is nothing to collect from batches.
        write: writes the predictions of all processes, (file, columns, what they are about); None: it has none.
        prediction_file: name of that file in the output folder; empty: the task writes several into the folder.
        share_images: whether evaluation runs each image of a batch through its tower once.
        reads_text, reads_images: what a sample holds; without text there is no tokenizer.
        classes: names of the classes, where they are always the same.
        draws: what else the batches hold, `mlm` or `itm`; None: as `settings.objectives` says.
        ranks_false_texts: whether a sample holds false captions.
        measure: measures a dataset as a whole instead of batch by batch, (model, dataset, loader of a dataset,
            settings); all processes take part and get the same metrics.
        score: metrics of all that was collected from a dataset, (columns, dataset), where they are no means of samples.
        open_split: opens the data of a task whose samples are no pairs of image and text, (data settings, split,
            folder of the data).
    """

    model: type[BridgeTowerPretrainedModel]
    update: Update
    best: tuple[str, ...]
    data_kind: str | None
    collect: Collect | None = None
    write: Callable[[Path, dict[str, np.ndarray], PredictionSource], None] | None = None
    prediction_file: str = ""
    share_images: bool = False
    reads_text: bool = True
    reads_images: bool = True
    classes: tuple[str, ...] = ()
    draws: frozenset[str] | None = frozenset()
    ranks_false_texts: bool = False
    measure: Callable[[nn.Layer, ImageTextDataset, MakeLoader, TaskSettings], dict[str, float]] | None = None
    score: Callable[[dict[str, np.ndarray], Any], dict[str, float]] | None = None
    open_split: Callable[[DataSettings, Any, str], LabelledDataset] | None = None

    def objectives(self, settings: TaskSettings) -> frozenset[str]:
        """The objectives that the data must serve: `mlm` masks words, `itm` draws false images."""
        return frozenset(settings.objectives) if self.draws is None else self.draws

    def check_datasets(self, settings: DataSettings) -> None:
        """Refuse data sets of another kind than the task reads.

        Raises:
            SettingsError: names the data set and those that fit.
            KeyError: an unknown data set.
        """
        for name in settings.datasets if self.data_kind else ():
            kind = dataset_spec(name).kind
            if kind != self.data_kind:
                fitting = ", ".join(key for key, spec in DATASETS.items() if spec.kind == self.data_kind)
                raise SettingsError(f"data.datasets has {name!r}, which holds {kind} samples, but the task reads "
                                    f"{self.data_kind} samples; use any of {fitting}")

    def model_settings(self, settings: TaskSettings, num_labels: int | None) -> dict[str, Any]:
        """The model settings that follow from the task; those that its model class requires win over them."""
        changes: dict[str, Any] = {"objectives": list(settings.objectives)}
        changes["head_hidden_scale"] = settings.head_hidden_scale
        if num_labels is not None:
            changes["num_labels"] = num_labels
        return changes | self.model.required_settings

    def selection_value(self, metrics: Mapping[str, float]) -> float:
        """The value that selects the best checkpoint; a `rank_loss`, of which lower is better, counts negatively."""
        if self.measure is not None and "r_mean" in metrics:
            return metrics["r_mean"] / 100
        return sum(-metrics.get(name, 0.0) if name == "rank_loss" else metrics.get(name, 0.0) for name in self.best)


def _update_pairs(metrics: Metrics, batch: Mapping[str, Tensor], output: Any, tables: Sequence[str] = ()) -> None:
    """Losses and accuracies of pre-training and retrieval, whichever the output has."""
    rows = batch["input_ids"].shape[0]
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
            metrics.add_mean(name, output[name], rows)


def _update_vqa(metrics: Metrics, batch: Mapping[str, Tensor], output: Any, tables: Sequence[str] = ()) -> None:
    if "labels" not in batch:
        return
    rows = batch["labels"].shape[0]
    metrics.add_mean("vqa_loss", output.loss, rows)
    metrics.add("vqa_score", vqa_scores(output.logits, batch["labels"]).sum(), rows)


def _update_classes(name: str, metrics: Metrics, batch: Mapping[str, Tensor], output: Any, tables: Sequence[str] = ()
                    ) -> None:
    """Loss and accuracy; in evaluation of each table apart, for instance `snli_dev_accuracy`."""
    labels, logits = batch["labels"], output.logits.astype("float32")
    losses = F.cross_entropy(logits, labels, reduction="none").flatten()
    table_index = batch["table_index"].numpy()
    for index in np.unique(table_index) if tables else (None,):
        rows = np.arange(len(table_index)) if index is None else np.flatnonzero(table_index == index)
        label = name if index is None else tables[index]
        metrics.add(f"{label}_loss", losses.numpy()[rows].sum(), len(rows))
        metrics.add(f"{label}_accuracy", (logits.argmax(axis=-1) == labels).numpy()[rows].sum(), len(rows))


def _update_labelled(name: str, metrics: Metrics, batch: Mapping[str, Tensor], output: Any, tables: Sequence[str] = ()
                     ) -> None:
    """Loss, and accuracy unless the labels are numbers; nothing where the samples have no labels."""
    if "labels" not in batch:
        return
    labels = batch["labels"]
    metrics.add_mean(f"{name}_loss", output.loss, labels.shape[0])
    if output.logits.shape[1] > 1:
        metrics.add(f"{name}_accuracy", num_correct(output.logits, labels), labels.shape[0])


def _collect_labelled(batch: Mapping[str, Tensor], output: Any) -> dict[str, np.ndarray]:
    columns = {name: batch[name].numpy() for name in ("sample_index", "table_index", "labels") if name in batch}
    return columns | {"scores": output.logits.astype("float32").numpy()}


def _score_glue(columns: dict[str, np.ndarray], dataset: GlueDataset) -> dict[str, float]:
    if "labels" not in columns:
        return {}
    return dataset.task.evaluate(columns["scores"], columns["labels"], columns["table_index"])


def _single_dataset(settings: DataSettings, task: str) -> str:
    if len(settings.datasets) != 1:
        raise SettingsError(f"data.datasets={list(settings.datasets)}: the task {task} reads one data set; name one")
    return settings.datasets[0]


def _open_cifar(settings: DataSettings, split: Any, data_root: str) -> CifarDataset:
    return CifarDataset(_single_dataset(settings, "cifar"), split, data_root, settings.image_size,
                        settings.eval_transform, settings.debug_limit)


def _open_glue(settings: DataSettings, split: Any, data_root: str) -> GlueDataset:
    return GlueDataset(_single_dataset(settings, "glue"), split, data_root, settings.debug_limit)


def _collect_vqa(batch: Mapping[str, Tensor], output: Any) -> dict[str, np.ndarray]:
    return {"question_id": batch["question_ids"].numpy(), "answer_id": output.logits.argmax(axis=-1).numpy()}


def _collect_classes(batch: Mapping[str, Tensor], output: Any) -> dict[str, np.ndarray]:
    return {"sample_index": batch["sample_index"].numpy(),
            "scores": F.softmax(output.logits.astype("float32"), axis=-1).numpy()}


def _measure_retrieval(model: Any, dataset: ImageTextDataset, make_loader: MakeLoader, settings: TaskSettings,
                       candidates: Callable[[TaskSettings], int | None]) -> dict[str, float]:
    """Recalls in percent, their means, and RSUM, the sum of the six recalls."""
    images, texts = gallery_views(dataset)
    result = retrieve(model, make_loader(images), make_loader(texts), candidates(settings), settings.pairs_per_pass)
    values = {name: 100 * value for name, value in result.recalls().items()}
    return values | {"rsum": sum(value for name, value in values.items() if "_r" in name)}


def _classes(name: str, model: type[BridgeTowerPretrainedModel], classes: tuple[str, ...]) -> Task:
    """A task that sorts pairs into classes and selects by its dev table."""
    return Task(model, partial(_update_classes, name), (f"{name}_dev_accuracy",), name, _collect_classes,
                partial(write_class_predictions, classes=classes), f"{name}_predictions.csv", share_images=True,
                classes=classes)


TASKS: dict[str, Task] = {
    "pretrain": Task(BridgeTowerForPreTraining, _update_pairs, ("mlm_accuracy", "itm_accuracy"), "caption",
                     draws=None),
    "vqa": Task(BridgeTowerForQuestionAnswering, _update_vqa, ("vqa_score",), "vqa", _collect_vqa,
                write_vqa_submission, "vqa_submit.json", share_images=True),
    "snli": _classes("snli", BridgeTowerForVisualEntailment, ("contradiction", "neutral", "entailment")),
    "nlvr2": _classes("nlvr2", BridgeTowerForImagesAndTextClassification, ("False", "True")),
    "irtr": Task(BridgeTowerForRetrievalRanking, _update_pairs, ("rank_loss",), "caption", write=write_recall_table,
                 prediction_file="retrieval.json", draws=frozenset({"itm"}), ranks_false_texts=True,
                 measure=partial(_measure_retrieval, candidates=lambda settings: None)),
    "cifar": Task(BridgeTowerForImageClassification, partial(_update_labelled, "cifar"), ("cifar_accuracy",), None,
                  reads_text=False, open_split=_open_cifar),
    "glue": Task(BridgeTowerForSequenceClassification, partial(_update_labelled, "glue"), ("glue_score",), None,
                 _collect_labelled, write_glue_submission, reads_images=False, score=_score_glue,
                 open_split=_open_glue),
    "irtr_itm_itc": Task(BridgeTowerForContrastiveRetrieval, _update_pairs, ("itm_accuracy",), "caption",
                         write=write_recall_table, prediction_file="retrieval.json",
                         measure=partial(_measure_retrieval, candidates=lambda settings: settings.k_test)),
}


def get_task(settings: TaskSettings) -> Task:
    """The task of an experiment.

    Raises:
        SettingsError: when there is no task of that name.
    """
    if settings.name not in TASKS:
        raise SettingsError(f"task.name={settings.name!r} is unknown{nearest(settings.name, TASKS)} "
                            f"Tasks are {', '.join(TASKS)}")
    return TASKS[settings.name]


def task_model_config(base: BridgeTowerConfig, task: Task, settings: TaskSettings, num_labels: int | None
                      ) -> BridgeTowerConfig:
    """The configuration of the task's model, from that of the bare model."""
    return base.replace(**task.model_settings(settings, num_labels))
