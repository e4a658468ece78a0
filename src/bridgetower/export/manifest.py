"""What an exported folder says of itself, in `export.json`; `labels.json` has the names of its classes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

__all__ = ["FORMATS", "LABELS_FILE", "MANIFEST_FILE", "PARTS", "Manifest", "program_files"]

MANIFEST_FILE = "export.json"
LABELS_FILE = "labels.json"
#: The programs of a folder.
PARTS = ("text", "image", "fusion")
#: The endings of the files of a program, by format; `int8` is ONNX with 8-bit weights.
FORMATS = {"paddle": (".json", ".pdiparams"), "onnx": (".onnx",), "int8": (".int8.onnx",)}
_FORMAT_VERSION = 1


def program_files(file_format: str, part: str) -> tuple[str, ...]:
    """The names of the files of one program in one of `FORMATS`."""
    return tuple(part + ending for ending in FORMATS[file_format])


@dataclass(frozen=True)
class Manifest:
    """The facts that the loader needs.

    Attributes:
        task: what was exported, one of `bridgetower.export.parts.TASKS`.
        model_class: the class whose outputs the programs compute.
        output: what the fusion returns: `logits`, `scores` or `vectors`.
        has_vectors: whether the towers return unit vectors to compare, too.
        num_states: states K that each tower hands to the fusion.
        image_size: side of the images in pixels.
        max_text_len: tokens that a text given as a string is cut to.
        max_positions: tokens that the position table of the text tower holds.
        pad_token_id: what fills short texts; `encode_text` takes its mask from it when none is given.
        formats: those of `FORMATS` that the folder holds; earlier exports, which do not say so, hold Paddle's.
        num_channels: of the images; 3 in earlier exports, which do not say so.
        format_version: of this file.
    """

    task: str
    model_class: str
    output: str
    has_vectors: bool
    num_states: int
    image_size: int
    max_text_len: int
    max_positions: int
    pad_token_id: int
    formats: tuple[str, ...] = ("paddle",)
    num_channels: int = 3
    format_version: int = _FORMAT_VERSION

    def write(self, folder: Path) -> None:
        """Write `export.json` into a folder."""
        (folder / MANIFEST_FILE).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read the `export.json` of a folder.

        Raises:
            FileNotFoundError: the folder is no export, or a program is missing.
            ValueError: the file cannot be used.
        """
        path = folder / MANIFEST_FILE
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist; {folder} is no exported model: make one with export.py")
        values = _read_object(path)
        values = {"formats": ["paddle"], "num_channels": 3, **values}
        missing = [field.name for field in fields(cls) if field.name not in values]
        if values.get("format_version") != _FORMAT_VERSION or missing:
            what = f"it lacks {', '.join(missing)}" if missing else f"format_version={values['format_version']!r}"
            raise ValueError(f"{path} is of another version ({what}); export the checkpoint again")
        formats = tuple(values["formats"])
        if unknown := [name for name in formats if name not in FORMATS]:
            raise ValueError(f"{path} names the unknown format {unknown[0]!r}; export the checkpoint again")
        files = [name for each in formats for part in PARTS for name in program_files(each, part)]
        lost = [name for name in files if not (folder / name).is_file()]
        if lost:
            raise FileNotFoundError(f"{folder} lacks {', '.join(lost)}; export the checkpoint again")
        return cls(**{**{field.name: values[field.name] for field in fields(cls)}, "formats": formats})


def _read_object(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds a {type(values).__name__}, expected an object")
    return values
