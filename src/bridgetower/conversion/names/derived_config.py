"""The configuration of a model, derived from its weights.

What can be seen in the shapes of the weights is read from them. The rest (numbers of heads, epsilons, dropout) comes
from the settings of the checkpoint, from the known towers, or from a file of tower sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...known import TEXT_TOWERS
from ...setting_rules import port_settings
from ..errors import CheckpointError, UnknownSettingError
from .settings import check_settings
from .sizes import (
    CONTRASTIVE_RETRIEVAL,
    Settings,
    Shapes,
    architecture,
    cross_modal_sizes,
    has_cross_modal,
    has_image,
    has_text,
    image_sizes,
    objectives,
    text_sizes,
)

__all__ = ["KNOWN_TEXT_TOWERS", "derive_config"]

_BASE_TEXT = {"vocab_size": 50265, "hidden_size": 768, "num_hidden_layers": 12}
#: Known text towers: (vocabulary, width, depth). Every one of them has attention heads of width 64.
KNOWN_TEXT_TOWERS = {
    name: tuple(tower.settings.get(key, size) for key, size in _BASE_TEXT.items())
    for name, tower in TEXT_TOWERS.items()
}
_KIND_DEFAULTS = {
    "roberta": {"layer_norm_eps": 1e-5, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2},
    "bert": {"layer_norm_eps": 1e-12, "pad_token_id": 0},
}
_TEXT_SETTINGS = (
    "num_attention_heads", "hidden_act", "hidden_dropout_prob", "attention_probs_dropout_prob", "layer_norm_eps",
    "pad_token_id", "bos_token_id", "eos_token_id",
)  # fmt: skip
_VISION_SETTINGS = ("num_attention_heads", "hidden_act", "layer_norm_eps")
# Paddle setting to the original's, where the weights may not tell.
_ORIGINAL_SETTINGS = {
    "initial_temperature": "temperature",
    "contrastive_hidden_size": "contrastive_hidden_size",
    "head_hidden_scale": "head_hidden_scale",
    "gather_global_negative": "gather_global_negative",
}


def derive_config(
    shapes: Shapes, layout: str, source: Settings | None, towers: Settings | None, task: str = ""
) -> Settings:
    """The fields of `config.json`.

    Args:
        shapes: shapes by Paddle name without `bridgetower.`.
        layout: the layout of the source; it decides how `source` is read.
        source: the settings that came with the weights.
        towers: `{"text": {...}, "vision": {...}}`, the sizes of towers without a known name.
        task: which task the source's classifier is for: `vqa`, `snli` or `nlvr2`.

    Raises:
        UnknownSettingError: a required value is neither in the weights nor in the settings; the message names it.
        CheckpointError: the tensors are not a whole model, or contradict the settings, or a setting has a wrong type.
    """
    source, towers = source or {}, towers or {}
    check_settings(source)
    check_settings(towers)
    if layout == "huggingface" and source:
        source = _port_fields(shapes, source)
    config: Settings = {"model_type": "bridgetower"}
    if has_text(shapes):
        config["text_config"] = _text_config(shapes, layout, source, towers.get("text") or {})
    if has_image(shapes):
        config["vision_config"] = _vision_config(shapes, layout, source, towers.get("vision") or {})
    if not has_cross_modal(shapes):
        return config
    if "text_config" not in config or "vision_config" not in config:
        raise CheckpointError("a cross-modal encoder without both towers; the checkpoint is incomplete")
    sizes = cross_modal_sizes(shapes)
    if layout == "huggingface":
        settings = _port_settings(source, config["text_config"])
        sizes["num_bridges"] = sizes["num_hidden_layers"]
    else:
        settings = _original_settings(source, sizes["hidden_size"], towers)
    name = architecture(shapes, task, source)
    sizes["objectives"] = ["itm_itc"] if name == CONTRASTIVE_RETRIEVAL else objectives(shapes, source)
    return config | settings | sizes | {"architectures": [name]}


def _text_config(shapes: Shapes, layout: str, source: Settings, tower: Settings) -> Settings:
    sizes = text_sizes(shapes)
    sizes["kind"] = _text_kind("roberta" if sizes["type_vocab_size"] == 1 else "bert", layout, source)
    own = source
    if layout == "huggingface":
        own = source.get("text_config") or {}
    elif layout == "original":
        own = {}
    settings = {name: own[name] for name in _TEXT_SETTINGS if own.get(name) is not None}
    settings |= {name: tower[name] for name in _TEXT_SETTINGS if tower.get(name) is not None}
    if tower.get("kind"):
        sizes["kind"] = tower["kind"]
    _agree("text", sizes, tower, {name: name for name in sizes})
    if "num_attention_heads" not in settings:
        named = source.get("tokenizer") if layout == "original" else None
        same = (sizes["vocab_size"], sizes["hidden_size"], sizes["num_hidden_layers"])
        if named not in KNOWN_TEXT_TOWERS and same not in KNOWN_TEXT_TOWERS.values():
            what = f" (tokenizer {named!r})" if named else ""
            raise UnknownSettingError(
                f"num_attention_heads of the text tower{what} is not known; give it with --towers FILE.json: "
                '{"text": {"num_attention_heads": N}}'
            )
        settings["num_attention_heads"] = sizes["hidden_size"] // 64
    _check_heads("the text tower", sizes["hidden_size"], settings["num_attention_heads"])
    return sizes | _KIND_DEFAULTS[sizes["kind"]] | settings


def _text_kind(by_shape: str, layout: str, source: Settings) -> str:
    """`roberta` or `bert`: by the layout or the settings if they tell, else by the number of token types."""
    if layout == "huggingface":
        return "roberta"
    named = str(source.get("tokenizer") if layout == "original" else source.get("model_type"))
    if named in KNOWN_TEXT_TOWERS:
        return str(TEXT_TOWERS[named].settings.get("kind", "roberta"))
    return {"bert": "bert", "roberta": "roberta"}.get(named, by_shape)


def _vision_config(shapes: Shapes, layout: str, source: Settings, tower: Settings) -> Settings:
    sizes = image_sizes(shapes)
    own: Settings = {}
    if layout == "huggingface":
        own = source.get("vision_config") or {}
    elif layout == "huggingface_clip":
        own = source.get("vision_config") or source
    elif layout == "huggingface_vit":
        own = source
    elif layout == "openai_clip":
        own = _openai_settings(source, sizes["hidden_size"], tower)
    settings: Settings = {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}
    if sizes["kind"] == "vit":
        settings = {"hidden_act": "gelu", "layer_norm_eps": 1e-12}
    if layout == "huggingface":
        sizes["image_size"] = own.get("image_size", sizes["image_size"])
    settings |= {name: own[name] for name in _VISION_SETTINGS if own.get(name) is not None}
    theirs = {"hidden_act": "activation", "num_attention_heads": "heads", "layer_norm_eps": "layer_norm_eps"}
    settings |= {ours: tower[name] for ours, name in theirs.items() if tower.get(name) is not None}
    names = {"hidden_size": "width", "num_hidden_layers": "layers", "patch_size": "patch_size"}
    _agree("vision", sizes, tower, names)
    settings.setdefault("num_attention_heads", max(1, sizes["hidden_size"] // 64))
    _check_heads("the image tower", sizes["hidden_size"], settings["num_attention_heads"])
    return sizes | settings


def _openai_settings(source: Settings, width: int, tower: Settings) -> Settings:
    """Settings of a tower with OpenAI's names, which open_clip uses too, with either kind of GELU.

    Raises:
        CheckpointError: nothing says which GELU, or the tower computes something else.
    """
    model = source.get("model_cfg") or source
    vision = model.get("vision_cfg")
    if vision is None:
        if "quick_gelu" not in model and not tower.get("activation"):
            raise CheckpointError(
                "hidden_act of the image tower is not known: OpenAI's have quick_gelu, most of open_clip's have gelu. "
                "Put open_clip_config.json beside the weights, or a towers.json (converter: --towers FILE.json) with "
                '{"vision": {"activation": "gelu"}}'
            )
        vision = {}
    for name in ("act_kwargs", "timm_model_name", "attentional_pool", "no_ln_pre", "final_ln_after_pool"):
        if vision.get(name):
            raise CheckpointError(f"open_clip's vision_cfg.{name}={vision[name]!r} is not supported")
    epsilon = (vision.get("norm_kwargs") or {}).get("eps", 1e-5)
    heads = width // (vision.get("head_width") or 64)
    activation = "quick_gelu" if model.get("quick_gelu") else "gelu"
    return {"hidden_act": activation, "num_attention_heads": heads or 1, "layer_norm_eps": epsilon}


def _agree(part: str, sizes: Settings, tower: Settings, names: Mapping[str, str]) -> None:
    for ours, theirs in names.items():
        if theirs in tower and tower[theirs] != sizes[ours]:
            raise CheckpointError(
                f"towers: {part}.{theirs} is {tower[theirs]}, but the weights have {sizes[ours]}; wrong file?"
            )


def _check_heads(what: str, width: int, heads: Any) -> None:
    if not isinstance(heads, int) or heads < 1 or width % heads:
        raise CheckpointError(f"{what} is {width} wide, which {heads} attention heads do not divide")


#: Fields of the cross-modal encoder and the heads that the port's settings decide.
_PORT_FIELDS = (
    "num_attention_heads", "bridge_type", "hidden_act", "cross_hidden_act", "hidden_dropout_prob",
    "attention_probs_dropout_prob", "cross_layer_norm_eps", "layer_norm_eps", "mlm_layer_norm_eps",
    "contrastive_hidden_size", "initial_temperature", "output_hidden_states", "output_attentions",
)  # fmt: skip


def _port_fields(shapes: Shapes, source: Settings) -> Settings:
    """The port's settings as fields of ours; where the weights show a size, theirs counts."""
    source = {name: value for name, value in source.items() if value is not None}
    for section, sizes in (
        ("text_config", text_sizes(shapes) if has_text(shapes) else {}),
        ("vision_config", _port_image(shapes, source.get("vision_config") or {}) if has_image(shapes) else {}),
    ):
        source[section] = (source.get(section) or {}) | sizes
    if has_cross_modal(shapes):
        sizes = cross_modal_sizes(shapes)
        source |= {name: sizes[name] for name in ("hidden_size", "num_hidden_layers")}
    try:
        return port_settings.from_port(source)
    except ValueError as error:
        raise CheckpointError(str(error)) from error


def _port_image(shapes: Shapes, given: Settings) -> Settings:
    """Sizes of the image tower; of an image size that is no multiple of the patch size, the weights show less."""
    sizes = image_sizes(shapes)
    patch, size = sizes["patch_size"], given.get("image_size") or port_settings.DEFAULT_IMAGE_SIZE
    if size // patch == sizes["image_size"] // patch:
        sizes["image_size"] = size
    return sizes | {"remove_last_layer": False}


def _port_settings(fields: Settings, text: Settings) -> Settings:
    """Settings of the cross-modal layers, which the port builds from `text_config`, epsilon included."""
    settings = {
        "num_attention_heads": text["num_attention_heads"], "bridge_type": "add",
        "cross_layer_norm_eps": text["layer_norm_eps"], "layer_norm_eps": 1e-5, "mlm_layer_norm_eps": 1e-5,
    }  # fmt: skip
    return settings | {name: fields[name] for name in _PORT_FIELDS if name in fields}


def _original_settings(source: Settings, width: int, towers: Settings) -> Settings:
    heads = source.get("num_heads") or (towers.get("cross") or {}).get("num_attention_heads")
    if heads is None and width in (768, 1024):
        heads = width // 64  # both released sizes
    if heads is None:
        raise UnknownSettingError(
            "num_attention_heads of the cross-modal layers is not known; give it with --towers FILE.json: "
            '{"cross": {"num_attention_heads": N}}'
        )
    _check_heads("the cross-modal encoder", width, heads)
    settings: Settings = {"num_attention_heads": heads, "bridge_type": "add"}
    settings |= {"cross_layer_norm_eps": 1e-12, "layer_norm_eps": 1e-5}
    dropout = source.get("drop_rate")
    if dropout is not None:
        settings |= {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    for ours, theirs in _ORIGINAL_SETTINGS.items():
        if source.get(theirs) is not None:
            settings[ours] = source[theirs]
    return settings
