"""Check the types of the settings that come with a checkpoint, before anything reads them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..errors import CheckpointError

_INTEGERS = (
    "num_attention_heads", "num_heads", "heads", "pad_token_id", "bos_token_id", "eos_token_id",
    "contrastive_hidden_size", "head_width", "hidden_size", "num_hidden_layers", "intermediate_size",
    "max_position_embeddings", "type_vocab_size", "patch_size", "image_size", "num_channels",
)  # fmt: skip
_NUMBERS = (
    "layer_norm_eps", "hidden_dropout_prob", "attention_probs_dropout_prob", "drop_rate", "temperature",
    "head_hidden_scale", "logit_scale_init_value",
)  # fmt: skip
_TEXTS = ("hidden_act", "model_type", "activation", "tokenizer", "link_tower_type", "kind")
_FLAGS = (
    "quick_gelu",
    "gather_global_negative", "share_link_tower_layers", "share_cross_modal_transformer_layers", "tie_word_embeddings",
    "share_layernorm", "remove_last_layer", "init_layernorm_from_vision_encoder", "is_decoder", "add_cross_attention",
)  # fmt: skip
_GROUPS = ("model_cfg", "vision_cfg", "text_config", "vision_config", "text", "vision", "cross", "loss_names")
_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    **{name: ((int,), "a whole number") for name in _INTEGERS},
    **{name: ((int, float), "a number") for name in _NUMBERS},
    **{name: ((str,), "a text") for name in _TEXTS},
    **{name: ((bool, int), "true or false") for name in _FLAGS},
    **{name: ((dict,), "a group of settings") for name in _GROUPS},
}


def check_settings(settings: Mapping[str, Any] | None) -> None:
    """Check the settings that the converter reads, nested ones included; all others may have any type.

    Raises:
        CheckpointError: one has the wrong type; the message names it and its value.
    """
    for name, value in (settings or {}).items():
        if name not in _TYPES or value is None:
            continue
        types, wanted = _TYPES[name]
        fits = isinstance(value, types) and (bool in types or not isinstance(value, bool))
        if not fits or (isinstance(value, float) and not math.isfinite(value)):
            shown = "a group" if isinstance(value, (dict, list)) else repr(value)[:40]
            raise CheckpointError(f"setting {name!r} is {shown}, but must be {wanted}; correct it or give --config")
        if isinstance(value, dict):
            check_settings(value)
