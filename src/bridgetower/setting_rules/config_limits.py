"""What the settings of a model may be: the ranges beside the fields of `config`, and the size of the whole."""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from ..known import BRIDGE_TYPES, check_activation
from .ranges import Count, Range, Vocabulary, checked, shown

if TYPE_CHECKING:
    from paddlenlp.transformers import PretrainedConfig

__all__ = ["Blocks", "Epsilon", "Heads", "Inner", "Layers", "Positions", "Share", "TokenId", "Types", "Vocabulary",
           "Width", "check_common", "check_model", "check_multiple", "check_settings_of", "parameter_count"]

Width = Annotated[int, Range(1, 16_384)]
#: Width inside a feed-forward network.
Inner = Annotated[int, Range(1, 65_536)]
Heads = Annotated[int, Range(1, 1024)]
#: Depth of a tower, and of the cross-modal encoder, where 0 means two towers alone.
Blocks = Annotated[int, Range(1, 256)]
Layers = Annotated[int, Range(0, 256)]
Positions = Annotated[int, Range(1, 65_536)]
Types = Annotated[int, Range(1, 1024)]
TokenId = Annotated[int, Range(0, 500_000)]
Share = Annotated[float, Range(0, 1)]
#: What LayerNorm adds to a variance.
Epsilon = Annotated[float, Range(0, 1)]

MOST_PARAMETERS = 5_000_000_000
MOST_IMAGE_TOKENS = 16_385
#: Square matrices of the cross-modal width in a bridge.
_BRIDGE_MATRICES = {"dynamic_gate": 2, "linear": 2, "add_linear": 2, "mlp": 6, "cross_attention": 4,
                    "cross_attention_mlp": 12}
_Degree = Annotated[int, Range(-1, 65_536)]
_Dtype = Literal["float16", "bfloat16", "float32", "float64", "auto"] | None
#: Settings of PaddleNLP with another range than the type of their default says.
_COMMON: dict[str, Any] = {
    "num_labels": Count, "architectures": list[str] | None, "id2label": Mapping | None, "label2id": Mapping | None,
    "dtype": _Dtype, "torch_dtype": _Dtype, "pruned_heads": Mapping | None, "tensor_parallel_degree": _Degree,
    "pipeline_parallel_degree": _Degree, "sep_parallel_degree": _Degree, "context_parallel_degree": _Degree,
    "problem_type": Literal["regression", "single_label_classification", "multi_label_classification"] | None,
}  # fmt: skip


def check_multiple(value: int, divisor: int, what: str, by: str) -> None:
    """Refuse a value that is no multiple of another one.

    Raises:
        ValueError: it is not; the message names both settings.
    """
    if divisor <= 0 or value % divisor:
        fitting = max(divisor, value // divisor * divisor) if divisor > 0 else "a positive divisor"
        raise ValueError(f"{what}={value} is not a multiple of {by}={divisor}; try {fitting}")


def check_model(config: PretrainedConfig) -> None:
    """Refuse settings of a model, each allowed by itself, that do not fit together.

    Raises:
        ValueError: there are such settings; the message names them.
    """
    for name in ("hidden_act", "cross_hidden_act"):
        check_activation(name, getattr(config, name))
    check_multiple(config.hidden_size, config.num_attention_heads, "hidden_size", "num_attention_heads")
    if config.bridge_type not in BRIDGE_TYPES:
        raise ValueError(f"bridge_type={shown(config.bridge_type)} is unknown; use one of {', '.join(BRIDGE_TYPES)}")
    if not 0 <= config.num_bridges <= config.num_hidden_layers:
        raise ValueError(f"num_bridges={config.num_bridges} is not between 0 and "
                         f"num_hidden_layers={config.num_hidden_layers}")
    for name, tower in (("text_config", config.text_config), ("vision_config", config.vision_config)):
        states = tower.num_hidden_layers + 1  # of the layers and of the embeddings, as in the port
        if states < config.num_bridges:
            raise ValueError(f"{name}.num_hidden_layers={tower.num_hidden_layers} gives {states} tower states with "
                             f"the embeddings, less than num_bridges={config.num_bridges}: every bridge needs a "
                             "tower state of its own")
    if config.gated_fusion:
        if config.num_bridges:
            raise ValueError(f"gated_fusion and num_bridges={config.num_bridges} exclude each other; set "
                             "num_bridges=0")
        if min(config.text_config.num_hidden_layers, config.vision_config.num_hidden_layers) < 2:
            raise ValueError("gated_fusion sums the blocks below the last one; each tower needs two blocks or more")
    unknown = set(config.objectives) - {"mlm", "itm", "itc", "itm_itc"}
    if unknown:
        raise ValueError(f"objectives has {shown(sorted(unknown))}; use any of mlm, itm, itc, itm_itc")
    check_total(config)


@functools.cache
def _hints(construct: Callable[..., None]) -> dict[str, Any]:
    hints = typing.get_type_hints(construct, include_extras=True)
    return {name: hint for name, hint in hints.items() if name not in ("text_config", "vision_config", "return")}


def check_settings_of(construct: Callable[..., None], settings: Mapping[str, Any], prefix: str) -> None:
    """Refuse values that the annotations of a constructor do not allow.

    Args:
        construct: the constructor; the types of its arguments have ranges.
        settings: its arguments; a tower among them is left to its own constructor.
        prefix: stands before the names in messages.

    Raises:
        ValueError: the message names the setting and its value.
    """
    hints = _hints(construct)
    for name, value in settings.items():
        if name in hints:
            checked(value, hints[name], prefix + name)


@functools.cache
def _defaults() -> dict[str, Any]:
    from paddlenlp.transformers import PretrainedConfig  # here, as a conversion runs without Paddle

    return vars(PretrainedConfig())


def check_common(settings: Mapping[str, Any], prefix: str) -> None:
    """Refuse values of the settings that every configuration of PaddleNLP has, by the types of their defaults.

    Raises:
        ValueError: the message names the setting and its value.
    """
    for name, value in settings.items():
        if name in _COMMON:
            checked(value, _COMMON[name], prefix + name)
        elif value is not None and isinstance(default := _defaults().get(name), (bool, int, float)):
            hint = bool if isinstance(default, bool) else Annotated[float, Range(-2**31, 2**32)]
            checked(value, hint, prefix + name)
    _check_class_names(settings.get("id2label"), f"{prefix}id2label")
    if settings.get("sequence_parallel"):
        raise ValueError(f"{prefix}sequence_parallel=True is not supported; leave it out")
    if settings.get("pruned_heads"):
        raise ValueError(f"{prefix}pruned_heads is not supported; every layer has all of its attention heads")
    stored = settings.get("quantization_config")
    if stored and stored != (usual := _defaults()["quantization_config"]) and stored != usual.to_dict():
        raise ValueError(f"{prefix}quantization_config={shown(stored)} is not supported: no model here computes with "
                         "quantised weights; leave it out")


def _check_class_names(names: Mapping[Any, Any] | None, key: str) -> None:
    if names is None:
        return
    if not names or {str(index) for index in names} != {str(index) for index in range(len(names))}:
        raise ValueError(f"{key}={shown(dict(names))} does not name the classes from 0 on, each once")
    for index, name in names.items():
        checked(name, str, f"{key}[{index}]")


def parameter_count(config: PretrainedConfig) -> int:
    """Parameters of the model with the heads of pre-training and a classifier, within a few per cent, from its shapes.

    Vectors such as biases are not counted.
    """
    text, vision, width = config.text_config, config.vision_config, config.hidden_size
    side = vision.image_size // vision.patch_size
    tables = (text.vocab_size + text.max_position_embeddings + text.type_vocab_size) * text.hidden_size \
        + (side * side + 1 + vision.num_channels * vision.patch_size**2) * vision.hidden_size
    towers = sum(tower.num_hidden_layers * (4 * tower.hidden_size + 2 * tower.intermediate_size) * tower.hidden_size
                 for tower in (text, vision))
    layers = 2 * config.num_hidden_layers * (8 * width + 2 * config.intermediate_size) * width
    bridges = 2 * max(0, config.num_bridges - 1) * _BRIDGE_MATRICES.get(config.bridge_type, 0) * width**2
    inner = int(2 * width * config.head_hidden_scale)
    heads = (width * (text.vocab_size if "mlm" in config.objectives else 0) + 2 * width * inner
             + inner * config.num_labels)
    ends = (text.hidden_size + vision.hidden_size + 2 * width) * width
    return int(tables + towers + layers + bridges + heads + ends)


def check_total(config: PretrainedConfig) -> None:
    """Refuse a model that no machine of today holds, though each of its settings may be that large alone.

    Raises:
        ValueError: too many parameters or image tokens; the message has the number.
    """
    vision = config.vision_config
    if vision.num_tokens > MOST_IMAGE_TOKENS:
        raise ValueError(f"vision_config.image_size={vision.image_size} with patch_size={vision.patch_size} makes "
                         f"{vision.num_tokens:,} image tokens, more than the {MOST_IMAGE_TOKENS:,} that are possible; "
                         "use a smaller picture or larger patches")
    count = parameter_count(config)
    if count > MOST_PARAMETERS:
        raise ValueError(f"these sizes make a model of {count:,} parameters, more than the {MOST_PARAMETERS:,} that "
                         "are possible; reduce the widths, the depths, the vocabulary or the number of labels")
