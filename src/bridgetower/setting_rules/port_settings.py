"""The settings of the Hugging Face port's BridgeTower: what each of them means here, or that nothing here obeys it.

Three kinds of settings exist. Some are obeyed: `from_port` turns them into the fields of a `BridgeTowerConfig`. Some
have no effect in the port's forward pass (`initializer_factor`, `stop_gradient`, `share_layernorm`, ...) and none here.
All others are refused, and the error names the setting.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from ..known import check_activation
from .config_limits import Blocks, Epsilon, Heads, Inner, Positions, Share, TokenId, Types, Width
from .ranges import ImageSide, Range, Vocabulary, checked, shown

__all__ = ["DEFAULT_IMAGE_SIZE", "IGNORED", "TEXT_ONLY", "TOP_ONLY", "VISION_ONLY", "are_ours", "check_modes",
           "check_text_modes", "check_vision_modes", "from_port", "initial_temperature", "is_port_file", "port_vision",
           "ties_decoder", "uses_port_names"]

Settings = Mapping[str, Any]

#: Names that only the port has, at the top and in the sections of the towers.
TOP_ONLY = ("share_cross_modal_transformer_layers", "initializer_factor", "share_link_tower_layers", "link_tower_type",
            "init_layernorm_from_vision_encoder", "logit_scale_init_value", "text_config_dict", "vision_config_dict")
TEXT_ONLY = ("initializer_factor", "position_embedding_type")
VISION_ONLY = ("initializer_factor", "stop_gradient", "share_layernorm", "remove_last_layer")
#: What transformers keeps in every configuration, and what no model here has to know.
IGNORED = ("transformers_version", "torchscript", "tf_legacy_loss", "use_bfloat16", "attn_implementation",
           "_attn_implementation", "_attn_implementation_autoset", "_commit_hash", "use_return_dict")
#: Names that only this project has; settings with one of them are ours, whatever else is among them.
_OWN_ONLY = ("paddlenlp_version", "bridge_type", "num_bridges", "gated_fusion", "cross_layer_norm_eps",
             "cross_hidden_act", "mlm_layer_norm_eps", "token_type_vocab_size", "objectives")
LINK_TOWERS = ("add", "scaled_add", "interpolate")
_HEAD_OBJECTIVES = {"BridgeTowerModel": [], "BridgeTowerForMaskedLM": ["mlm"],
                    "BridgeTowerForImageAndTextRetrieval": ["itm"], "BridgeTowerForContrastiveLearning": ["itc"]}
DEFAULT_IMAGE_SIZE = 288
#: The defaults of the port.
_TOP = {"hidden_act": "gelu", "hidden_size": 768, "layer_norm_eps": 1e-5, "link_tower_type": "add",
        "num_attention_heads": 12, "num_hidden_layers": 6}
_TEXT = {"vocab_size": 50265, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
         "intermediate_size": 3072, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
         "attention_probs_dropout_prob": 0.1, "max_position_embeddings": 514, "type_vocab_size": 1,
         "layer_norm_eps": 1e-5, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
_VISION = {"hidden_size": 768, "num_hidden_layers": 12, "num_channels": 3, "patch_size": 16,
           "image_size": DEFAULT_IMAGE_SIZE, "layer_norm_eps": 1e-5}
_TYPES: dict[str, Any] = {
    "vocab_size": Vocabulary, "hidden_size": Width, "num_hidden_layers": Blocks, "num_attention_heads": Heads,
    "intermediate_size": Inner, "max_position_embeddings": Positions, "type_vocab_size": Types,
    "layer_norm_eps": Epsilon, "hidden_dropout_prob": Share, "attention_probs_dropout_prob": Share,
    "pad_token_id": TokenId, "bos_token_id": TokenId, "eos_token_id": TokenId, "contrastive_hidden_size": Width,
    "logit_scale_init_value": Annotated[float, Range(-100, 100)], "hidden_act": str, "link_tower_type": str,
    "num_channels": Types, "patch_size": Types, "image_size": ImageSide,
}  # fmt: skip


_SWITCHES = ("share_layernorm", "stop_gradient", "remove_last_layer", "init_layernorm_from_vision_encoder",
             "tie_word_embeddings", "share_link_tower_layers", "share_cross_modal_transformer_layers", "is_decoder",
             "add_cross_attention", "output_hidden_states", "output_attentions", "return_dict")


def uses_port_names(settings: Settings) -> bool:
    """Whether settings, or those of a tower in them, have a name that only the port has."""
    return any(name in section for section, names in _sections(settings) for name in names)


def are_ours(settings: Settings) -> bool:
    """Whether settings, or those of a tower in them, have a name that only this project has."""
    sections = [section for section, _ in _sections(settings)]
    return any(name in settings for name in _OWN_ONLY) or any("kind" in section for section in sections)


def is_port_file(settings: Settings) -> bool:
    """Whether the content of a `config.json` is the port's and not ours."""
    return not are_ours(settings) and ("transformers_version" in settings or uses_port_names(settings))


def _sections(settings: Settings) -> list[tuple[Settings, tuple[str, ...]]]:
    towers = ((settings.get("text_config"), TEXT_ONLY), (settings.get("vision_config"), VISION_ONLY))
    return [(settings, TOP_ONLY), *((tower, names) for tower, names in towers if isinstance(tower, Mapping))]


def check_modes(settings: Settings) -> None:
    """Refuse settings of the port that change what is computed and that no model here obeys.

    Raises:
        ValueError: there is such a setting; the message names it.
    """
    for section in ("text_config", "vision_config"):
        checked(settings.get(section), Mapping | None, section)
    checked(settings.get("architectures"), list[str] | None, "architectures")
    checked(settings.get("transformers_version"), str | None, "transformers_version")
    _check_common_settings(settings, "")
    vision = settings.get("vision_config") or {}
    layers = settings.get("num_hidden_layers", _TOP["num_hidden_layers"])
    link = settings.get("link_tower_type") or "add"
    if link not in LINK_TOWERS:
        raise ValueError(f"link_tower_type={shown(link)} is not supported; the port has {', '.join(LINK_TOWERS)}")
    if settings.get("share_link_tower_layers") and layers != 1:
        raise ValueError("share_link_tower_layers=true is not supported: the port cannot run such a model either; "
                         "set it to false")
    _refuse(settings, "share_cross_modal_transformer_layers", True, "the port cannot run such a model either; ")
    _refuse(settings, "return_dict", True, "pass return_dict=False to the model instead and ")
    if settings.get("init_layernorm_from_vision_encoder") and not vision.get("share_layernorm", True):
        raise ValueError("init_layernorm_from_vision_encoder=true with vision_config.share_layernorm=false is not "
                         "supported: the port cannot build such a model either; set one of them to its default")
    for section, values in (("", settings), ("text_config.", settings.get("text_config") or {})):
        _read({name: values.get(name) for name in ("hidden_act", "layer_norm_eps")}, _TOP, section)
    check_text_modes(settings.get("text_config") or {})


def check_text_modes(text: Settings) -> None:
    """`check_modes` for the settings of a text tower."""
    _check_common_settings(text, "text_config.")
    _refuse(text, "position_embedding_type", "absolute", "", "text_config.")
    for name in ("is_decoder", "add_cross_attention"):
        _refuse(text, name, False, "BridgeTower's text tower is an encoder; ", "text_config.")


def check_vision_modes(vision: Settings) -> None:
    """`check_modes` for the settings of an image tower."""
    _check_common_settings(vision, "vision_config.")


def _check_common_settings(settings: Settings, section: str) -> None:
    for name in _SWITCHES:
        checked(settings.get(name), bool | None, section + name)
    if settings.get("pruned_heads"):
        raise ValueError(f"{section}pruned_heads is not supported; every layer has all of its attention heads")


def _refuse(settings: Settings, name: str, wanted: Any, why: str, section: str = "") -> None:
    value = settings.get(name)
    if value is not None and value != wanted:
        right = str(wanted).lower() if isinstance(wanted, bool) else repr(wanted)
        raise ValueError(f"{section}{name}={shown(value)} is not supported; {why}set it to {right}")


def from_port(settings: Settings) -> dict[str, Any]:
    """The fields of a `BridgeTowerConfig` that computes what the port computes.

    The port builds its cross-modal layers from the settings of the text tower: heads, width of the feed-forward,
    activation, epsilon and dropout. Its own `hidden_act` is that of the MLM head, and its `num_attention_heads` is read
    by nothing. Of a setting that is left out, the port's default counts. Names that nothing reads are left alone, as
    in the port.

    Raises:
        ValueError: a setting that no model here obeys, or that no model can have; the message names it.
    """
    check_modes(settings)
    top, text = _read(settings, _TOP, ""), _read(settings.get("text_config") or {}, _TEXT, "text_config.")
    vision = port_vision(settings.get("vision_config") or {})
    fields = {
        "text_config": {"kind": "roberta", **text},
        "vision_config": vision | {"num_hidden_layers": _image_blocks(top, text, vision)},
        "hidden_size": top["hidden_size"], "num_hidden_layers": top["num_hidden_layers"],
        "num_attention_heads": text["num_attention_heads"], "intermediate_size": text["intermediate_size"],
        "bridge_type": top["link_tower_type"], "hidden_act": top["hidden_act"], "cross_hidden_act": text["hidden_act"],
        "hidden_dropout_prob": text["hidden_dropout_prob"],
        "attention_probs_dropout_prob": text["attention_probs_dropout_prob"],
        "cross_layer_norm_eps": text["layer_norm_eps"], "layer_norm_eps": top["layer_norm_eps"],
        "mlm_layer_norm_eps": top["layer_norm_eps"],
    }  # fmt: skip
    return fields | _head_fields(settings)


def port_vision(settings: Settings) -> dict[str, Any]:
    """The fields of a `BridgeTowerVisionConfig`: the port always has QuickGELU, heads of width 64 and 4 W inside."""
    check_vision_modes(settings)
    vision = _read(settings, _VISION, "vision_config.")
    width, heads = vision["hidden_size"], vision["hidden_size"] // 64
    if heads == 0 or width % heads:
        raise ValueError(f"vision_config.hidden_size={width} is not supported: the port has {width} // 64 = {heads} "
                         "attention heads there, which do not divide it")
    vision["num_hidden_layers"] -= bool(settings.get("remove_last_layer"))
    return {"kind": "clip", "num_attention_heads": heads, "intermediate_size": 4 * width, "hidden_act": "quick_gelu",
            **vision}


def _image_blocks(top: Settings, text: Settings, vision: Settings) -> int:
    """The image blocks that the port runs: as many as the text tower has layers, the lowest ones."""
    wanted, present = text["num_hidden_layers"], vision["num_hidden_layers"]
    if present < wanted and top["num_hidden_layers"] > 1:
        raise ValueError(f"vision_config.num_hidden_layers gives {present} blocks, less than "
                         f"text_config.num_hidden_layers={wanted}; the port needs a block for every layer of the text "
                         "tower")
    return int(min(wanted, present))


def _head_fields(settings: Settings) -> dict[str, Any]:
    """What the heads of the port's classes read, and the outputs that a model returns unasked."""
    fields: dict[str, Any] = {name: bool(settings[name]) for name in ("output_hidden_states", "output_attentions")
                              if settings.get(name) is not None}
    if settings.get("contrastive_hidden_size") is not None:
        fields["contrastive_hidden_size"] = _checked("contrastive_hidden_size", settings["contrastive_hidden_size"])
    if settings.get("logit_scale_init_value") is not None:
        fields["initial_temperature"] = initial_temperature(settings["logit_scale_init_value"])
    named = settings.get("architectures")
    names = [name for name in named if name in list(_HEAD_OBJECTIVES)] if isinstance(named, (list, tuple)) else []
    if names:
        fields |= {"architectures": names, "objectives": _HEAD_OBJECTIVES[names[0]]}
    has_decoder = not names or names[0] == "BridgeTowerForMaskedLM"
    return fields | {"tie_word_embeddings": has_decoder and ties_decoder(settings)}


def ties_decoder(settings: Settings) -> bool:
    """Whether the port makes the MLM decoder the word embedding table.

    transformers 4 asks the section of the text tower, where the default is to tie, and reads the setting at the top
    nowhere. transformers 5 asks the top, where the default is not to tie.
    """
    release = str(settings.get("transformers_version") or "").partition(".")[0]
    if release.isdecimal() and int(release) >= 5:
        return bool(settings.get("tie_word_embeddings"))
    tied = (settings.get("text_config") or {}).get("tie_word_embeddings")
    return tied is None or bool(tied)


def initial_temperature(scale: Any) -> float:
    """The temperature of a `logit_scale_init_value`, which is the logarithm of its inverse."""
    return math.exp(-_checked("logit_scale_init_value", scale))


def _read(settings: Settings, defaults: Settings, section: str) -> dict[str, Any]:
    given = {name: _checked(section + name, settings[name]) for name in defaults if settings.get(name) is not None}
    return {**defaults, **given}


def _checked(name: str, value: Any) -> Any:
    """`value`, if it has the type of the setting and is in its range."""
    bare = name.rpartition(".")[2]
    checked(value, _TYPES[bare], name)
    if bare == "hidden_act":
        check_activation(name, value)
    return value
