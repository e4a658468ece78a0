"""What a conversion is asked for and what it will write, in either direction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..files import FileSet
from .summary import Report
from .writers import Progress

#: Tokenizer and image processor files of a Hugging Face folder, which are valid for the Paddle model too.
COMPANIONS = (
    "vocab.json", "merges.txt", "vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "preprocessor_config.json",
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """The options of a conversion.

    Attributes:
        output: a weight file or a folder; None: a name beside the source.
        format: `pdparams` or `safetensors`, with `plan_reverse` `ckpt` or `huggingface`; None: taken from the name of
            `output`, else `pdparams`.
        image_size: side S in pixels that the position table is resized to; None leaves it as it is.
        towers: a JSON file with the sizes of the towers.
        config: a JSON file with the original's flat configuration, for weights that carry none.
        dtype: `float32`, `float16`, or `source` to keep what the checkpoint has.
        allow_nonfinite: accept NaN and infinite weights.
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
        tensors: arrays by their names in the target (views of the source).
        report: what the conversion does.
        write: writes all files; it reports the bytes written to a `Progress`.
        num_bytes: how many bytes of weights it writes.
        folder: what to pass to `from_pretrained` afterwards.
    """

    tensors: Mapping[str, np.ndarray]
    report: Report
    write: Callable[[Progress], None]
    num_bytes: int
    folder: Path


def copy_companions(files: FileSet, source: Path, folder: Path) -> None:
    """Copy the tokenizer and image processor files of a source folder; does nothing when `source` is a file."""
    for name in COMPANIONS:
        if source.is_dir() and folder != source and (source / name).is_file():
            files.copy(source / name, folder / name)
