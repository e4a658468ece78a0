"""The description of a user's own tables, `NAME.json`, which is all that makes `NAME` a data set."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["FORMAT", "READING_SETTINGS", "described_reading", "description_path", "is_described", "read_description"]

FORMAT = "bridgetower.tables/1"
#: What a description may say about reading its pictures, see `picture_files.picture_reading`.
READING_SETTINGS = ("scale_16bit", "apply_exif")


def description_path(folder: Path, name: str) -> Path:
    """Where the description of a data set is."""
    return folder / f"{name}.json"


def is_described(folder: Path, name: str) -> bool:
    """Whether a folder holds own tables of this name."""
    return description_path(folder, name).is_file()


def described_reading(description: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a `PictureReading` that a description names; earlier ones name none."""
    return {name: description[name] for name in READING_SETTINGS if name in description}


def read_description(folder: Path, name: str) -> dict[str, Any]:
    """What `python -m bridgetower.preparation table` wrote about a data set.

    Raises:
        ValueError: the file is damaged or something else.
    """
    path = description_path(folder, name)
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: not valid JSON ({error}); make it again") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise ValueError(
            f"{path}: does not describe tables ({FORMAT}); make it with `python -m bridgetower.preparation table`"
        )
    return description
