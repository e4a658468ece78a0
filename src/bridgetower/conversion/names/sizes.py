"""What the names and shapes of weights say about their model: sizes, objectives and the class."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import CheckpointError

Shapes = Mapping[str, tuple[int, ...]]
Settings = dict[str, Any]


def depth(names: Iterable[str], stack: str) -> int:
    """Number of layers of a stack such as `text_tower.layers`.

    Raises:
        CheckpointError: a layer in between is missing.
    """
    pattern = re.compile(re.escape(stack) + r"\.(\d+)\.")
    found = {int(match.group(1)) for match in map(pattern.match, names) if match}
    missing = sorted(set(range(len(found))) - found)
    if missing:
        raise CheckpointError(f"{stack}.{missing[0]} is missing, {stack}.{max(found)} is there; the file is incomplete")
    return len(found)


def _axis(shapes: Shapes, name: str, axis: int, rank: int) -> int:
    if name not in shapes:
        raise CheckpointError(f"{name} is missing; the checkpoint is incomplete")
    if len(shapes[name]) != rank or not all(shapes[name]):
        raise CheckpointError(f"{name} has shape {shapes[name]}; expected {rank} axes")
    return shapes[name][axis]


def has_text(shapes: Shapes) -> bool:
    """Whether any tensor belongs to a text tower."""
    return any(name.startswith("text_tower.") for name in shapes)


def has_image(shapes: Shapes) -> bool:
    """Whether any tensor belongs to an image tower."""
    return any(name.startswith("image_tower.") for name in shapes)


def has_cross_modal(shapes: Shapes) -> bool:
    """Whether any tensor belongs to neither tower."""
    return any(not name.startswith(("text_tower.", "image_tower.")) for name in shapes)


def text_sizes(shapes: Shapes) -> Settings:
    """The sizes of a text tower, from its weights."""
    embeddings = "text_tower.embeddings"
    return {
        "vocab_size": _axis(shapes, f"{embeddings}.word_embeddings.weight", 0, 2),
        "hidden_size": _axis(shapes, f"{embeddings}.norm.weight", 0, 1),
        "num_hidden_layers": depth(shapes, "text_tower.layers"),
        "intermediate_size": _axis(shapes, "text_tower.layers.0.mlp.fc1.bias", 0, 1),
        "max_position_embeddings": _axis(shapes, f"{embeddings}.position_embeddings.weight", 0, 2),
        "type_vocab_size": _axis(shapes, f"{embeddings}.token_type_embeddings.weight", 0, 2),
    }


def image_sizes(shapes: Shapes) -> Settings:
    """The sizes of an image tower, from its weights; CLIP and plain ViTs differ by the first LayerNorm."""
    patch = _axis(shapes, "image_tower.patch_embedding.weight", 3, 4)
    if shapes["image_tower.patch_embedding.weight"][2] != patch:
        shape = shapes["image_tower.patch_embedding.weight"]
        raise CheckpointError(f"image_tower.patch_embedding.weight has shape {shape}; patches must be square")
    tokens = _axis(shapes, "image_tower.position_embedding", 0, 2)
    grid = math.isqrt(max(tokens - 1, 0))
    if grid * grid != tokens - 1 or not grid:
        raise CheckpointError(f"image_tower.position_embedding has {tokens} rows, not a class token and a square grid")
    width = _axis(shapes, "image_tower.class_embedding", 0, 1)
    return {
        "kind": "clip" if "image_tower.pre_norm.weight" in shapes else "vit",
        "hidden_size": width,
        "num_hidden_layers": depth(shapes, "image_tower.layers"),
        "intermediate_size": _axis(shapes, "image_tower.layers.0.mlp.fc1.bias", 0, 1),
        "patch_size": patch,
        "image_size": grid * patch,
        "num_channels": _axis(shapes, "image_tower.patch_embedding.weight", 1, 4),
    }


def cross_modal_sizes(shapes: Shapes) -> Settings:
    """The sizes of the cross-modal encoder and the heads, from their weights."""
    width = _axis(shapes, "text_projection.bias", 0, 1)
    layers = depth(shapes, "cross_modal_text_layers")
    is_meter = "text_input_norm.weight" not in shapes
    sizes: Settings = {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "intermediate_size": _axis(shapes, "cross_modal_text_layers.0.mlp.fc1.bias", 0, 1),
        "num_bridges": 0 if is_meter else 1 + depth(shapes, "text_bridges"),
        "gated_fusion": "text_gate.weight" in shapes,
        "token_type_vocab_size": _axis(shapes, "token_type_embeddings.weight", 0, 2),
    }
    if "itc_text_head.bias" in shapes:
        sizes["contrastive_hidden_size"] = _axis(shapes, "itc_text_head.bias", 0, 1)
    if "classifier.fc2.bias" in shapes:
        sizes["num_labels"] = _axis(shapes, "classifier.fc2.bias", 0, 1)
        sizes["head_layers"] = 2 if "classifier.fc1.bias" in shapes else 1
    if "classifier.fc1.bias" in shapes:
        sizes["head_hidden_scale"] = _axis(shapes, "classifier.fc1.bias", 0, 1) / (2 * width)
    return sizes


_OBJECTIVE_HEADS = {"mlm": "mlm_head.bias", "itm": "itm_head.bias", "itc": "itc_text_head.bias"}


def objectives(shapes: Shapes, source: Settings) -> list[str]:
    """The objectives of the heads; `source` decides between ITM with hard negatives and ITM beside ITC."""
    losses = source.get("loss_names") or {}
    if losses.get("itm_itc") or losses.get("irtr_itm_itc"):
        return (["mlm"] if _OBJECTIVE_HEADS["mlm"] in shapes else []) + ["itm_itc"]
    return [name for name, head in _OBJECTIVE_HEADS.items() if head in shapes]


#: The model class for the classifier of each task.
TASK_CLASSES = {
    "vqa": "BridgeTowerForQuestionAnswering",
    "snli": "BridgeTowerForVisualEntailment",
    "nlvr2": "BridgeTowerForImagesAndTextClassification",
}
#: The model class for retrieval fine-tuning by ITC and ITM with hard negatives.
CONTRASTIVE_RETRIEVAL = "BridgeTowerForContrastiveRetrieval"


def architecture(shapes: Shapes, task: str, source: Settings) -> str:
    """The model class that has the heads of a checkpoint.

    Retrieval fine-tuning by ITC has two of the heads of pre-training. It is recognised by `source`, or else by the
    missing MLM head, as nobody pre-trains without MLM.
    """
    if task:
        return TASK_CLASSES[task]
    if "itc_cross_modal_head.bias" in shapes:
        return "BridgeTowerForContrastiveLearning"
    if "rank_head.bias" in shapes:
        return "BridgeTowerForRetrievalRanking"
    losses = source.get("loss_names") or {}
    heads = [name for name, head in _OBJECTIVE_HEADS.items() if head in shapes]
    if losses.get("irtr_itm_itc") or (not losses and heads == ["itm", "itc"]):
        return CONTRASTIVE_RETRIEVAL
    single = {"mlm": "BridgeTowerForMaskedLM", "itm": "BridgeTowerForImageAndTextRetrieval"}
    if len(heads) == 1 and heads[0] in single:
        return single[heads[0]]
    return "BridgeTowerForPreTraining" if heads else "BridgeTowerModel"
