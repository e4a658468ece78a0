"""From an experiment to its tokenizer, datasets, collators and model."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..config import BridgeTowerConfig
from ..conversion import load_weights
from ..datasets import Collator
from ..experiment import Experiment, SettingsError
from ..inputs.processor import BridgeTowerImageProcessor, BridgeTowerProcessor
from ..inputs.tokenizer import BridgeTowerTokenizer
from ..inputs.transforms import build_transform
from ..modules import BridgeTowerPretrainedModel, load_into
from ..modules.loading import HEADS, build_undrawn, check_size
from ..one_channel import MeanAndStd
from ..tasks import TASKS, Labels, Task
from .arguments import BridgeTowerTrainingArguments
from .fitting import check_fits
from .model_config import build_config

__all__ = ["Data", "Weights", "build_data", "build_model", "build_processor", "check_run", "folded_normalization"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Data:
    """What a run reads: datasets by split (those that it needs), their collators, and the classes."""

    datasets: dict[str, Any]
    train_collator: Collator
    eval_collator: Collator
    labels: Labels


@dataclass(frozen=True)
class Weights:
    """The checkpoint that a run starts from, or evaluates.

    Attributes:
        source: its path.
        tensors: by our names.
        config: None where the file does not say enough.
    """

    source: str
    tensors: Mapping[str, np.ndarray]
    config: BridgeTowerConfig | None

    @classmethod
    def read(cls, path: str) -> Weights:
        """Read what `load_weights` can."""
        tensors, stored = load_weights(path)
        return cls(path, tensors, None if stored is None else BridgeTowerConfig(**stored))


def check_run(experiment: Experiment, task: Task, args: BridgeTowerTrainingArguments) -> None:
    """Refuse what would only fail after the training.

    Raises:
        SettingsError: no data set, predictions of a task that has none, nothing trained to evaluate, weights named
            twice, or a final rate above the first.
    """
    if not experiment.data.datasets:
        raise SettingsError(f"{experiment.source}: data.datasets is empty; name a data set, for instance [\"vqa\"]")
    if args.do_predict and not task.writes_predictions:
        writing = ", ".join(name for name, other in TASKS.items() if other.writes_predictions)
        raise SettingsError(f"--do_predict: task {experiment.task.name!r} has no predictions to write; leave the flag "
                            f"out (tasks with predictions: {writing})")
    task.check(experiment)
    if not args.do_train and not args.checkpoint_path:
        raise SettingsError("--checkpoint_path is missing: without --do_train, name the weights to evaluate, for "
                            "instance a checkpoint folder of a training")
    towers = [f"--{name}" for name in ("image_tower", "text_tower") if getattr(args, name)]
    if args.checkpoint_path and towers:
        raise SettingsError(f"--checkpoint_path {args.checkpoint_path} holds the towers already; leave out "
                            f"{' and '.join(towers)}, or --checkpoint_path to train from single towers")
    _check_schedule(experiment, args)


def _check_schedule(experiment: Experiment, args: BridgeTowerTrainingArguments) -> None:
    base = experiment.optimization.learning_rate
    rate = args.learning_rate * base
    if args.do_train and args.lr_scheduler_type.value == "polynomial" and not 0 <= args.lr_end < rate:
        raise SettingsError(f"--lr_end {args.lr_end:g} is not between 0 and the rate of the towers, {rate:g} "
                            f"(--learning_rate {args.learning_rate:g} x optimization.learning_rate {base:g}); use "
                            "--lr_end 0, or --lr_scheduler_type constant for a rate that stays")


def build_data(experiment: Experiment, task: Task, splits: list[str], data_root: str,
               tokenizer: BridgeTowerTokenizer | None, seed: int, weights: Weights | None = None) -> Data:
    """Open the splits that a run needs.

    Args:
        experiment: says which.
        task: that of the data sets, see `Task.for_data`.
        splits: any of train, val, test.
        data_root: folder of the files.
        tokenizer: None for a task that reads no texts.
        seed: of every random draw.
        weights: the checkpoint that the run starts from; without training, the answers of VQA are those that it has
            learned.

    Raises:
        FileNotFoundError: when an arrow file is missing; the message says which command makes it.
        SettingsError: data sets or settings that the task cannot use.
    """
    settings = experiment.data
    if settings.texts_per_image < 1 or (settings.texts_per_image > 1 and not task.shares_images):
        sharing = ", ".join(name for name, other in TASKS.items() if other.shares_images)
        raise SettingsError(f"{experiment.source}: data.texts_per_image={settings.texts_per_image} must be 1 for the "
                            f"task {experiment.task.name}; tasks whose texts can share an image are {sharing}")
    task.check_datasets(settings, data_root)
    objectives = task.objectives(experiment.task)
    datasets = {split: task.open_split(experiment, split, data_root, seed) for split in splits}
    for split, dataset in datasets.items():
        if not len(dataset):
            raise SettingsError(f"{experiment.source}: the {split} split of {', '.join(settings.datasets)} is empty")
    trained, source = (weights.config, weights.source) if weights else (None, "")
    labels = task.labels(experiment, datasets, data_root, trained, source)
    common: dict[str, Any] = dict(
        tokenizer=tokenizer, max_text_len=settings.max_text_len, padding=settings.padding, mlm="mlm" in objectives,
        whole_word_masking=settings.whole_word_masking, mlm_probability=settings.mlm_probability,
        itm="itm" in objectives, num_answers=labels.count)
    return Data(datasets, Collator(share_images=settings.texts_per_image > 1, **common),
                Collator(share_images=task.shares_images, **common), labels)


def build_processor(experiment: Experiment, task: Task, tokenizer: BridgeTowerTokenizer | None
                    ) -> BridgeTowerProcessor | BridgeTowerImageProcessor | BridgeTowerTokenizer:
    """What makes inputs of pictures and texts as the run's evaluation does, to be saved with its models.

    Raises:
        SettingsError: an unknown transform, or a random one.
    """
    settings = experiment.data
    if tokenizer is not None and not task.reads_images:
        return tokenizer
    try:
        images = BridgeTowerImageProcessor.for_transform(settings.eval_transform, settings.image_size,
                                                         num_channels=experiment.num_channels)
    except (KeyError, ValueError) as error:
        raise SettingsError(f"{experiment.source}: data.eval_transform: {error.args[0]}") from None
    try:
        images.scale_16bit = settings.scale_16bit or images.scale_16bit
    except ValueError as error:
        raise SettingsError(f"{experiment.source}: data.{error.args[0]}") from None
    images.apply_exif = bool(settings.apply_exif)
    return images if tokenizer is None else BridgeTowerProcessor(images, tokenizer)


def build_model(experiment: Experiment, task: Task, tokenizer: BridgeTowerTokenizer | None, data: Data,
                weights: Weights | None, new_heads: bool = True, new_classifier: bool = False,
                args: BridgeTowerTrainingArguments | None = None) -> BridgeTowerPretrainedModel:
    """The run's model, with the weights of a checkpoint where there is one.

    Args:
        experiment: see `build_config`.
        task: see `build_data`.
        tokenizer: see `build_config`.
        data: knows the classes.
        weights: None: the model begins with random weights.
        new_heads: whether the checkpoint may lack the heads of the task, which training then begins anew.
        new_classifier: whether the classifier begins anew even where the checkpoint has one.
        args: of the run, which must fit into its device; None checks nothing.

    Raises:
        SettingsError: see `build_config` and `check_fits`.
        ValueError: when the checkpoint does not fit; the message says which keys.
    """
    config = build_config(experiment, tokenizer, data.labels.count, weights.config if weights else None, task)
    if weights is not None:
        check_size(config, sum(value.size for value in weights.tensors.values()), weights.source)
    if args is not None:
        check_fits(config, experiment, task, args)
    # A training draws all weights, also those that the checkpoint replaces, so that a seed means the same run as ever.
    model = task.model(config) if weights is None or new_heads else build_undrawn(task.model, config)
    model.config.name_labels(data.labels.names.answers)
    if weights is not None:
        _load(model, weights, new_heads, new_classifier, folded_normalization(experiment))
    task.freeze(model, experiment.task)
    return model


def folded_normalization(experiment: Experiment) -> MeanAndStd:
    """What the patches of a model with one channel contain: the normalisation of the run's transform for three."""
    transform = build_transform(experiment.data.eval_transform, experiment.data.image_size)
    return transform.normalization.mean, transform.normalization.std


def _load(model: BridgeTowerPretrainedModel, weights: Weights, new_heads: bool, new_classifier: bool,
          normalization: MeanAndStd) -> None:
    """Fill a model; say which of its heads begin with random weights."""
    tensors = weights.tensors
    if new_heads and not new_classifier:
        _check_classes(model, weights)
    if new_classifier:
        tensors = {name: value for name, value in tensors.items() if not name.startswith("classifier.")}
    report = load_into(model, tensors, weights.source, may_miss=HEADS if new_heads else (),
                       normalization=normalization)
    heads = sorted({name.split(".")[0] for name in report.new})
    if heads:
        logger.warning("%s has no weights for %s: %s at random", weights.source, ", ".join(heads),
                       "it starts" if len(heads) == 1 else "they start")


def _check_classes(model: BridgeTowerPretrainedModel, weights: Weights) -> None:
    """Refuse a classifier of other classes than those of the run.

    Raises:
        SettingsError: names the flag that lets the classifier begin anew.
    """
    classifiers = [name for name in weights.tensors if name.startswith("classifier.")]
    own = dict(model.named_parameters())
    trained, wanted = weights.config.label_names if weights.config else {}, model.config.label_names
    differ = [index for index, name in trained.items() if wanted.get(index, name) != name]
    shapes = [name for name in classifiers if name in own and tuple(own[name].shape) != weights.tensors[name].shape]
    if classifiers and (differ or shapes):
        reason = f"class {differ[0]} is {trained[differ[0]]!r} there and {wanted[differ[0]]!r} here" if differ else \
            f"{shapes[0]} is {weights.tensors[shapes[0]].shape} there and {tuple(own[shapes[0]].shape)} here"
        raise SettingsError(f"{weights.source} has a classifier for other answers or classes ({reason}); add "
                            "--new_classifier to start it anew, or use the data that it was trained on")
