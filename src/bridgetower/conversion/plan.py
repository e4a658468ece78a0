"""What a conversion is asked for and what it will write, in either direction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..files import FileSet
from .errors import CheckpointError
from .readers import count_nonfinite, is_float
from .summary import Report
from .writers import Progress

#: Files of a Hugging Face folder that belong to the tokenizer and the image processor and hold for our model too.
COMPANIONS = (
    "vocab.json", "merges.txt", "vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "preprocessor_config.json",
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """How to convert.

    Attributes:
        output: a weight file or a folder; None: beside the source.
        format: one of `FORMATS`; None: by the name of `output`, else `pdparams`.
        image_size: side in pixels to resize the position table to; None: as it is.
        towers: a JSON file with sizes of towers.
        config: a JSON file with the original's flat configuration, for weights that carry none.
        dtype: `float32`, `float16`, or `source` to keep what the checkpoint has.
        allow_nonfinite: let NaN and infinite weights pass.
    """

    output: Path | None = None
    format: str | None = None
    image_size: int | None = None
    towers: Path | None = None
    config: Path | None = None
    dtype: str = "float32"
    allow_nonfinite: bool = False


@dataclass(frozen=True)
class Plan:
    """A checked conversion, ready to be written.

    Attributes:
        tensors: names of the target to arrays (views of the source).
        report: what will have happened.
        write: writes all files; takes a `Progress`.
        num_bytes: how many bytes of weights that will be.
        folder: what `from_pretrained` is to be given afterwards.
    """

    tensors: Mapping[str, np.ndarray]
    report: Report
    write: Callable[[Progress], None]
    num_bytes: int
    folder: Path


def check_numbers(tensors: Mapping[str, np.ndarray], allow_nonfinite: bool) -> None:
    """Refuse weights that are no floating numbers, NaN or infinite.

    Raises:
        CheckpointError: there are some.
    """
    for name, array in tensors.items():
        if not is_float(array):
            raise CheckpointError(f"{name} has type {array.dtype.name}; quantised weights cannot be converted")
        count = 0 if allow_nonfinite else count_nonfinite(array)
        if count:
            raise CheckpointError(
                f"{name} has {count} NaN or infinite values; the training that made it diverged. "
                "Use another checkpoint, or --allow_nonfinite to convert it as it is"
            )


def copy_companions(files: FileSet, source: Path, folder: Path) -> None:
    """Copy the tokenizer and image processor files of a source folder; does nothing when `source` is a file."""
    for name in COMPANIONS:
        if source.is_dir() and folder != source and (source / name).is_file():
            files.copy(source / name, folder / name)
