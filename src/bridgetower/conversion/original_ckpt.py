"""Paddle weights as a `.ckpt` of the original."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files import FileSet
from ..known import IMAGE_TOWERS
from ..model_parts import BASE_PREFIX
from .conversion_plan import Plan
from .errors import CheckpointError
from .names import from_paddle
from .names.derived_config import KNOWN_TEXT_TOWERS
from .names.sizes import CONTRASTIVE_RETRIEVAL, TASK_CLASSES, objectives
from .readers import Checkpoint
from .summary import Report, count_parts
from .weights import shapes_of
from .writers import Progress, num_bytes, write_torch

if TYPE_CHECKING:
    from ..config import BridgeTowerConfig

_TASKS = {name: task for task, name in TASK_CLASSES.items()} | {CONTRASTIVE_RETRIEVAL: "irtr_itm_itc"}
#: CLIP towers that the original knows by name: (patch size, width) to name.
_CLIP_NAMES = {
    (tower.settings["patch_size"], tower.settings.get("hidden_size", 768)): name
    for name, tower in IMAGE_TOWERS.items()
    if tower.settings.get("kind", "clip") == "clip"
}


def check_original(config: BridgeTowerConfig) -> None:
    if config.bridge_type != "add":
        raise CheckpointError(f"bridge_type={config.bridge_type!r} does not exist in the original, only 'add' does")
    if config.vision_config.kind != "clip":
        raise CheckpointError("the original's names of a plain ViT tower are not known; only CLIP towers go back")
    if config.vision_config.num_channels != 3:
        raise CheckpointError(f"vision_config.num_channels={config.vision_config.num_channels}, but the original reads "
                              "three channels; use --format huggingface")
    for name, value in (("hidden_act", config.hidden_act), ("cross_hidden_act", config.cross_hidden_act)):
        if value != "gelu":
            raise CheckpointError(f"{name}={value!r} does not exist in the original, only 'gelu' does")


def plan_original(checkpoint: Checkpoint, config: BridgeTowerConfig, output: Path, dtype: str) -> Plan:
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
        notes.append("temperature: no head of this model reads it; the configured initial value is written")
    positions = np.arange(config.text_config.max_position_embeddings, dtype=np.int64)[None]
    tensors["text_transformer.embeddings.position_ids"] = positions
    report = Report(str(checkpoint.path), "paddle", count_parts(stems), dropped, notes, [str(output)])
    settings = {"config": flat_config(config, shapes_of(stems), task), "towers": tower_sizes(config)}

    def write(progress: Progress) -> None:
        extra = {"epoch": 0, "global_step": 0, "hyper_parameters": settings}
        with FileSet() as target:
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
        "vit": _CLIP_NAMES.get((vision.patch_size, vision.hidden_size), "CLIP-ViT"),
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
        "task_head_layers": config.head_layers,
        "head_hidden_scale": config.head_hidden_scale,
        "vqav2_label_size": config.num_labels if task == "vqa" else 3129,
    }


def tower_sizes(config: BridgeTowerConfig) -> dict[str, Any]:
    """The sizes of the towers in the form that `--towers` reads, for towers without a known name."""
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
