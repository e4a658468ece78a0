"""What own tables and the folder of a checkpoint say about the inputs, where an experiment says nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..datasets.description import READING_SETTINGS, described_reading, is_described, read_description
from ..experiment import Experiment, SettingsError, TextLength
from ..json_files import read_json_object
from ..ranges import ImageSide, checked

__all__ = ["with_checkpoint_settings", "with_table_settings"]

logger = logging.getLogger(__name__)

_TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt")


def with_table_settings(experiment: Experiment, data_root: str) -> Experiment:
    """The experiment with how the descriptions of its own tables say that pictures are read.

    What the experiment file or the command line names stays. What the tables say wins over a checkpoint.

    Args:
        experiment: of the run.
        data_root: folder of the tables.

    Raises:
        SettingsError: two data sets say different things.
        ValueError: a description is damaged.
    """
    root = Path(data_root).expanduser()
    described = {name: described_reading(read_description(root, name)) for name in experiment.data.datasets
                 if is_described(root, name)}
    found: dict[str, Any] = {}
    for setting in (name for name in READING_SETTINGS if name not in experiment.given):
        values = {name: reading[setting] for name, reading in described.items() if setting in reading}
        if len({*values.values()}) > 1:
            said = ", ".join(f"{name}: {value}".lower() for name, value in values.items())
            raise SettingsError(f"data.datasets were prepared with different --{setting} ({said}); decide with --set "
                                f"data.{setting}={str(next(iter(values.values()))).lower()}")
        if values:
            found[setting] = next(iter(values.values()))
    given = (*experiment.given, *found)
    return replace(experiment, data=replace(experiment.data, **found), given=given) if found else experiment


def with_checkpoint_settings(experiment: Experiment, checkpoint: str | None) -> Experiment:
    """The experiment with the tokenizer, text length and picture settings of a checkpoint's folder.

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
    "scale_16bit": _setting(str, "preprocessor_config.json", "scale_16bit"),
    "apply_exif": _setting(bool, "preprocessor_config.json", "apply_exif"),
}
