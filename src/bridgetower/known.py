"""What has a name (towers, bridges, tokenizers, activations, devices, engines), and the hint at the nearest one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .setting_rules.ranges import shown

__all__ = ["ACTIVATIONS", "BRIDGE_TYPES", "IMAGE_TOWERS", "SCALE_RULES", "TEXT_TOWERS", "TOKENIZERS", "Device",
           "EngineName", "KnownTokenizer", "KnownTower", "Precision", "check_activation", "closest", "nearest"]

Device = Literal["auto", "cpu", "gpu"]
#: What runs the programs of an exported folder, and how exact their matrix products are, see `BridgeTowerPredictor`.
EngineName = Literal["auto", "paddle", "onnxruntime", "openvino"]
Precision = Literal["float32", "bfloat16", "int8"]

#: How grey pictures of more than 8 bits are scaled, see `bridgetower.picture_files`.
SCALE_RULES = ("full", "minmax", "percentile")

#: The bridge definitions (a)-(i) of the paper's first ablation, then the two further ones of the Hugging Face port.
BRIDGE_TYPES = ("add", "multiply", "gate", "dynamic_gate", "linear", "mlp", "cross_attention", "cross_attention_mlp",
                "add_linear", "scaled_add", "interpolate")


@dataclass(frozen=True)
class KnownTower:
    """A released tower.

    Attributes:
        hub: repository with its weights on the Hugging Face hub; empty where there is none.
        settings: those of `BridgeTowerTextConfig` or `BridgeTowerVisionConfig` that differ from the defaults.
    """

    hub: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class KnownTokenizer:
    """A released tokenizer: its repository on the Hugging Face hub, and how it splits words."""

    hub: str
    kind: Literal["roberta", "bert"]


_LARGE_TEXT = dict(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096)
_BERT = dict(kind="bert", vocab_size=30522, max_position_embeddings=512, type_vocab_size=2, layer_norm_eps=1e-12,
             pad_token_id=0)
_VIT = dict(kind="vit", hidden_act="gelu", layer_norm_eps=1e-6)

#: By the names that experiment files and the original's configuration use.
TEXT_TOWERS: Mapping[str, KnownTower] = {
    "roberta-base": KnownTower("FacebookAI/roberta-base"),
    "roberta-large": KnownTower("FacebookAI/roberta-large", _LARGE_TEXT),
    "bert-base-uncased": KnownTower("google-bert/bert-base-uncased", _BERT),
    "bert-large-uncased": KnownTower("google-bert/bert-large-uncased", {**_BERT, **_LARGE_TEXT}),
}
IMAGE_TOWERS: Mapping[str, KnownTower] = {
    "CLIP-ViT-B/32": KnownTower("openai/clip-vit-base-patch32", dict(patch_size=32)),
    "CLIP-ViT-B/16": KnownTower("openai/clip-vit-base-patch16", dict(patch_size=16)),
    "CLIP-ViT-L/14": KnownTower("openai/clip-vit-large-patch14",
                                dict(patch_size=14, hidden_size=1024, num_hidden_layers=24)),
    "vit_base_patch16_224": KnownTower("google/vit-base-patch16-224", dict(patch_size=16, **_VIT)),
    "vit_base_patch16_384": KnownTower("google/vit-base-patch16-384", dict(patch_size=16, **_VIT)),
    "vit_base_patch32_224": KnownTower("", dict(patch_size=32, **_VIT)),
    "vit_base_patch32_384": KnownTower("google/vit-base-patch32-384", dict(patch_size=32, **_VIT)),
    "vit_deit_base_patch16_224": KnownTower("facebook/deit-base-patch16-224", dict(patch_size=16, **_VIT)),
    "vit_deit_base_patch16_384": KnownTower("facebook/deit-base-patch16-384", dict(patch_size=16, **_VIT)),
}
TOKENIZERS: Mapping[str, KnownTokenizer] = {
    "roberta-base": KnownTokenizer("FacebookAI/roberta-base", "roberta"),
    "roberta-large": KnownTokenizer("FacebookAI/roberta-large", "roberta"),
    "bert-base-uncased": KnownTokenizer("google-bert/bert-base-uncased", "bert"),
    "bert-large-uncased": KnownTokenizer("google-bert/bert-large-uncased", "bert"),
    "bert-base-cased": KnownTokenizer("google-bert/bert-base-cased", "bert"),
    "bert-large-cased": KnownTokenizer("google-bert/bert-large-cased", "bert"),
}
#: Activations that a `hidden_act` may name: all of transformers' but `prelu`, which has a weight to learn.
ACTIVATIONS = ("gelu", "gelu_10", "gelu_accurate", "gelu_fast", "gelu_new", "gelu_python", "gelu_pytorch_tanh",
               "laplace", "leaky_relu", "linear", "mish", "quick_gelu", "relu", "relu2", "relu6", "sigmoid", "silu",
               "swish", "tanh")


#: Comparing takes a time that grows with the square of the length; what is longer is no name.
_LONGEST_NAME = 100


def check_activation(setting: str, value: object) -> None:
    """Refuse an activation that is not among `ACTIVATIONS`.

    Raises:
        ValueError: the message names the setting and what it may be.
    """
    if value not in ACTIVATIONS:
        raise ValueError(f"{setting}={shown(value)} is unknown; use one of {', '.join(ACTIVATIONS)}")


def nearest(name: object, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The end of a sentence that says that a name is unknown: the known name that looks most like it, or a full stop.

    Args:
        name: the unknown name.
        known: names to choose from.
        cutoff: how much a known name must look like it, 0 to 1; 0 always finds one.
    """
    match = closest(name, known, cutoff)
    return "." if match is None else f"; did you mean {match!r}?"


def closest(name: object, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name that looks most like `name`, see `nearest`; None when none does."""
    return next(iter(difflib.get_close_matches(str(name)[:_LONGEST_NAME], list(known), n=1, cutoff=cutoff)), None)
