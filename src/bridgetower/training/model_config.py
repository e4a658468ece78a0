"""From an experiment and a checkpoint to the configuration of the run's model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..config import BridgeTowerConfig, tower_settings
from ..experiment import Experiment, SettingsError
from ..inputs.tokenizer import BridgeTowerTokenizer
from ..known import IMAGE_TOWERS, TEXT_TOWERS, KnownTower, nearest
from ..tasks import Task, get_task

__all__ = ["build_config", "with_model_channels"]

#: Name of a tower in the model section -> its section, and the towers that are known by a name.
_NAMED_TOWERS: dict[str, tuple[str, Mapping[str, KnownTower]]] = {
    "text_tower": ("text_config", TEXT_TOWERS), "image_tower": ("vision_config", IMAGE_TOWERS)}


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
    text = _tower(settings, "text_tower", experiment.source, stored)
    # A text tower with a vocabulary of its own keeps it; an absent one has that of the tokenizer.
    describes_words = "text_tower" in settings or "vocab_size" in (settings.get("text_config") or {"vocab_size": None})
    if tokenizer is not None and not describes_words:
        text["vocab_size"] = tokenizer.vocab_size
    vision = _tower(settings, "image_tower", experiment.source, stored)
    # The position table is resized, so that a checkpoint fits any image size.
    vision["image_size"] = experiment.data.image_size
    return BridgeTowerConfig.from_settings({**settings, "text_config": text, "vision_config": vision}, stored)


def with_model_channels(experiment: Experiment, tokenizer: BridgeTowerTokenizer | None,
                        stored: BridgeTowerConfig | None) -> Experiment:
    """The experiment with the number of channels that its model reads, see `build_config`.

    Raises:
        SettingsError: settings that no model can have, or channels that no picture has.
    """
    try:
        channels = _bare_config(experiment, tokenizer, stored).vision_config.num_channels
    except SettingsError:
        raise
    except ValueError as error:
        raise SettingsError(f"{experiment.source}: {error}") from None
    if channels not in (1, 3):
        raise SettingsError(f"{experiment.source}: vision_config.num_channels={channels}: pictures have 3 channels, or "
                            "1 if they are grey")
    return replace(experiment, num_channels=channels)


def build_config(experiment: Experiment, tokenizer: BridgeTowerTokenizer | None, num_labels: int | None,
                 stored: BridgeTowerConfig | None = None, task: Task | None = None) -> BridgeTowerConfig:
    """The configuration of the run's model.

    Args:
        experiment: what its `model` section leaves out, the checkpoint's configuration says; without a checkpoint its
            `new_model` section does.
        tokenizer: a text tower without `vocab_size` gets the tokenizer's; None for a task that reads no texts.
        num_labels: answers of a VQA model, or classes.
        stored: the configuration of the checkpoint the run starts from.
        task: that of the run's data sets; None: the experiment's.

    Raises:
        SettingsError: settings that no model can have, or a vocabulary that is not the tokenizer's.
    """
    source = experiment.source
    stated = experiment.model.get("num_labels", num_labels)
    # The whole configuration of another model says how many classes that one had.
    if num_labels is not None and stated != num_labels and "model_type" not in experiment.model:
        raise SettingsError(f"{source}: model.num_labels={stated}, but the task has {num_labels} answers or classes, "
                            "which its data and task.num_labels say; leave it out")
    try:
        base = _bare_config(experiment, tokenizer, stored)
        vision = {**tower_settings(base.vision_config), "image_size": experiment.data.image_size}
        base = base.replace(vision_config=type(base.vision_config)(**vision))
        base.vision_config.check_whole_patches()
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
    positions = text.max_position_embeddings - (text.pad_token_id + 1 if text.kind == "roberta" else 0)
    if tokenizer is not None and experiment.data.max_text_len > positions:
        raise SettingsError(f"{source}: data.max_text_len={experiment.data.max_text_len} is more than the {positions} "
                            "positions of the text tower; use a smaller one, or a larger "
                            "model.text_config.max_position_embeddings")
    return (task or get_task(experiment.task)).model_config(base, experiment.task, num_labels)
