"""Paddle weights as a Hugging Face folder of transformers' BridgeTower."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files import FileSet
from ..model_parts import BASE_PREFIX, is_head
from .conversion_plan import Plan, copy_companions
from .errors import CheckpointError
from .names import from_paddle
from .readers import Checkpoint
from .summary import Report, count_parts
from .weights import DECODER, WORDS
from .writers import Progress, num_bytes, write_safetensors

if TYPE_CHECKING:
    from ..config import BridgeTowerConfig

_PORT_CLASSES = {
    "mlm": "BridgeTowerForMaskedLM",
    "itm": "BridgeTowerForImageAndTextRetrieval",
    "itc": "BridgeTowerForContrastiveLearning",
    "none": "BridgeTowerModel",
}
_PORT_HEAD_NAMES = {"mlm": ("mlm_head.",), "itm": ("itm_head.",), "itc": ("itc_", "logit_scale"), "none": ()}


def plan_port(checkpoint: Checkpoint, config: BridgeTowerConfig, output: Path, dtype: str, head: str | None) -> Plan:
    stems = {name.removeprefix(BASE_PREFIX): array for name, array in checkpoint.tensors.items()}
    head = _choose_head(stems, checkpoint, head)
    base = {name: array for name, array in stems.items() if not is_head(name)}
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
    if head == "mlm" and config.mlm_layer_norm_eps != config.layer_norm_eps:
        notes.append(
            f"the port has one epsilon for the MLM head and the bridges: {config.mlm_layer_norm_eps} becomes "
            f"{config.layer_norm_eps}"
        )
    if config.vision_config.num_channels == 1:
        notes.append(
            "the port reads pixel_values (B, 1, S, S), but its processor makes three channels; make them with "
            "BridgeTowerImageProcessor of this project"
        )
    files = [output / "model.safetensors", output / "config.json"]
    report = Report(str(checkpoint.path), "paddle", count_parts(stems), dropped, notes, [str(file) for file in files])
    settings = port_config(config, head, tied)

    def write(progress: Progress) -> None:
        with FileSet() as target:
            metadata = {"format": "pt"}
            target.write(files[0], lambda beside: write_safetensors(beside, tensors, dtype, progress, metadata))
            target.text(files[1], json.dumps(settings, indent=2, sort_keys=True) + "\n")
            copy_companions(target, checkpoint.path, output)

    return Plan(tensors, report, write, num_bytes(tensors, dtype), output)


def _same_table(stems: dict[str, np.ndarray]) -> bool:
    return DECODER not in stems or bool(np.array_equal(stems[DECODER], stems[WORDS]))


def check_port(config: BridgeTowerConfig) -> None:
    """Refuse a model that the port cannot hold, because it derives some sizes from others."""
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
        ("cross_hidden_act", config.cross_hidden_act, text.hidden_act, config.cross_hidden_act == text.hidden_act),
        ("vision_config.hidden_act", vision.hidden_act, "quick_gelu", vision.hidden_act == "quick_gelu"),
        ("vision_config.num_hidden_layers", vision.num_hidden_layers, text.num_hidden_layers,
         vision.num_hidden_layers == text.num_hidden_layers
         or (config.num_hidden_layers == 1 and vision.num_hidden_layers < text.num_hidden_layers)),
        ("vision_config.num_attention_heads", vision.num_attention_heads, vision.hidden_size // 64,
         vision.num_attention_heads == vision.hidden_size // 64),
    )  # fmt: skip
    for name, value, wanted, fits in rules:
        if not fits:
            raise CheckpointError(
                f"{name}={value}, but the Hugging Face port has {wanted} there; use --reverse --format ckpt"
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
