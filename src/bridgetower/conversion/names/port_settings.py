"""The `config.json` of transformers' BridgeTower as settings of this project.

The port leaves out what equals its defaults, ignores some settings that it accepts, and reads others in unexpected
places: its cross-modal layers take activation, heads and epsilon from the text tower. Here each setting has the
meaning that it has there, or is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import CheckpointError
from .settings import check_settings

Settings = dict[str, Any]

#: Settings that a `config.json` of this project never has.
_MARKS = ("link_tower_type", "share_link_tower_layers", "share_cross_modal_transformer_layers", "transformers_version")
_TEXT_DEFAULTS: Settings = {
    "vocab_size": 50265, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5, "pad_token_id": 1,
    "bos_token_id": 0, "eos_token_id": 2,
}  # fmt: skip
_VISION_DEFAULTS: Settings = {
    "hidden_size": 768, "num_hidden_layers": 12, "num_channels": 3, "patch_size": 16, "image_size": 288,
    "layer_norm_eps": 1e-5,
}  # fmt: skip
#: Settings whose other values the port itself cannot run, or that are not supported here.
_REQUIRED = (
    ("", "share_link_tower_layers", False), ("", "share_cross_modal_transformer_layers", True),
    ("text_config", "position_embedding_type", "absolute"), ("text_config", "is_decoder", False),
)  # fmt: skip


def is_port(settings: Mapping[str, Any]) -> bool:
    """Whether a `config.json` is one of the port."""
    return settings.get("model_type") == "bridgetower" and any(name in settings for name in _MARKS)


def port_config(source: Mapping[str, Any]) -> Settings:
    """The fields of a `BridgeTowerConfig` for the settings of the port.

    Raises:
        CheckpointError: a setting has a wrong type, or a value that is not supported; the message names it.
    """
    check_settings(source)
    for group, name, wanted in _REQUIRED:
        value = ((source.get(group) or {}) if group else source).get(name)
        if value is not None and value != wanted:
            where = f"{group}." if group else ""
            raise CheckpointError(f"{where}{name}={value!r:.40} is not supported, only {wanted!r} is")
    link = source.get("link_tower_type") or "add"
    if link not in ("add", "scaled_add", "interpolate"):
        raise CheckpointError(f"link_tower_type {link!r} is not supported")
    text: Settings = {"kind": "roberta"} | _with_defaults(source.get("text_config"), _TEXT_DEFAULTS)
    return {
        "text_config": text,
        "vision_config": _vision_config(source.get("vision_config") or {}, text["num_hidden_layers"]),
        "hidden_size": _with_defaults(source, {"hidden_size": 768})["hidden_size"],
        "num_hidden_layers": _with_defaults(source, {"num_hidden_layers": 6})["num_hidden_layers"],
        "num_attention_heads": text["num_attention_heads"],
        "intermediate_size": text["intermediate_size"],
        "hidden_act": text["hidden_act"],
        "hidden_dropout_prob": text["hidden_dropout_prob"],
        "attention_probs_dropout_prob": text["attention_probs_dropout_prob"],
        "bridge_type": link,
        "cross_layer_norm_eps": text["layer_norm_eps"],
        "layer_norm_eps": _with_defaults(source, {"layer_norm_eps": 1e-5})["layer_norm_eps"],
        **{name: source[name] for name in ("contrastive_hidden_size",) if source.get(name) is not None},
    }


def check_mlm_head(source: Mapping[str, Any]) -> None:
    """Refuse settings of the MLM head that it does not share with the cross-modal layers.

    Raises:
        CheckpointError: its activation or its epsilon is another one.
    """
    text = _with_defaults(source.get("text_config"), _TEXT_DEFAULTS)
    own = _with_defaults(source, {"hidden_act": "gelu", "layer_norm_eps": 1e-5})
    for name, wanted in (("hidden_act", "gelu"), ("layer_norm_eps", text["layer_norm_eps"])):
        if own[name] != wanted:
            raise CheckpointError(f"{name}={own[name]!r} of the MLM head is not supported, only {wanted!r} is")


def _with_defaults(settings: Mapping[str, Any] | None, defaults: Settings) -> Settings:
    settings = settings or {}
    merged = {name: default if settings.get(name) is None else settings[name] for name, default in defaults.items()}
    for name, default in defaults.items():
        if type(default) is int and (type(merged[name]) is not int or merged[name] < 0):
            raise CheckpointError(f"setting {name!r} is {merged[name]!r:.40}, but must be a whole number, 0 or more")
    return merged


def _vision_config(source: Mapping[str, Any], text_depth: int) -> Settings:
    """The image tower: QuickGELU and heads of width 64, whatever the settings say; no deeper than the text tower."""
    vision = _with_defaults(source, _VISION_DEFAULTS)
    depth, size, patch = vision["num_hidden_layers"], vision["image_size"], vision["patch_size"]
    depth -= bool(source.get("remove_last_layer"))
    if depth < text_depth:
        raise CheckpointError(f"an image tower of {depth} layers beside a text tower of {text_depth} is not supported")
    if patch < 1 or size < patch or size % patch:
        raise CheckpointError(f"vision_config.image_size={size} is not a multiple of patch_size={patch}")
    width = vision["hidden_size"]
    return vision | {
        "kind": "clip", "num_hidden_layers": text_depth, "num_attention_heads": max(1, width // 64),
        "intermediate_size": 4 * width, "hidden_act": "quick_gelu",
    }  # fmt: skip
