"""From Paddle back to PyTorch: read and check weights of this project, then plan a `.ckpt` or a Hugging Face folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .conversion_plan import Options, Plan
from .errors import CheckpointError
from .names import check_shapes
from .original_ckpt import check_original, plan_original
from .port_folder import check_port, plan_port
from .readers import Checkpoint, read_checkpoint
from .weights import check_numbers, shapes_of

if TYPE_CHECKING:
    from ..config import BridgeTowerConfig


def plan_reverse(source: Path, options: Options, head: str | None = None) -> Plan:
    """Read and check weights of this project for conversion back to PyTorch.

    Args:
        source: a folder or weight file of this project.
        options: `output`, `dtype` and `format` (`ckpt` or `huggingface`; by default the name of the output decides,
            else a folder becomes a Hugging Face folder and a file becomes a `.ckpt`).
        head: which head a Hugging Face folder keeps: `mlm`, `itm`, `itc` or `none`; its classes have one each.

    Raises:
        CheckpointError: the weights are of another project, are broken, or have no counterpart in PyTorch.
        FileNotFoundError: there is nothing at `source`.
    """
    checkpoint = read_checkpoint(source)  # its errors name the file
    try:
        return _plan(checkpoint, options, head)
    except CheckpointError as error:
        raise CheckpointError(f"{source}: {error}") from error


def _plan(checkpoint: Checkpoint, options: Options, head: str | None) -> Plan:
    if checkpoint.layout != "paddle":
        raise CheckpointError(f"--reverse takes weights of this project; these have the {checkpoint.layout} layout")
    if options.image_size is not None or options.towers is not None or options.config is not None:
        raise CheckpointError("--image_size, --towers and --config belong to the way from torch, not to --reverse")
    config = _typed_config(checkpoint)
    output, kind = _target(checkpoint, options)
    check_port(config) if kind == "huggingface" else check_original(config)
    check_shapes(shapes_of(checkpoint.tensors), _fields(config))
    check_numbers(checkpoint.tensors, options.allow_nonfinite)
    if kind == "ckpt":
        return plan_original(checkpoint, config, output, options.dtype)
    return plan_port(checkpoint, config, output, options.dtype, head)


def write_port_folder(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Write a folder of this project as one that transformers' BridgeTower reads; NaN is kept.

    Args:
        source: a folder that `save_pretrained` wrote.
        target: the folder to write.

    Raises:
        CheckpointError: the port has no such model.
    """
    options = Options(output=Path(target).expanduser(), format="huggingface", dtype="source", allow_nonfinite=True)
    _plan(read_checkpoint(Path(source)), options, None).write(lambda done: None)


def _typed_config(checkpoint: Checkpoint) -> BridgeTowerConfig:
    if checkpoint.config is None:
        raise CheckpointError("there is no config.json beside the weights; put it back")
    if "vision_config" not in checkpoint.config or "text_config" not in checkpoint.config:
        raise CheckpointError("a single tower has no way back to torch; use the checkpoint it came from")
    from ..config import BridgeTowerConfig  # imports Paddle, which conversion from torch does not need

    try:
        return BridgeTowerConfig(**checkpoint.config)
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"config.json: {error}") from error


def _fields(config: BridgeTowerConfig) -> dict[str, Any]:
    fields = dict(vars(config))
    fields["num_labels"] = config.num_labels
    return fields | {"text_config": vars(config.text_config), "vision_config": vars(config.vision_config)}


def _target(checkpoint: Checkpoint, options: Options) -> tuple[Path, str]:
    source, output = checkpoint.path.resolve(), options.output
    kind = options.format
    if kind is None:
        is_folder = source.is_dir() if output is None else output.suffix not in (".ckpt", ".pt", ".pth")
        kind = "huggingface" if is_folder else "ckpt"
    if output is None:
        stem = source.name if source.is_dir() else source.name.removesuffix(source.suffix).removesuffix(".ckpt")
        output = source.with_name(f"{stem}-torch" if kind == "huggingface" else f"{stem}.torch.ckpt")
    if output.exists() and output.is_dir() == (kind == "ckpt"):
        raise CheckpointError(f"--output {output} is a {'folder' if kind == 'ckpt' else 'file'}; name another")
    if output.resolve() == source or output.resolve() == source.parent:
        raise CheckpointError(f"{output} holds the source; give another --output")
    return output, kind
