"""What the folder of a checkpoint says about its inputs, where an experiment says nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..experiment import Experiment, TextLength
from ..json_files import read_json_object
from ..ranges import ImageSide, checked

__all__ = ["with_checkpoint_settings"]

logger = logging.getLogger(__name__)

_TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt")


def with_checkpoint_settings(experiment: Experiment, checkpoint: str | None) -> Experiment:
    """The experiment with the tokenizer, image size, transforms and text length of a checkpoint's folder.

    What the experiment file or the command line names stays.

    Args:
        experiment: of the run.
        checkpoint: value of `--checkpoint_path`; nothing changes unless it is a folder.
    """
    folder = Path(checkpoint or "")
    if not checkpoint or not folder.is_dir():
        return experiment
    found = {name: read(folder) for name, read in _READ.items() if name not in experiment.given}
    changes = {name: value for name, value in found.items() if value is not None}
    if changes:
        logger.info("from %s: %s", folder, ", ".join(f"data.{name}={value}" for name, value in changes.items()))
    return replace(experiment, data=replace(experiment.data, **changes))


def _setting(hint: Any, file: str, *keys: str) -> Callable[[Path], Any]:
    """Read one setting of a JSON file, of a type and range; None where there is no such file or setting."""

    def read(folder: Path) -> Any:
        path = folder / file
        value: Any = read_json_object(path) if path.is_file() else None
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return None if value is None else checked(value, hint, f"{path}: {'.'.join(keys)}")

    return read


def _tokenizer(folder: Path) -> str | None:
    return str(folder) if any((folder / name).is_file() for name in _TOKENIZERS) else None


_TRANSFORM = _setting(str, "preprocessor_config.json", "transform")
_READ: dict[str, Callable[[Path], Any]] = {
    "tokenizer": _tokenizer,
    "image_size": _setting(ImageSide, "config.json", "vision_config", "image_size"),
    "train_transform": _TRANSFORM,
    "eval_transform": _TRANSFORM,
    "max_text_len": _setting(TextLength, "experiment.json", "data", "max_text_len"),
}
