"""The flat configuration of the original implementation, as the settings of a `BridgeTowerConfig`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..known import IMAGE_TOWERS, TEXT_TOWERS, nearest

__all__ = ["from_original"]


def from_original(flat: Mapping[str, Any], towers: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a model from those of an original checkpoint.

    Args:
        flat: the original's configuration (`src/config.py`), as stored in its checkpoints.
        towers: sizes of the towers, `{"text": {...}, "vision": {...}}`, for towers whose names are not known.

    Raises:
        ValueError: when a tower is neither known by name nor described by `towers`.
    """
    hidden, losses, threshold = flat["hidden_size"], flat.get("loss_names", {}), flat.get("task_threshold", 0)
    objectives = [name for name in ("mlm", "itm", "itc", "itm_itc") if losses.get(name, 0) > threshold]
    if losses.get("irtr_itm_itc", 0) > threshold:
        objectives.append("itm_itc")
    is_meter = flat.get("model_type", "BT") != "BT"
    return dict(
        text_config=_text(flat, towers.get("text")),
        vision_config=_vision(flat, towers.get("vision")),
        hidden_size=hidden,
        num_hidden_layers=flat["num_layers"],
        num_attention_heads=flat["num_heads"],
        intermediate_size=int(hidden * flat.get("mlp_ratio", 4)),
        num_bridges=0 if is_meter else None,
        gated_fusion=is_meter and bool(flat.get("meter_fusion")),
        hidden_dropout_prob=flat.get("drop_rate", 0.1),
        attention_probs_dropout_prob=flat.get("drop_rate", 0.1),
        token_type_vocab_size=3 if losses.get("nlvr2", 0) > threshold else 2,
        contrastive_hidden_size=flat.get("contrastive_hidden_size", 256),
        initial_temperature=flat.get("temperature", 0.07),
        gather_global_negative=bool(flat.get("gather_global_negative")),
        objectives=objectives,
        head_layers=flat.get("task_head_layers", 2),
        head_hidden_scale=flat.get("head_hidden_scale", 1),
        num_labels=_num_labels(flat, losses, threshold),
    )


def _num_labels(flat: Mapping[str, Any], losses: Mapping[str, float], threshold: float) -> int:
    for task, size in (("vqa", flat.get("vqav2_label_size", 3129)), ("snli", 3), ("nlvr2", 2)):
        if losses.get(task, 0) > threshold:
            return int(size)
    return 2


def _text(flat: Mapping[str, Any], sizes: Mapping[str, Any] | None) -> dict[str, Any]:
    if sizes is not None:
        return dict(sizes)
    name = flat["tokenizer"]
    if name not in TEXT_TOWERS:
        raise ValueError(f"the text tower {name!r} (key `tokenizer`) is unknown{nearest(name, TEXT_TOWERS)} "
                         "Describe it with `towers`")
    return dict(TEXT_TOWERS[name].settings)


def _vision(flat: Mapping[str, Any], sizes: Mapping[str, Any] | None) -> dict[str, Any]:
    if sizes is None:
        name = flat["vit"]
        if name not in IMAGE_TOWERS:
            raise ValueError(f"the image tower {name!r} (key `vit`) is unknown{nearest(name, IMAGE_TOWERS)} "
                             "Describe it with `towers`")
        fields = dict(IMAGE_TOWERS[name].settings, image_size=flat["image_size"])
        depth = fields.get("num_hidden_layers", 12)
    else:
        fields = dict(hidden_size=sizes["width"], patch_size=sizes["patch_size"], image_size=sizes["image_size"],
                      layer_norm_eps=sizes["layer_norm_eps"], hidden_act=sizes.get("activation", "quick_gelu"))
        depth = sizes["layers"]
    # METER's CLIP tower drops its last block with this key (original: src/modules/clip_model.py).
    fields["num_hidden_layers"] = depth - 1 if sizes is None and flat.get("vit_remove_last") else depth
    return fields
