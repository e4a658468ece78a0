"""Training from towers: load separately trained image and text encoders into a new model."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from typing import Any

from ..conversion import hub_name, load_weights
from ..modules import BridgeTowerPretrainedModel, load_into
from ..one_channel import CLIP_MEAN, CLIP_STD, MeanAndStd

__all__ = ["load_towers"]

logger = logging.getLogger(__name__)

_BASE_PREFIX = "bridgetower."
#: Attribute of the model -> (flag of train.py, what to call it, section of the configuration).
_TOWERS = {"image_tower": ("--image_tower", "image tower", "vision_config"),
           "text_tower": ("--text_tower", "text tower", "text_config")}
#: Settings that change what a tower computes and do not show in any shape.
_HIDDEN_SETTINGS = ("kind", "num_attention_heads", "hidden_act", "pad_token_id")


def load_towers(model: BridgeTowerPretrainedModel, image_tower: str | os.PathLike[str] | None = None,
                text_tower: str | os.PathLike[str] | None = None,
                normalization: MeanAndStd = (CLIP_MEAN, CLIP_STD)) -> None:
    """Put the weights of single towers into a model and say which towers stay random.

    The position table of the image tower is resized to the model's image size. Blocks above the depth of the model's
    tower are left out (METER uses 11 of CLIP's 12).

    Args:
        model: the model to fill; the other parts of it keep their values.
        image_tower: what `conversion.load_weights` reads, for instance an OpenAI CLIP archive, a Hugging Face folder
            of CLIP, ViT or DeiT, a name on the Hugging Face hub, or one of an experiment file such as `CLIP-ViT-B/16`;
            None leaves the tower as it is.
        text_tower: likewise, RoBERTa or BERT.
        normalization: see `load_into`.

    Raises:
        FileNotFoundError: when there is nothing to load.
        ValueError: when a file holds no such tower, or one that does not fit; the message says which keys or settings.
    """
    random = []
    for part, source in (("image_tower", image_tower), ("text_tower", text_tower)):
        flag, name, _ = _TOWERS[part]
        has_part = any(_stem(key).startswith(f"{part}.") for key, _ in model.named_parameters())
        if source is not None and not has_part:
            raise ValueError(f"{flag} {source}: {type(model).__name__} has no {name}; leave the flag out")
        if source is not None:
            _load_tower(model, part, source, normalization)
        elif has_part:
            random.append((flag, name))
    if random:
        logger.warning("no pre-trained weights: the %s of the model start%s from random numbers; name weights with "
                       "--checkpoint_path, or with %s", " and the ".join(name for _, name in random),
                       "s" if len(random) == 1 else "", " and ".join(flag for flag, _ in random))


def _stem(name: str) -> str:
    return name.removeprefix(_BASE_PREFIX)


def _load_tower(model: BridgeTowerPretrainedModel, part: str, source: str | os.PathLike[str],
                normalization: MeanAndStd) -> None:
    flag, name, section = _TOWERS[part]
    tensors, stored = load_weights(str(source) if os.path.exists(source) else hub_name(str(source)))
    tower = {_stem(key): value for key, value in tensors.items() if _stem(key).startswith(f"{part}.")}
    if not tower:
        found = ", ".join(sorted({_stem(key).split(".")[0] for key in tensors})[:5])
        raise ValueError(f"{flag} {source} holds no {name}, but {found or 'nothing'}")
    config = getattr(model.config, section)
    _check_hidden_settings(config, (stored or {}).get(section) or {}, section, f"{flag} {source}")
    kept = {key: value for key, value in tower.items() if _level(key) < config.num_hidden_layers}
    if len(kept) < len(tower):
        logger.warning("%s %s: only its lower %d blocks are used, as many as the model has", flag, source,
                       config.num_hidden_layers)
    others = [key for key, _ in model.named_parameters() if not _stem(key).startswith(f"{part}.")]
    load_into(model, kept, f"{flag} {source}", may_miss=others, may_ignore=(), normalization=normalization)


def _level(key: str) -> int:
    """Number of the block that a tensor belongs to, -1 for those outside the blocks."""
    match = re.match(r"\w+_tower\.layers\.(\d+)\.", key)
    return int(match[1]) if match else -1


def _check_hidden_settings(config: Any, stored: Mapping[str, Any], section: str, source: str) -> None:
    if stored.get("hidden_size", config.hidden_size) != config.hidden_size:
        return  # a tower of another size: loading will say so
    for name in _HIDDEN_SETTINGS:
        ours, theirs = getattr(config, name, None), stored.get(name)
        if theirs is not None and ours is not None and theirs != ours:
            raise ValueError(f"{source} has {name}={theirs!r}, the model {ours!r}; build the model for these weights "
                             f"with --set model.{section}.{name}={theirs}, or name others")
    eps = stored.get("layer_norm_eps")
    if eps is not None and eps != config.layer_norm_eps:
        logger.info("%s was trained with layer_norm_eps=%g, the model has %g", source, eps, config.layer_norm_eps)
