"""PyTorch checkpoints to ours: read, map, check, write."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..position import resize_position_table
from .errors import CheckpointError
from .names.mapping import BASE_PREFIX
from .names.shapes import check_shapes
from .readers.arrays import count_nonfinite, is_float, widen
from .readers.checkpoint import Checkpoint, read_checkpoint, read_json
from .summary import Report, count_parts
from .weights import DECODER, config_of, mapped_tensors, says_tied, shapes_of
from .writers.targets import Output
from .writers.weight_files import Progress, num_bytes, write_pdparams, write_safetensors

FORMATS = ("pdparams", "safetensors")
#: Files of a Hugging Face folder that belong to the tokenizer and the image processor and hold for our model too.
COMPANIONS = (
    "vocab.json", "merges.txt", "vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "preprocessor_config.json",
)  # fmt: skip
_WEIGHTS_NAME = {"pdparams": "model_state.pdparams", "safetensors": "model.safetensors"}


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


def plan_conversion(source: Path, options: Options) -> Plan:
    """Read and check a checkpoint; nothing is written before `write` of the result is called.

    Raises:
        CheckpointError: the checkpoint cannot be used, or the options do not fit it.
        FileNotFoundError: there is nothing at `source`.
    """
    checkpoint = read_checkpoint(source)
    try:
        return _plan(with_settings(checkpoint, options), options)
    except CheckpointError as error:
        text = str(error)
        raise CheckpointError(text if text.startswith(str(source)) else f"{source}: {text}") from error


def with_settings(checkpoint: Checkpoint, options: Options) -> Checkpoint:
    """`checkpoint` with the settings that the options name instead of its own."""
    config = read_json(options.config) if options.config else checkpoint.config
    towers = read_json(options.towers) if options.towers else checkpoint.towers
    return Checkpoint(checkpoint.path, checkpoint.files, checkpoint.tensors, checkpoint.layout, config, towers)


def _plan(checkpoint: Checkpoint, options: Options) -> Plan:
    if checkpoint.layout == "paddle":
        raise CheckpointError("these are weights of this project already; use --reverse to go back to torch")
    tensors, rule_report, tied = mapped_tensors(checkpoint)
    config = config_of(checkpoint, tensors, tied)
    check_shapes(shapes_of(tensors), config)
    check_numbers(tensors, options.allow_nonfinite)
    parts = count_parts(tensors)
    report = Report(str(checkpoint.path), checkpoint.layout, parts, dict(rule_report.dropped))
    if options.image_size is not None:
        _resize(tensors, config, options.image_size, report)
    if tied:
        report.notes.append("the MLM decoder is the word embedding table (tied); it is written for both")
    elif DECODER in tensors and says_tied(checkpoint):
        report.notes.append(
            "the MLM decoder of the file is kept; transformers would put the word embedding table in its place, as "
            "text_config.tie_word_embeddings is not false"
        )
    if "hidden_size" not in config:
        missing = [part for part in ("text tower", "image tower", "cross-modal", "heads") if part not in parts]
        report.notes.append(f"newly initialised when a model starts from this tower: {', '.join(missing)}")
    if "temperature" in rule_report.dropped:
        report.notes.append("newly initialised if ITC is trained: its two heads and the temperature")
    weights, config_file = _targets(checkpoint, options)
    report.targets += [str(weights), str(config_file)]
    config |= {"dtype": "float32" if options.dtype == "source" else options.dtype}

    def write(progress: Progress) -> None:
        writer = write_safetensors if weights.suffix == ".safetensors" else write_pdparams
        with Output() as output:
            output.write(weights, lambda beside: writer(beside, tensors, options.dtype, progress))
            output.text(config_file, json.dumps(config, indent=2, sort_keys=True) + "\n")
            if checkpoint.path.is_dir() and config_file.parent != checkpoint.path:
                for name in COMPANIONS:
                    if (checkpoint.path / name).is_file():
                        output.copy(checkpoint.path / name, config_file.parent / name)

    folder = weights.parent if config_file.name == "config.json" else weights
    return Plan(tensors, report, write, num_bytes(tensors, options.dtype), folder)


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


def _resize(tensors: dict[str, np.ndarray], config: dict[str, Any], image_size: int, report: Report) -> None:
    vision = config.get("vision_config")
    if vision is None:
        raise CheckpointError("--image_size needs an image tower, which this checkpoint does not have")
    patch = vision["patch_size"]
    if image_size < patch or image_size % patch:
        nearest = max(1, image_size // patch) * patch
        raise CheckpointError(f"image_size={image_size} is not a multiple of patch_size={patch}; try {nearest}")
    old, new = vision["image_size"] // patch, image_size // patch
    name = next(name for name in tensors if name.removeprefix(BASE_PREFIX) == "image_tower.position_embedding")
    tensors[name] = resize_position_table(widen(tensors[name]), 1 + new * new)
    vision["image_size"] = image_size
    if new != old:
        report.notes.append(f"image position table resized from {old}x{old} to {new}x{new} patches")


def _targets(checkpoint: Checkpoint, options: Options) -> tuple[Path, Path]:
    """(weight file, config file).

    Raises:
        CheckpointError: the format and the output's name contradict each other, or the output is the source.
    """
    source, output = checkpoint.path, options.output
    is_file = output is not None and output.suffix in (".pdparams", ".safetensors")
    by_name = output.suffix[1:] if is_file and output is not None else None
    kind = options.format or by_name or "pdparams"
    if by_name and kind != by_name:
        raise CheckpointError(f"--output {output} says {by_name}, --format says {kind}; drop one of them")
    if output is None and source.is_dir():
        output = source.resolve().with_name(f"{source.resolve().name}-paddle")
    if output is None:
        output, is_file = source.with_name(f"{source.name}.{kind}"), True
    if is_file:
        weights, config_file = output, output.with_name(f"{output.stem}.config.json")
    else:
        weights, config_file = output / _WEIGHTS_NAME[kind], output / "config.json"
    if output.exists() and output.is_dir() == is_file:
        raise CheckpointError(f"--output {output} is a {'folder' if is_file else 'file'}; name another")
    for target in (weights, config_file):
        if target.resolve() in {file.resolve() for file in (*checkpoint.files, source / "config.json")}:
            raise CheckpointError(f"{target} would overwrite the source; give --output")
    return weights, config_file
