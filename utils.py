"""From an experiment to its tokenizer, datasets, collators and model."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from paddlenlp.trainer import TrainingArguments

from bridgetower.config import BridgeTowerConfig, tower_settings
from bridgetower.conversion import load_weights
from bridgetower.datasets import AnswerVocabulary, Collator, DatasetOptions, ImageTextDataset, build_dataset
from bridgetower.experiment import Experiment, SettingsError
from bridgetower.inputs.processor import BridgeTowerImageProcessor, BridgeTowerProcessor
from bridgetower.inputs.tokenizer import BridgeTowerTokenizer
from bridgetower.known import IMAGE_TOWERS, TEXT_TOWERS, nearest
from bridgetower.modules import BridgeTowerForImageClassification, BridgeTowerPretrainedModel, load_into
from bridgetower.modules.loading import HEADS
from bridgetower.tasks import TASKS, Task, get_task, task_model_config

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Data:
    """What a run reads: datasets by split (those that it needs), their collators, and the answers of VQA."""

    datasets: dict[str, Any]
    train_collator: Collator
    eval_collator: Collator
    answers: AnswerVocabulary | None


def check_run(experiment: Experiment, task: Task, args: TrainingArguments) -> None:
    """Refuse what would only fail after the training.

    Raises:
        SettingsError: predictions of a task that has none, nothing trained to evaluate, weights named twice, or a
            final rate above the first.
    """
    if args.do_predict and task.write is None:
        writing = ", ".join(name for name, other in TASKS.items() if other.write is not None)
        raise SettingsError(f"--do_predict: task {experiment.task.name!r} has no predictions to write; leave the flag "
                            f"out (tasks with predictions: {writing})")
    if experiment.task.name == "pretrain" and not experiment.task.objectives:
        raise SettingsError(f"{experiment.source}: task.objectives is empty; name at least one of mlm, itm, itc, "
                            "itm_itc")
    if not args.do_train and not args.checkpoint_path:
        raise SettingsError("--checkpoint_path is missing: without --do_train, name the weights to evaluate, for "
                            "instance a checkpoint folder of a training")
    towers = [f"--{name}" for name in ("image_tower", "text_tower") if getattr(args, name)]
    if args.checkpoint_path and towers:
        raise SettingsError(f"--checkpoint_path {args.checkpoint_path} holds the towers already; leave out "
                            f"{' and '.join(towers)}, or --checkpoint_path to train from single towers")
    _check_schedule(experiment, args)


def _check_schedule(experiment: Experiment, args: TrainingArguments) -> None:
    base = experiment.optimization.learning_rate
    rate = args.learning_rate * base
    if args.do_train and args.lr_scheduler_type.value == "polynomial" and not 0 <= args.lr_end < rate:
        raise SettingsError(f"--lr_end {args.lr_end:g} is not between 0 and the rate of the towers, {rate:g} "
                            f"(--learning_rate {args.learning_rate:g} x optimization.learning_rate {base:g}); use "
                            "--lr_end 0, or --lr_scheduler_type constant for a rate that stays")


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


def build_data(experiment: Experiment, splits: list[str], data_root: str, tokenizer: BridgeTowerTokenizer | None,
               seed: int, weights: Weights | None = None) -> Data:
    """Open the splits that a run needs.

    Args:
        experiment: says which.
        splits: any of train, val, test.
        data_root: folder of the files.
        tokenizer: None for a task that reads no texts.
        seed: of every random draw.
        weights: the checkpoint; without training, the answers of VQA are those that it has learned.

    Raises:
        FileNotFoundError: when an arrow file is missing; the message says which command makes it.
        SettingsError: when no data set is named.
    """
    settings, task = experiment.data, get_task(experiment.task)
    if not settings.datasets:
        raise SettingsError(f"{experiment.source}: data.datasets is empty; name a data set, for instance [\"vqa\"]")
    if settings.texts_per_image < 1 or (settings.texts_per_image > 1 and not task.share_images):
        sharing = ", ".join(name for name, other in TASKS.items() if other.share_images)
        raise SettingsError(f"{experiment.source}: data.texts_per_image={settings.texts_per_image} must be 1 for the "
                            f"task {experiment.task.name}; tasks whose texts can share an image are {sharing}")
    task.check_datasets(settings)
    objectives = task.objectives(experiment.task)
    datasets: dict[str, Any] = {}
    for split in splits:
        if task.open_split is not None:
            datasets[split] = task.open_split(settings, split, data_root)
            continue
        options = DatasetOptions(
            image_size=settings.image_size,
            transform_keys=(settings.train_transform if split == "train" else settings.eval_transform,),
            training=split == "train", draw_false_image=int("itm" in objectives), seed=seed,
            draw_false_text=experiment.task.num_false_texts if task.ranks_false_texts else 0,
            debug_limit=settings.debug_limit, clean_splits=settings.clean_splits,
            vqa_extra_train_tables=settings.vqa_extra_train_tables,
            max_unreadable_images=settings.max_unreadable_images)
        datasets[split] = build_dataset(settings.datasets, split, data_root, options)  # type: ignore[arg-type]
    for split, dataset in datasets.items():
        if not len(dataset):
            raise SettingsError(f"{experiment.source}: the {split} split of {', '.join(settings.datasets)} is empty")
    answers, num_answers = None, None
    if experiment.task.name == "vqa":
        answers, num_answers = _answers(experiment, data_root, datasets, weights)
    if task.open_split is not None:
        num_answers = next(iter(datasets.values())).num_labels
    common = dict(tokenizer=tokenizer, max_text_len=settings.max_text_len, padding=settings.padding,
                  mlm="mlm" in objectives, whole_word_masking=settings.whole_word_masking,
                  mlm_probability=settings.mlm_probability, itm="itm" in objectives, num_answers=num_answers)
    return Data(datasets, Collator(share_images=settings.texts_per_image > 1, **common),
                Collator(share_images=task.share_images, **common), answers)


def _answers(experiment: Experiment, data_root: str, datasets: dict[str, ImageTextDataset], weights: Weights | None
             ) -> tuple[AnswerVocabulary, int]:
    """The answers of VQA and their number: those that a trained checkpoint names, else those in the tables."""
    stored = None if weights is None or "train" in datasets else weights.config
    if weights is not None and stored is not None and stored.label_names:
        answers = AnswerVocabulary(stored.label_names)
        for index, answer in AnswerVocabulary.from_datasets(*datasets.values()).answers.items():
            if answers[index] != answer:
                raise SettingsError(f"{weights.source} was trained with other answers: its number {index} is "
                                    f"{answers[index]!r}, in the tables of {data_root} it is {answer!r}")
        return answers, stored.num_labels
    settings = experiment.data
    options = DatasetOptions(image_size=settings.image_size, transform_keys=(settings.eval_transform,))
    try:
        needed = [datasets[split] if split in datasets
                  else build_dataset(settings.datasets, split, data_root, options)  # type: ignore[arg-type]
                  for split in ("train", "val")]
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}. The tables of training and validation are read for the answers, whose names "
                                "the checkpoint does not hold") from None
    answers = AnswerVocabulary.from_datasets(*needed)
    return answers, experiment.task.num_labels or answers.num_answers


#: Name of a tower in the model section -> its section, and the towers that are known by a name.
_NAMED_TOWERS = {"text_tower": ("text_config", TEXT_TOWERS), "image_tower": ("vision_config", IMAGE_TOWERS)}


def _tower(settings: dict[str, Any], name: str, source: str, stored: BridgeTowerConfig | None) -> dict[str, Any]:
    """All that is known of a tower: its own section over the tower it is named after, or over the checkpoint's."""
    section, known = _NAMED_TOWERS[name]
    named, own = settings.pop(name, None), settings.get(section, {})
    if not isinstance(own, Mapping):
        raise SettingsError(f"{source}: model.{section}={own!r} is {type(own).__name__}, expected an object")
    if named is not None:
        if named not in known:
            raise SettingsError(f"{source}: model.{name}={named!r} is unknown{nearest(named, known)} "
                                f"Known are {', '.join(known)}")
        return {**known[named].settings, **own}
    return {**(tower_settings(getattr(stored, section)) if stored is not None else {}), **own}


def _bare_config(experiment: Experiment, tokenizer: BridgeTowerTokenizer | None, stored: BridgeTowerConfig | None
                 ) -> BridgeTowerConfig:
    """The run's model without regard to its task."""
    settings = {**({} if stored is not None else experiment.new_model), **experiment.model}
    if settings.get("model_type") == "bridgetower":
        return BridgeTowerConfig(**settings)
    own_words = tokenizer is not None and settings.get("text_config") and "text_tower" not in settings \
        and "vocab_size" not in settings["text_config"]
    text = _tower(settings, "text_tower", experiment.source, stored)
    if own_words:
        text["vocab_size"] = tokenizer.vocab_size
    vision = _tower(settings, "image_tower", experiment.source, stored)
    # The position table is resized, so that a checkpoint fits any image size.
    vision["image_size"] = experiment.data.image_size
    return BridgeTowerConfig.from_settings({**settings, "text_config": text, "vision_config": vision}, stored)


def build_config(experiment: Experiment, tokenizer: BridgeTowerTokenizer | None, num_labels: int | None,
                 stored: BridgeTowerConfig | None = None) -> BridgeTowerConfig:
    """The configuration of the run's model.

    Args:
        experiment: what its `model` section leaves out, the checkpoint's configuration says; without a checkpoint its
            `new_model` section does.
        tokenizer: a text tower without `vocab_size` gets the tokenizer's; None for a task that reads no texts.
        num_labels: answers of a VQA model.
        stored: the configuration of the checkpoint the run starts from.

    Raises:
        SettingsError: settings that no model can have, or a vocabulary that is not the tokenizer's.
    """
    source = experiment.source
    try:
        base = _bare_config(experiment, tokenizer, stored)
        vision = {**tower_settings(base.vision_config), "image_size": experiment.data.image_size}
        base = base.replace(vision_config=type(base.vision_config)(**vision))
    except SettingsError:
        raise
    except ValueError as error:
        raise SettingsError(f"{source}: {error}") from None
    text = base.text_config
    if tokenizer is not None and (tokenizer.vocab_size, tokenizer.pad_token_id) != (text.vocab_size, text.pad_token_id):
        raise SettingsError(
            f"{source}: data.tokenizer={experiment.data.tokenizer!r} has {tokenizer.vocab_size} words and padding id "
            f"{tokenizer.pad_token_id}, the text tower {text.vocab_size} and {text.pad_token_id}; use the tokenizer "
            "that the tower was trained with")
    return task_model_config(base, get_task(experiment.task), experiment.task, num_labels)


def build_processor(experiment: Experiment, tokenizer: BridgeTowerTokenizer | None
                    ) -> BridgeTowerProcessor | BridgeTowerImageProcessor | BridgeTowerTokenizer:
    """What makes inputs of pictures and texts as the run's evaluation does, to be saved with its models.

    Raises:
        SettingsError: an unknown transform, or a random one.
    """
    settings, task = experiment.data, get_task(experiment.task)
    if tokenizer is not None and not task.reads_images:
        return tokenizer
    try:
        images = BridgeTowerImageProcessor.for_transform(settings.eval_transform, settings.image_size)
    except (KeyError, ValueError) as error:
        raise SettingsError(f"{experiment.source}: data.eval_transform: {error.args[0]}") from None
    return images if tokenizer is None else BridgeTowerProcessor(images, tokenizer)


def build_model(experiment: Experiment, tokenizer: BridgeTowerTokenizer | None, data: Data,
                weights: Weights | None, new_heads: bool = True) -> BridgeTowerPretrainedModel:
    """The run's model, with the weights of a checkpoint where there is one.

    Args:
        experiment: see `build_config`.
        tokenizer: see `build_config`.
        data: knows the number of classes, and the names of VQA's.
        weights: None: the model begins with random weights.
        new_heads: whether the checkpoint may lack the heads of the task, which training then begins anew.

    Raises:
        SettingsError: see `build_config`.
        ValueError: when the checkpoint does not fit; the message says which keys.
    """
    config = build_config(experiment, tokenizer, data.eval_collator.num_answers, weights.config if weights else None)
    task: Task = get_task(experiment.task)
    model = task.model(config)
    names = dict(enumerate(task.classes)) if data.answers is None else data.answers.answers
    model.config.name_labels(names)
    if weights is not None:
        load_into(model, weights.tensors, weights.source, may_miss=HEADS if new_heads else ())
    if not experiment.task.train_classifier:
        if not isinstance(model, BridgeTowerForImageClassification):
            raise SettingsError(f"{experiment.source}: task.train_classifier=false is for the task cifar; leave it out")
        for parameter in model.classifier.parameters():
            parameter.stop_gradient = True
    return model
