"""Any checkpoint as tensors by their Paddle names and the fields of a configuration."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..model_parts import BASE_PREFIX
from ..one_channel import CLIP_MEAN, CLIP_STD, MeanAndStd
from ..setting_rules import port_settings
from .errors import CheckpointError, UnknownSettingError
from .names import RuleReport, to_paddle
from .names.derived_config import derive_config
from .names.settings import check_settings
from .names.sizes import TASK_CLASSES
from .readers import Checkpoint, as_dtype, count_nonfinite, is_float, local_path, read_checkpoint, read_json

logger = logging.getLogger(__name__)

_TEXT_LAYER = re.compile(r"(?:bridgetower\.)?text_model\.encoder\.layer\.(\d{1,4})\.")
_IMAGE_BLOCK = re.compile(r"(?:bridgetower\.)?vision_model\.visual\.transformer\.resblocks\.(\d{1,4})\.")
DECODER = "mlm_head.decoder_weight"
#: Numbers that only OpenAI's own archives store among the tensors; all of OpenAI's towers compute QuickGELU.
_OPENAI_NUMBERS = {"input_resolution", "context_length", "vocab_size"}
WORDS = "text_tower.embeddings.word_embeddings.weight"


def mapped_tensors(checkpoint: Checkpoint) -> tuple[dict[str, np.ndarray], RuleReport, bool]:
    """Views by Paddle names, what was dropped, and whether the MLM decoder is tied to the word embeddings."""
    unused: dict[str, str] = {}
    try:
        if checkpoint.layout == "huggingface":
            unused = _unused_in_port(checkpoint)
        used = {name: array for name, array in checkpoint.tensors.items() if name not in unused}
        tensors, report = to_paddle(used, checkpoint.layout)
    except CheckpointError as error:
        raise CheckpointError(f"{checkpoint.path}: {error}") from error
    report.dropped |= unused
    tied = "mlm_head.bias" in tensors and DECODER not in tensors and says_tied(checkpoint)
    if tied and BASE_PREFIX + WORDS in tensors:
        tensors[DECODER] = tensors[BASE_PREFIX + WORDS]
    return tensors, report, tied


def _unused_in_port(checkpoint: Checkpoint) -> dict[str, str]:
    """The tensors of image blocks that the port never runs, with the reason.

    Raises:
        CheckpointError: the settings ask for what no model here computes.
    """
    check_settings(checkpoint.config)
    try:
        port_settings.check_modes(checkpoint.config or {})
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    layers = {match[1] for match in map(_TEXT_LAYER.match, checkpoint.tensors) if match}
    reason = "the port runs as many image blocks as its text tower has layers"
    blocks = ((name, _IMAGE_BLOCK.match(name)) for name in checkpoint.tensors)
    return {name: reason for name, match in blocks if match and layers and int(match[1]) >= len(layers)}


def says_tied(checkpoint: Checkpoint) -> bool:
    """Whether the settings tie the MLM decoder to the word embedding table, as the port does by default."""
    config = checkpoint.config or {}
    check_settings(config)
    if checkpoint.layout == "huggingface":
        return port_settings.ties_decoder(config)
    return checkpoint.layout == "paddle" and bool(config.get("tie_word_embeddings"))


def shapes_of(tensors: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    """Shapes by Paddle names without `bridgetower.`."""
    return {name.removeprefix(BASE_PREFIX): array.shape for name, array in tensors.items()}


def config_of(checkpoint: Checkpoint, tensors: Mapping[str, np.ndarray], tied: bool) -> dict[str, Any]:
    """The fields of `config.json` for a checkpoint that `mapped_tensors` has read.

    Raises:
        UnknownSettingError: a required value is neither in the weights nor in the settings.
    """
    if checkpoint.layout == "paddle":
        if checkpoint.config is None:
            raise UnknownSettingError("these are weights of this project without their config.json; put it beside them")
        return dict(checkpoint.config)
    shapes = shapes_of(tensors)
    source = checkpoint.config
    if checkpoint.layout == "openai_clip" and _OPENAI_NUMBERS & set(checkpoint.tensors):
        source = {"quick_gelu": True}
    tasks = [task for task in TASK_CLASSES if f"{task}_classifier.0.weight" in checkpoint.tensors]
    task = tasks[0] if tasks else ""
    config = derive_config(shapes, checkpoint.layout, source, checkpoint.towers, task)
    return config | {"tie_word_embeddings": True} if tied else config


def check_numbers(tensors: Mapping[str, np.ndarray], allow_nonfinite: bool) -> None:
    """Refuse weights that are not floating-point numbers, or are NaN or infinite.

    Raises:
        CheckpointError: there are such weights.
    """
    for name, array in tensors.items():
        if not is_float(array):
            raise CheckpointError(f"{name} has type {array.dtype.name}; quantised weights cannot be converted")
        count = 0 if allow_nonfinite else count_nonfinite(array)
        if count:
            raise CheckpointError(
                f"{name} has {count} NaN or infinite values; the training run that produced it diverged. "
                "Use another checkpoint, or accept this one with allow_nonfinite=True (converter: --allow_nonfinite)"
            )


def load_weights(
    path: str | Path, allow_nonfinite: bool = False, options: Mapping[str, Any] | None = None
) -> tuple[dict[str, np.ndarray], dict[str, Any] | None]:
    """Read any checkpoint that this package understands.

    Args:
        path: an original `.ckpt`, a torch state dict, a Hugging Face folder, a folder or weight file of this project,
            a single tower, or a name on the Hugging Face hub.
        allow_nonfinite: accept NaN and infinite weights.
        options: a selection of `bridgetower.sources.HUB_OPTIONS`, for a name on the hub.

    Returns:
        Float32 arrays by Paddle names (read-only views of the file where nothing has to be converted or transposed),
        and the fields of a `BridgeTowerConfig`, or None when the file does not contain enough to know them.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        FileNotFoundError: there is nothing at `path`.
    """
    checkpoint = read_checkpoint(local_path(path, options))
    tensors, _, tied = mapped_tensors(checkpoint)
    config: dict[str, Any] | None = None
    try:
        check_numbers(tensors, allow_nonfinite)
        config = config_of(checkpoint, tensors, tied)
    except UnknownSettingError as error:
        logger.info("%s: no configuration (%s)", path, error)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return {name: np.require(as_dtype(array, "float32"), requirements="C") for name, array in tensors.items()}, config


def load_normalization(source: str | PathLike[str], options: Mapping[str, Any] | None = None) -> MeanAndStd:
    """Mean and standard deviation of red, green and blue in the pictures that a checkpoint expects.

    Args:
        source: what `load_weights` reads. The settings of the image processor beside it decide; without any, the
            values of CLIP, as in every released model.
        options: a selection of `bridgetower.sources.HUB_OPTIONS`, for a name on the hub.
    """
    from ..inputs.image_processor import BridgeTowerImageProcessor

    path = Path(source).expanduser()
    try:
        folder = path.parent if path.is_file() else source
        processor = BridgeTowerImageProcessor.from_pretrained(folder, **(options or {}))
    except FileNotFoundError:
        return CLIP_MEAN, CLIP_STD
    return (processor.image_mean, processor.image_std) if processor.num_channels == 3 else (CLIP_MEAN, CLIP_STD)


def load_settings(source: str | PathLike[str], options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Read the settings of a checkpoint; of a name on the hub, only `config.json` is downloaded.

    Args:
        source: what `load_weights` reads, or a file with settings in JSON.
        options: a selection of `bridgetower.sources.HUB_OPTIONS`.

    Returns:
        The content of its `config.json`, which may be the Hugging Face port's; of a checkpoint with none, what its
        weights show.

    Raises:
        CheckpointError: the settings cannot be read or are not known.
        FileNotFoundError: there is nothing at `source`.
    """
    from ..inputs.hub_files import FileSource

    path = Path(source).expanduser()
    if path.is_file():
        if path.suffix == ".json":
            return read_json(path)
    else:
        file = FileSource(source, "config.json", options=options).find("config.json")
        if file is not None:
            return read_json(file)
        if not path.is_dir():
            raise FileNotFoundError(f"{source} on the Hugging Face hub has no config.json")
    config = load_weights(path)[1]
    if config is None:
        raise CheckpointError(f"{source} holds weights but not enough to know their configuration")
    return config
