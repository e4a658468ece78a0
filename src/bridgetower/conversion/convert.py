"""PyTorch checkpoints to Paddle: read, map, check, write."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..files import FileSet
from ..model_parts import BASE_PREFIX
from ..position import resize_position_table
from .conversion_plan import Options, Plan, copy_companions
from .errors import CheckpointError
from .names import check_shapes
from .readers import Checkpoint, read_checkpoint, read_json, widen
from .summary import PARTS, Report, count_parts
from .weights import DECODER, check_numbers, config_of, mapped_tensors, says_tied, shapes_of
from .writers import Progress, num_bytes, write_pdparams, write_safetensors

_WEIGHTS_NAME = {"pdparams": "model_state.pdparams", "safetensors": "model.safetensors"}


def plan_conversion(source: Path, options: Options) -> Plan:
    """Read and check a checkpoint; nothing is written until `write` of the result is called.

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
    """`checkpoint` with its own settings replaced by those that the options name."""
    config = read_json(options.config) if options.config else checkpoint.config
    towers = read_json(options.towers) if options.towers else checkpoint.towers
    return replace(checkpoint, config=config, towers=towers)


def _plan(checkpoint: Checkpoint, options: Options) -> Plan:
    if checkpoint.layout == "paddle":
        raise CheckpointError("these are weights of this project already; use --reverse to go back to torch")
    tensors, rule_report, tied = mapped_tensors(checkpoint)
    config = config_of(checkpoint, tensors, tied)
    check_shapes(shapes_of(tensors), config)
    check_numbers(tensors, options.allow_nonfinite)
    report = Report(str(checkpoint.path), checkpoint.layout, count_parts(tensors), dict(rule_report.dropped))
    if options.image_size is not None:
        _resize(tensors, config, options.image_size, report)
    report.notes += _notes(checkpoint, report, config, DECODER in tensors, tied)
    weights, config_file = _targets(checkpoint, options)
    report.targets += [str(weights), str(config_file)]
    config |= {"dtype": "float32" if options.dtype == "source" else options.dtype}

    def write(progress: Progress) -> None:
        writer = write_safetensors if weights.suffix == ".safetensors" else write_pdparams
        with FileSet() as files:
            files.write(weights, lambda beside: writer(beside, tensors, options.dtype, progress))
            files.text(config_file, json.dumps(config, indent=2, sort_keys=True) + "\n")
            copy_companions(files, checkpoint.path, config_file.parent)

    folder = weights.parent if config_file.name == "config.json" else weights
    return Plan(tensors, report, write, num_bytes(tensors, options.dtype), folder)


def _notes(checkpoint: Checkpoint, report: Report, config: dict[str, Any], has_decoder: bool, tied: bool) -> list[str]:
    notes = []
    if tied:
        notes.append("the MLM decoder is tied to the word embedding table; the table is written for both")
    elif has_decoder and says_tied(checkpoint):
        notes.append(
            "the MLM decoder of the file is kept; transformers would put the word embedding table in its place, "
            "because the settings tie the two (tie_word_embeddings)"
        )
    if "hidden_size" not in config:
        missing = [part for part in PARTS if part not in report.parts and part != "bridges"]
        notes.append(f"newly initialised when a model starts from this tower: {', '.join(missing)}")
    if "temperature" in report.dropped:
        notes.append("newly initialised if ITC is trained: its two heads and the temperature")
    return notes


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
        CheckpointError: the format contradicts the name of the output, or the output is the source.
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
