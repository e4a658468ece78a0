"""What every task has: a model, data, metrics, and perhaps predictions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from paddle import Tensor

from ..config import BridgeTowerConfig
from ..datasets import DATASETS, AnswerVocabulary, DatasetOptions, build_dataset
from ..datasets.source import Mode
from ..datasets.specs import dataset_spec
from ..experiment import DataSettings, Experiment, SettingsError, TaskSettings
from ..modules import BridgeTowerPretrainedModel
from .metrics import Metrics
from .predictions import Columns, PredictionSource

__all__ = ["Batch", "Evaluation", "Labels", "Task"]

Batch = Mapping[str, Tensor]


@dataclass(frozen=True)
class Labels:
    """The classes of a run.

    Attributes:
        count: how many the model tells apart; None leaves it to the model class.
        names: of those that have one.
    """

    count: int | None = None
    names: AnswerVocabulary = field(default_factory=lambda: AnswerVocabulary({}))


class Evaluation(Protocol):
    """One run of a model over a dataset, which the trainer offers to a task."""

    @property
    def model(self) -> Any:
        """The model, in evaluation mode."""

    @property
    def dataset(self) -> Any:
        """What is evaluated."""

    @property
    def settings(self) -> TaskSettings:
        """Those of the task."""

    @property
    def with_predictions(self) -> bool:
        """Whether the predictions of all samples are wanted too."""

    def outputs(self) -> Iterator[tuple[Batch, Any]]:
        """The batches of this process and the model's outputs, without gradients."""

    def batches(self, dataset: Any) -> Iterable[Batch]:
        """Batches of another dataset, each sample once over all processes, without masked words and false images."""


class Task:
    """One task. A subclass sets the attributes and overrides the methods in which it differs.

    Attributes:
        name: `task.name` in experiment files.
        model: the model class that learns it.
        selected_by: the metrics whose sum selects the best checkpoint, higher is better.
        data_kind: what its data sets must hold, see `DatasetSpec`; None when the task opens data of its own.
        shares_images: whether evaluation runs each image of a batch through its tower once.
        mode: what a sample of the data sets consists of, see `DatasetOptions`.
        reads_text, reads_images: what a sample holds; without text there is no tokenizer.
        classes: names of the classes, where they are always the same.
        prediction_file: name of the prediction file in the output folder; None when there are no predictions, and
            empty when the task writes several files into the folder.
        scores_predictions: whether metrics need the predictions of the whole dataset (see `score`).
    """

    name: ClassVar[str]
    model: type[BridgeTowerPretrainedModel]
    selected_by: ClassVar[tuple[str, ...]]
    data_kind: ClassVar[str | None] = None
    shares_images: bool = False
    mode: Mode = "pairs"
    reads_text: bool = True
    reads_images: bool = True
    classes: tuple[str, ...] = ()
    prediction_file: ClassVar[str | None] = None
    scores_predictions: ClassVar[bool] = False

    @property
    def writes_predictions(self) -> bool:
        """Whether the task has predictions to write."""
        return self.prediction_file is not None

    def for_data(self, experiment: Experiment, data_root: str) -> Task:
        """The task as the data sets of an experiment need it; by default it is the same for all of them.

        Args:
            experiment: its `data` section names the data sets.
            data_root: folder of the files.
        """
        return self

    def objectives(self, settings: TaskSettings) -> frozenset[str]:
        """The objectives that the data must serve: `mlm` masks words, `itm` draws false images."""
        return frozenset()

    def check(self, experiment: Experiment) -> None:
        """Refuse settings that the task cannot use.

        Raises:
            SettingsError: names the setting.
        """
        if not experiment.task.train_classifier:
            raise SettingsError(f"{experiment.source}: task.train_classifier=false is for the task cifar; leave it out")

    def check_datasets(self, settings: DataSettings, data_root: str | None = None) -> None:
        """Refuse data sets of another kind than the task reads; own tables are looked for in `data_root`.

        Raises:
            SettingsError: names the data set and those that fit.
            KeyError: an unknown data set.
        """
        for name in settings.datasets:
            kind = dataset_spec(name, data_root).kind
            if kind != self.data_kind:
                fitting = ", ".join(key for key, spec in DATASETS.items() if spec.kind == self.data_kind)
                raise SettingsError(f"data.datasets has {name!r}, which holds {kind} samples, but the task reads "
                                    f"{self.data_kind} samples; use any of {fitting}")

    def open_split(self, experiment: Experiment, split: Any, data_root: str, seed: int) -> Any:
        """Open a split of the experiment's data sets.

        Args:
            experiment: its `data` section names the data sets.
            split: train, val or test.
            data_root: folder of the files.
            seed: of every random draw.
        """
        settings, training = experiment.data, split == "train"
        options = DatasetOptions(
            image_size=settings.image_size,
            transform=settings.train_transform if training else settings.eval_transform,
            training=training, mode=self.mode, seed=seed,
            draw_false_image=int("itm" in self.objectives(experiment.task)),
            draw_false_text=self.num_false_texts(experiment.task), debug_limit=settings.debug_limit,
            clean_splits=settings.clean_splits, vqa_extra_train_tables=settings.vqa_extra_train_tables,
            max_unreadable_images=settings.max_unreadable_images, scale_16bit=settings.scale_16bit,
            apply_exif=settings.apply_exif, num_channels=experiment.num_channels)
        return build_dataset(settings.datasets, split, data_root, options)

    def labels(self, experiment: Experiment, datasets: Mapping[str, Any], data_root: str,
               trained: BridgeTowerConfig | None, source: str) -> Labels:
        """The classes of the run; by default those of the task.

        Args:
            experiment: of the run.
            datasets: the opened ones, by split.
            data_root: folder of the files.
            trained: configuration of the checkpoint that the run starts from; None when there is none or it is not
                known.
            source: what to call that checkpoint in messages.
        """
        return Labels(len(self.classes) or None, AnswerVocabulary(dict(enumerate(self.classes))))

    def freeze(self, model: Any, settings: TaskSettings) -> None:
        """Exclude parameters of a new model from training; by default none."""

    def num_false_texts(self, settings: TaskSettings) -> int:
        """False captions that a sample holds beside the true one."""
        return 0

    def model_config(self, base: BridgeTowerConfig, settings: TaskSettings, num_labels: int | None
                     ) -> BridgeTowerConfig:
        """The configuration of the task's model, from that of the bare model.

        What the model class requires wins over the settings.
        """
        changes: dict[str, Any] = {"objectives": list(settings.objectives),
                                   "head_hidden_scale": settings.head_hidden_scale}
        if num_labels is not None:
            changes["num_labels"] = num_labels
        return base.replace(**(changes | self.model.required_settings))

    def update(self, metrics: Metrics, batch: Batch, output: Any, tables: Sequence[str] = ()) -> None:
        """Add what one batch says to the metrics; every task defines it.

        Args:
            metrics: to add to.
            batch: inputs of the model.
            output: what the model made of them.
            tables: in evaluation, the names that `table_index` of the batch points into.
        """
        raise NotImplementedError(f"{type(self).__name__} must define update")

    def collect(self, batch: Batch, output: Any) -> dict[str, np.ndarray]:
        """The predictions of one batch, one row per sample, by column."""
        return {}

    def score(self, columns: dict[str, np.ndarray], dataset: Any) -> dict[str, float]:
        """Metrics of the predictions of a whole dataset, where they are not means of samples."""
        return {}

    def evaluate(self, evaluation: Evaluation) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Metrics of a dataset over all processes, and all predictions where they are wanted."""
        metrics, columns = Metrics(), Columns()
        collects = evaluation.with_predictions or self.scores_predictions
        for batch, output in evaluation.outputs():
            self.update(metrics, batch, output, evaluation.dataset.table_names)
            if collects:
                columns.add(self.collect(batch, output))
        values, predictions = metrics.reduced().compute(), columns.gathered()
        if self.scores_predictions:
            values |= self.score(predictions, evaluation.dataset)
        return values, predictions

    def write_details(self, folder: Path, prefix: str, columns: dict[str, np.ndarray]) -> None:
        """Write what a run over a dataset found beside its metrics; by default nothing.

        Args:
            folder: the output folder.
            prefix: beginning of the file names, eval or test.
            columns: the predictions of all processes, where the metrics need them (`scores_predictions`).
        """

    def selection_value(self, metrics: Mapping[str, float]) -> float:
        """The value that selects the best checkpoint, higher is better."""
        return sum(metrics.get(name, 0.0) for name in self.selected_by)

    def write(self, output: Path, columns: dict[str, np.ndarray], source: PredictionSource) -> None:
        """Write the predictions of all processes; only a task with `writes_predictions` has any.

        Args:
            output: the prediction file; the output folder of a task that writes several files.
            columns: as collected.
            source: what the predictions are about.
        """
        raise NotImplementedError(f"the task {self.name} has no predictions to write")
