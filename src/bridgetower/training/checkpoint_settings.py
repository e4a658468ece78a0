"""What the folder of a checkpoint says about its inputs, where an experiment says nothing."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..experiment import Experiment

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


def _setting(file: str, *keys: str) -> Callable[[Path], Any]:
    """Read one setting of a JSON file; None where there is no such file or setting."""

    def read(folder: Path) -> Any:
        path = folder / file
        value: Any = None
        try:
            value = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        except ValueError as error:
            raise ValueError(f"{path} is not JSON: {error}") from None
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    return read


def _tokenizer(folder: Path) -> str | None:
    return str(folder) if any((folder / name).is_file() for name in _TOKENIZERS) else None


_TRANSFORM = _setting("preprocessor_config.json", "transform")
_READ: dict[str, Callable[[Path], Any]] = {
    "tokenizer": _tokenizer,
    "image_size": _setting("config.json", "vision_config", "image_size"),
    "train_transform": _TRANSFORM,
    "eval_transform": _TRANSFORM,
    "max_text_len": _setting("experiment.json", "data", "max_text_len"),
}
