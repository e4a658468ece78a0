"""Visual question answering: a choice among the answers of the training data."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..config import BridgeTowerConfig
from ..datasets import AnswerVocabulary, ArrowTable, DatasetOptions, build_dataset
from ..datasets.specs import Split
from ..datasets.table_values import check_answer_labels
from ..experiment import Experiment, SettingsError
from ..modules import BridgeTowerForQuestionAnswering
from .base import Batch, Labels, Task
from .metrics import Metrics, vqa_scores
from .predictions import PredictionSource, write_vqa_submission

__all__ = ["VisualQuestionAnswering"]

logger = logging.getLogger(__name__)

_LABELLED: tuple[Split, ...] = ("train", "val")


class VisualQuestionAnswering(Task):
    """VQAv2 and data sets like it, with soft scores of several right answers."""

    name = "vqa"
    model = BridgeTowerForQuestionAnswering
    selected_by = ("vqa_score",)
    data_kind = "vqa"
    shares_images = True
    prediction_file = "vqa_submit.json"

    def labels(self, experiment: Experiment, datasets: Mapping[str, Any], data_root: str,
               trained: BridgeTowerConfig | None, source: str) -> Labels:
        """The answers: without training those that the checkpoint names, else those in the tables.

        Raises:
            SettingsError: the tables number the answers in another way than the checkpoint.
            FileNotFoundError: neither the checkpoint nor the tables have them.
        """
        if trained is not None and trained.label_names and "train" not in datasets:
            _check_same_answers(trained.label_names, datasets, data_root, source)
            return Labels(trained.num_labels, AnswerVocabulary(trained.label_names))
        settings = experiment.data
        options = DatasetOptions(image_size=settings.image_size, transform=settings.eval_transform)
        try:
            needed = [datasets[split] if split in datasets
                      else build_dataset(settings.datasets, split, data_root, options) for split in _LABELLED]
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{error}. The tables of training and validation are read for the answers, whose "
                                    "names the checkpoint does not hold") from None
        answers = AnswerVocabulary.from_datasets(*needed)
        count = experiment.task.num_labels or answers.num_answers
        for table in (table for dataset in needed for source in dataset.sources for table in source.tables):
            if isinstance(table, ArrowTable):
                check_answer_labels(table, count)
        if experiment.task.num_labels and answers.num_answers < experiment.task.num_labels:
            logger.warning("the tables have %d answers, the classifier %d as task.num_labels says; the others are "
                           "never right", answers.num_answers, experiment.task.num_labels)
        return Labels(count, answers)

    def update(self, metrics: Metrics, batch: Batch, output: Any, tables: Sequence[str] = ()) -> None:
        """Add the loss and the score of the chosen answers; nothing for questions without answers."""
        if "labels" in batch:
            rows = batch["labels"].shape[0]
            metrics.add_mean("vqa_loss", output.loss, rows)
            metrics.add("vqa_score", vqa_scores(output.logits, batch["labels"]).sum(), rows)

    def collect(self, batch: Batch, output: Any) -> dict[str, np.ndarray]:
        """Questions and the chosen answers."""
        return {"question_id": batch["question_ids"].numpy(), "answer_id": output.logits.argmax(axis=-1).numpy()}

    def write(self, output: Path, columns: dict[str, np.ndarray], source: PredictionSource) -> None:
        """Write a file for the VQA evaluation server."""
        write_vqa_submission(output, columns, source)


def _check_same_answers(trained: Mapping[int, str], datasets: Mapping[str, Any], data_root: str, source: str) -> None:
    for index, answer in AnswerVocabulary.from_datasets(*datasets.values()).answers.items():
        if trained.get(index, "unknown") != answer:
            raise SettingsError(f"{source} was trained with other answers: its number {index} is "
                                f"{trained.get(index, 'unknown')!r}, in the tables of {data_root} it is {answer!r}")
