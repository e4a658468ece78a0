"""Ours back to torch: the original's `.ckpt` or a Hugging Face folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .convert import COMPANIONS, Options, Plan, check_numbers
from .errors import CheckpointError
from .names.mapping import BASE_PREFIX, from_paddle
from .names.shapes import check_shapes
from .names.sizes import CONTRASTIVE_RETRIEVAL, KNOWN_TEXT_TOWERS, TASK_CLASSES, objectives
from .readers.checkpoint import Checkpoint, read_checkpoint
from .summary import Report, count_parts
from .weights import DECODER, WORDS, shapes_of
from .writers.targets import Output
from .writers.weight_files import Progress, num_bytes, write_safetensors, write_torch

if TYPE_CHECKING:
    from ..config import BridgeTowerConfig

REVERSE_FORMATS = ("ckpt", "huggingface")
HEADS = ("mlm", "itm", "itc", "none")
_PORT_CLASSES = {
    "mlm": "BridgeTowerForMaskedLM",
    "itm": "BridgeTowerForImageAndTextRetrieval",
    "itc": "BridgeTowerForContrastiveLearning",
    "none": "BridgeTowerModel",
}
_PORT_HEAD_NAMES = {"mlm": ("mlm_head.",), "itm": ("itm_head.",), "itc": ("itc_", "logit_scale"), "none": ()}
_TASKS = {name: task for task, name in TASK_CLASSES.items()} | {CONTRASTIVE_RETRIEVAL: "irtr_itm_itc"}
_PATCH_NAMES = {(32, 768): "CLIP-ViT-B/32", (16, 768): "CLIP-ViT-B/16", (14, 1024): "CLIP-ViT-L/14"}


def plan_reverse(source: Path, options: Options, head: str | None = None) -> Plan:
    """Read and check weights of ours for the way back to torch.

    Args:
        source: a folder or weight file of ours.
        options: `output`, `dtype` and `format` (`ckpt` or `huggingface`; by default by the name of the output, else a
            folder becomes a Hugging Face folder and a file a `.ckpt`).
        head: which head a Hugging Face folder gets, one of `HEADS`; its classes have one each.

    Raises:
        CheckpointError: the weights are not ours, are broken, or have no counterpart there.
        FileNotFoundError: there is nothing at `source`.
    """
    checkpoint = read_checkpoint(source)
    try:
        if checkpoint.layout != "paddle":
            raise CheckpointError(f"--reverse takes weights of this project; these have the {checkpoint.layout} layout")
        if options.image_size is not None or options.towers is not None or options.config is not None:
            raise CheckpointError("--image_size, --towers and --config belong to the way from torch, not to --reverse")
        config = _typed_config(checkpoint)
        output, kind = _target(checkpoint, options)
        _check_port(config) if kind == "huggingface" else _check_original(config)
        check_shapes(shapes_of(checkpoint.tensors), _fields(config))
        check_numbers(checkpoint.tensors, options.allow_nonfinite)
        if kind == "ckpt":
            return _plan_original(checkpoint, config, output, options.dtype)
        return _plan_port(checkpoint, config, output, options.dtype, head)
    except CheckpointError as error:
        raise CheckpointError(f"{source}: {error}") from error


def _typed_config(checkpoint: Checkpoint) -> BridgeTowerConfig:
    if checkpoint.config is None:
        raise CheckpointError("there is no config.json beside the weights; put it back")
    if "vision_config" not in checkpoint.config or "text_config" not in checkpoint.config:
        raise CheckpointError("a single tower has no way back; use the checkpoint it came from")
    from ..config import BridgeTowerConfig  # imports Paddle, which the way from torch does without

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


# ---------------------------------------------------------------------------------------------------------------------
# The original's .ckpt


def _check_original(config: BridgeTowerConfig) -> None:
    if config.bridge_type != "add":
        raise CheckpointError(f"bridge_type={config.bridge_type!r} does not exist in the original, only 'add' does")
    if config.vision_config.kind != "clip":
        raise CheckpointError("the original's names of a plain ViT tower are not known; only CLIP towers go back")


def _plan_original(checkpoint: Checkpoint, config: BridgeTowerConfig, output: Path, dtype: str) -> Plan:
    stems = {name.removeprefix(BASE_PREFIX): array for name, array in checkpoint.tensors.items()}
    dropped = {}
    if "logit_scale" in stems:
        reason = "the original's ITC heads read other features than the Hugging Face port's"
        dropped = {name: reason for name in stems if name.startswith(("itc_", "logit_scale"))}
    kept = {name: array for name, array in stems.items() if name not in dropped}
    architecture = (checkpoint.config or {}).get("architectures") or [""]
    task = _TASKS.get(architecture[0], "") or _task_by_shape(kept, config)
    tensors, _ = from_paddle(kept, "original", task=task)
    notes = []
    if "temperature" not in tensors:
        tensors["temperature"] = np.asarray(config.initial_temperature, np.float32)
        notes.append("temperature: no head of this model reads it; the configured first value is written")
    positions = np.arange(config.text_config.max_position_embeddings, dtype=np.int64)[None]
    tensors["text_transformer.embeddings.position_ids"] = positions
    report = Report(str(checkpoint.path), "paddle", count_parts(stems), dropped, notes, [str(output)])
    settings = {"config": flat_config(config, shapes_of(stems), task), "towers": tower_sizes(config)}

    def write(progress: Progress) -> None:
        extra = {"epoch": 0, "global_step": 0, "hyper_parameters": settings}
        with Output() as target:
            target.write(output, lambda beside: write_torch(beside, tensors, dtype, progress, extra))

    return Plan(tensors, report, write, num_bytes(tensors, dtype), output)


def _task_by_shape(stems: dict[str, np.ndarray], config: BridgeTowerConfig) -> str:
    if "classifier.fc2.bias" not in stems:
        return ""
    if config.token_type_vocab_size == 3:
        return "nlvr2"
    return "snli" if stems["classifier.fc2.bias"].shape == (3,) else "vqa"


def flat_config(config: BridgeTowerConfig, shapes: dict[str, tuple[int, ...]], task: str) -> dict[str, Any]:
    """The model settings of the original's flat configuration."""
    text, vision = config.text_config, config.vision_config
    sizes = (text.vocab_size, text.hidden_size, text.num_hidden_layers)
    known = [name for name, size in KNOWN_TEXT_TOWERS.items() if size == sizes]
    active = set(config.objectives) | set(objectives(shapes, {})) | {task}
    if "itm_itc" in active:
        active -= {"itm", "itc"}
    if task == "irtr_itm_itc":
        active -= {"itm", "itc", "itm_itc"}
    if "rank_head.bias" in shapes:
        active.add("irtr")
    losses = ("itm", "mlm", "itc", "itm_itc", "irtr_itm_itc", "vqa", "nlvr2", "irtr", "snli")
    return {
        "model_type": "BT" if config.num_bridges else "METER",
        "meter_fusion": "text_gate.weight" in shapes,
        "loss_names": {name: int(name in active) for name in losses},
        "tokenizer": known[0] if known else text.kind,
        "vocab_size": text.vocab_size,
        "input_text_embed_size": text.hidden_size,
        "vit": _PATCH_NAMES.get((vision.patch_size, vision.hidden_size), "CLIP-ViT"),
        "vit_layernorm_shared": True,
        "vit_remove_last": False,
        "image_size": vision.image_size,
        "resolution_before": vision.image_size,
        "patch_size": vision.patch_size,
        "input_image_embed_size": vision.hidden_size,
        "hidden_size": config.hidden_size,
        "num_heads": config.num_attention_heads,
        "num_layers": config.num_hidden_layers,
        "mlp_ratio": config.intermediate_size / config.hidden_size,
        "drop_rate": config.hidden_dropout_prob,
        "temperature": config.initial_temperature,
        "contrastive_hidden_size": config.contrastive_hidden_size,
        "gather_global_negative": config.gather_global_negative,
        "task_head_layers": 2,
        "head_hidden_scale": config.head_hidden_scale,
        "vqav2_label_size": config.num_labels if task == "vqa" else 3129,
    }


def tower_sizes(config: BridgeTowerConfig) -> dict[str, Any]:
    """The towers as `--towers` wants them, for towers that no name describes."""
    text, vision = config.text_config, config.vision_config
    names = (
        "kind", "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
        "max_position_embeddings", "hidden_dropout_prob", "attention_probs_dropout_prob", "hidden_act", "pad_token_id",
        "bos_token_id", "eos_token_id", "type_vocab_size", "layer_norm_eps",
    )  # fmt: skip
    return {
        "text": {name: vars(text)[name] for name in names},
        "vision": {
            "width": vision.hidden_size, "layers": vision.num_hidden_layers, "heads": vision.num_attention_heads,
            "patch_size": vision.patch_size, "image_size": vision.image_size, "activation": vision.hidden_act,
            "layer_norm_eps": vision.layer_norm_eps,
        },
    }  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# A Hugging Face folder


def _plan_port(checkpoint: Checkpoint, config: BridgeTowerConfig, output: Path, dtype: str, head: str | None) -> Plan:
    stems = {name.removeprefix(BASE_PREFIX): array for name, array in checkpoint.tensors.items()}
    head = _choose_head(stems, checkpoint, head)
    base = {name: array for name, array in stems.items() if part_is_base(name)}
    own = {name: array for name, array in stems.items() if name.startswith(_PORT_HEAD_NAMES[head] or ("-",))}
    reason = f"{_PORT_CLASSES[head]} has no such head; see --head"
    dropped = {name: reason for name in stems if name not in base and name not in own}
    tied = config.tie_word_embeddings and head == "mlm" and _same_table(stems)
    if tied:
        own.pop(DECODER, None)
    prefix = "" if head == "none" else BASE_PREFIX
    tensors, _ = from_paddle(base | own, "huggingface", prefix, link_tower_type=config.bridge_type)
    width = config.text_config.hidden_size
    for part, shape in (("weight", (width, width)), ("bias", (width,))):
        tensors[f"{prefix}text_model.pooler.dense.{part}"] = np.zeros(shape, np.float32)
    notes = ["the text tower's pooler, which nothing reads, is written as zeros"]
    if config.cross_layer_norm_eps != config.text_config.layer_norm_eps:
        notes.append(
            f"the port has one epsilon for the text tower and the cross-modal layers: {config.cross_layer_norm_eps} "
            f"becomes {config.text_config.layer_norm_eps}, which changes features by about 1e-5"
        )
    files = [output / "model.safetensors", output / "config.json"]
    report = Report(str(checkpoint.path), "paddle", count_parts(stems), dropped, notes, [str(file) for file in files])
    settings = port_config(config, head, tied)

    def write(progress: Progress) -> None:
        with Output() as target:
            metadata = {"format": "pt"}
            target.write(files[0], lambda beside: write_safetensors(beside, tensors, dtype, progress, metadata))
            target.text(files[1], json.dumps(settings, indent=2, sort_keys=True) + "\n")
            for name in COMPANIONS:
                if checkpoint.path.is_dir() and (checkpoint.path / name).is_file():
                    target.copy(checkpoint.path / name, output / name)

    return Plan(tensors, report, write, num_bytes(tensors, dtype), output)


def part_is_base(name: str) -> bool:
    """Whether one of our names (without prefix) belongs to the base model."""
    return not any(name.startswith(starts) for starts in (*sum(_PORT_HEAD_NAMES.values(), ()), *_OTHER_HEADS))


_OTHER_HEADS = ("classifier.", "rank_head.", "temperature")


def _same_table(stems: dict[str, np.ndarray]) -> bool:
    return DECODER not in stems or bool(np.array_equal(stems[DECODER], stems[WORDS]))


def _check_port(config: BridgeTowerConfig) -> None:
    """The port derives some sizes from others; a model that differs does not fit into it."""
    text, vision = config.text_config, config.vision_config
    bridge = config.bridge_type
    rules = (
        ("bridge_type", bridge, "add", bridge in ("add", "scaled_add", "interpolate")),
        ("num_bridges", config.num_bridges, config.num_hidden_layers, config.num_bridges == config.num_hidden_layers),
        ("token_type_vocab_size", config.token_type_vocab_size, 2, config.token_type_vocab_size == 2),
        ("text_config.kind", text.kind, "roberta", text.kind == "roberta"),
        ("vision_config.kind", vision.kind, "clip", vision.kind == "clip"),
        ("hidden_size", config.hidden_size, text.hidden_size, config.hidden_size == text.hidden_size),
        ("num_attention_heads", config.num_attention_heads, text.num_attention_heads,
         config.num_attention_heads == text.num_attention_heads),
        ("intermediate_size", config.intermediate_size, text.intermediate_size,
         config.intermediate_size == text.intermediate_size),
        ("vision_config.intermediate_size", vision.intermediate_size, 4 * vision.hidden_size,
         vision.intermediate_size == 4 * vision.hidden_size),
        ("vision_config.num_attention_heads", vision.num_attention_heads, vision.hidden_size // 64,
         vision.num_attention_heads == vision.hidden_size // 64),
    )  # fmt: skip
    for name, value, wanted, fits in rules:
        if not fits:
            raise CheckpointError(
                f"{name}={value}, but the Hugging Face port has {wanted} there; use --format ckpt"
            )


def _choose_head(stems: dict[str, np.ndarray], checkpoint: Checkpoint, head: str | None) -> str:
    markers = {"mlm": "mlm_head.bias", "itm": "itm_head.bias", "itc": "itc_cross_modal_head.bias"}
    present = [name for name, marker in markers.items() if marker in stems]
    if head is None:
        named = (checkpoint.config or {}).get("architectures") or []
        chosen = [name for name in present if _PORT_CLASSES[name] in named]
        return (chosen or present or ["none"])[0]
    if head != "none" and head not in present:
        raise CheckpointError(f"--head {head}: the weights have no such head, only {', '.join(present) or 'none'}")
    return head


def port_config(config: BridgeTowerConfig, head: str, tied: bool) -> dict[str, Any]:
    """`config.json` of the Hugging Face port."""
    text, vision = config.text_config, config.vision_config
    return {
        "architectures": [_PORT_CLASSES[head]],
        "model_type": "bridgetower",
        "torch_dtype": "float32",
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "hidden_act": config.hidden_act,
        "layer_norm_eps": config.layer_norm_eps,
        "link_tower_type": config.bridge_type,
        "share_link_tower_layers": False,
        "share_cross_modal_transformer_layers": True,
        "contrastive_hidden_size": config.contrastive_hidden_size,
        "logit_scale_init_value": 2.6592,
        "tie_word_embeddings": tied,
        "text_config": {
            "vocab_size": text.vocab_size, "hidden_size": text.hidden_size, "hidden_act": text.hidden_act,
            "num_hidden_layers": text.num_hidden_layers, "num_attention_heads": text.num_attention_heads,
            "intermediate_size": text.intermediate_size, "max_position_embeddings": text.max_position_embeddings,
            "type_vocab_size": text.type_vocab_size, "layer_norm_eps": text.layer_norm_eps,
            "hidden_dropout_prob": text.hidden_dropout_prob, "pad_token_id": text.pad_token_id,
            "attention_probs_dropout_prob": text.attention_probs_dropout_prob,
            "bos_token_id": text.bos_token_id, "eos_token_id": text.eos_token_id, "tie_word_embeddings": tied,
        },
        "vision_config": {
            "hidden_size": vision.hidden_size, "num_hidden_layers": vision.num_hidden_layers,
            "patch_size": vision.patch_size, "image_size": vision.image_size, "num_channels": vision.num_channels,
            "layer_norm_eps": vision.layer_norm_eps, "share_layernorm": True,
        },
    }  # fmt: skip
