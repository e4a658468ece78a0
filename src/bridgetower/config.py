"""Typed configuration of the model: the two towers, the cross-modal encoder and the heads."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from typing import Any

from paddlenlp.transformers import PretrainedConfig

from .known import IMAGE_TOWERS, TEXT_TOWERS, nearest
from .sources import read_settings

__all__ = ["BRIDGE_TYPES", "BridgeTowerConfig", "BridgeTowerTextConfig", "BridgeTowerVisionConfig", "tower_settings"]

#: The bridge definitions (a)-(i) of the paper's first ablation, then the two further ones of the Hugging Face port.
BRIDGE_TYPES = ("add", "multiply", "gate", "dynamic_gate", "linear", "mlp", "cross_attention", "cross_attention_mlp",
                "add_linear", "scaled_add", "interpolate")


def _check_multiple(value: int, divisor: int, what: str, by: str) -> None:
    if divisor <= 0 or value % divisor:
        fitting = max(divisor, value // divisor * divisor) if divisor > 0 else "a positive divisor"
        raise ValueError(f"{what}={value} is not a multiple of {by}={divisor}; try {fitting}")


class BridgeTowerTextConfig(PretrainedConfig):
    """The text tower, RoBERTa or BERT.

    Args:
        kind: `roberta` (position ids start after the padding id) or `bert`.
        max_position_embeddings: rows of the position table; RoBERTa uses `pad_token_id + 1` fewer positions.
    """

    model_type = "bridgetower_text_model"

    def __init__(self, kind: str = "roberta", vocab_size: int = 50265, hidden_size: int = 768,
                 num_hidden_layers: int = 12, num_attention_heads: int = 12, intermediate_size: int = 3072,
                 hidden_act: str = "gelu", hidden_dropout_prob: float = 0.1, attention_probs_dropout_prob: float = 0.1,
                 max_position_embeddings: int = 514, type_vocab_size: int = 1, layer_norm_eps: float = 1e-5,
                 pad_token_id: int = 1, bos_token_id: int = 0, eos_token_id: int = 2, **kwargs: Any) -> None:
        super().__init__(pad_token_id=pad_token_id, bos_token_id=bos_token_id, eos_token_id=eos_token_id, **kwargs)
        if kind not in ("roberta", "bert"):
            raise ValueError(f"text_config.kind={kind!r} is unknown; use 'roberta' or 'bert'")
        _check_multiple(hidden_size, num_attention_heads, "text_config.hidden_size", "num_attention_heads")
        self.kind = kind
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.hidden_act = hidden_act
        self.hidden_dropout_prob = hidden_dropout_prob
        self.attention_probs_dropout_prob = attention_probs_dropout_prob
        self.max_position_embeddings = max_position_embeddings
        self.type_vocab_size = type_vocab_size
        self.layer_norm_eps = layer_norm_eps


class BridgeTowerVisionConfig(PretrainedConfig):
    """The image tower, a CLIP ViT, a plain ViT or DeiT.

    Args:
        kind: `clip` (a LayerNorm before the first block, patches without bias) or `vit` (patches with bias).
        image_size: side of the square input, in pixels; a multiple of `patch_size`.
        num_attention_heads: defaults to `hidden_size / 64`, as every released tower has.
    """

    model_type = "bridgetower_vision_model"

    def __init__(self, kind: str = "clip", hidden_size: int = 768, num_hidden_layers: int = 12,
                 num_attention_heads: int | None = None, intermediate_size: int | None = None, patch_size: int = 16,
                 image_size: int = 288, num_channels: int = 3, hidden_act: str = "quick_gelu",
                 layer_norm_eps: float = 1e-5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if kind not in ("clip", "vit"):
            raise ValueError(f"vision_config.kind={kind!r} is unknown; use 'clip' or 'vit'")
        _check_multiple(image_size, patch_size, "image_size", "patch_size")
        if num_attention_heads is None:
            _check_multiple(hidden_size, 64, "vision_config.hidden_size", "the width of a head")
            num_attention_heads = hidden_size // 64
        _check_multiple(hidden_size, num_attention_heads, "vision_config.hidden_size", "num_attention_heads")
        self.kind = kind
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = 4 * hidden_size if intermediate_size is None else intermediate_size
        self.patch_size = patch_size
        self.image_size = image_size
        self.num_channels = num_channels
        self.hidden_act = hidden_act
        self.layer_norm_eps = layer_norm_eps

    @property
    def num_tokens(self) -> int:
        """Image tokens: the class token and one token a patch."""
        return 1 + (self.image_size // self.patch_size) ** 2


class BridgeTowerConfig(PretrainedConfig):
    """The whole model.

    Args:
        text_config: a `BridgeTowerTextConfig` or its fields.
        vision_config: a `BridgeTowerVisionConfig` or its fields.
        hidden_size: width D of the cross-modal encoder.
        num_hidden_layers: cross-modal layers K; the top K blocks of each tower feed them.
        num_bridges: cross-modal layers that read a tower state (the paper's internal layers); the remaining ones
            are external and read only the layer below. None means all K.
        bridge_type: one of `BRIDGE_TYPES`.
        gated_fusion: feed the cross-modal layers a gated sum of all blocks of each tower instead of its last one (METER
            with fusion; needs `num_bridges=0`).
        cross_layer_norm_eps: LayerNorm epsilon inside the cross-modal layers and the MLM head: 1e-12 in the original,
            1e-5 in the Hugging Face port. The converter sets it by the layout of its source.
        layer_norm_eps: LayerNorm epsilon of the input norms, the bridges and the classifiers.
        token_type_vocab_size: 2 (text, image), or 3 for NLVR2 (the second image).
        contrastive_hidden_size: width C of the vectors that ITC compares.
        initial_temperature: first value of the ITC temperature.
        gather_global_negative: draw the hard negatives of itm_itc from the samples of all processes.
        objectives: what `BridgeTowerForPreTraining` learns: any of mlm, itm, itc, itm_itc.
        num_labels: classes of a classifier head (VQA: answers).
        head_layers: dense layers of a classifier head, 1 or 2.
        head_hidden_scale: hidden width of a classifier head of two layers, as a multiple of one pooled pair, 2D.
        tie_word_embeddings: whether the MLM decoder is the word embedding table (Hugging Face port) or its own matrix.

    Raises:
        ValueError: on an unknown key (with the nearest valid name) or a value that no model can have.
    """

    model_type = "bridgetower"

    def __init__(self, text_config: BridgeTowerTextConfig | Mapping[str, Any] | None = None,
                 vision_config: BridgeTowerVisionConfig | Mapping[str, Any] | None = None, hidden_size: int = 768,
                 num_hidden_layers: int = 6, num_attention_heads: int = 12, intermediate_size: int | None = None,
                 num_bridges: int | None = None, bridge_type: str = "add", gated_fusion: bool = False,
                 hidden_act: str = "gelu", hidden_dropout_prob: float = 0.1, attention_probs_dropout_prob: float = 0.1,
                 cross_layer_norm_eps: float = 1e-12, layer_norm_eps: float = 1e-5, token_type_vocab_size: int = 2,
                 contrastive_hidden_size: int = 256, initial_temperature: float = 0.07,
                 gather_global_negative: bool = False, objectives: tuple[str, ...] | list[str] = ("mlm", "itm"),
                 head_layers: int = 2, head_hidden_scale: float = 1, initializer_range: float = 0.02,
                 tie_word_embeddings: bool = False,
                 **kwargs: Any) -> None:
        super().__init__(tie_word_embeddings=tie_word_embeddings, **kwargs)
        self.text_config = self._tower(text_config, BridgeTowerTextConfig, "text_config")
        self.vision_config = self._tower(vision_config, BridgeTowerVisionConfig, "vision_config")
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = 4 * hidden_size if intermediate_size is None else intermediate_size
        self.num_bridges = num_hidden_layers if num_bridges is None else num_bridges
        self.bridge_type = bridge_type
        self.gated_fusion = gated_fusion
        self.hidden_act = hidden_act
        self.hidden_dropout_prob = hidden_dropout_prob
        self.attention_probs_dropout_prob = attention_probs_dropout_prob
        self.cross_layer_norm_eps = cross_layer_norm_eps
        self.layer_norm_eps = layer_norm_eps
        self.token_type_vocab_size = token_type_vocab_size
        self.contrastive_hidden_size = contrastive_hidden_size
        self.initial_temperature = initial_temperature
        self.gather_global_negative = gather_global_negative
        self.objectives = list(objectives)
        self.head_layers = head_layers
        self.head_hidden_scale = head_hidden_scale
        self.initializer_range = initializer_range
        self._check()

    @staticmethod
    def _tower(value: Any, config_class: type[PretrainedConfig], key: str) -> Any:
        if isinstance(value, config_class):
            return value
        fields = dict(value or {})
        fields.pop("model_type", None)
        known = vars(config_class())
        for name in fields:
            if name not in known and name not in ("dtype", "torch_dtype", "return_dict", "paddlenlp_version"):
                raise ValueError(f"{key} has no setting {name!r}{nearest(name, known)}")
        return config_class(**fields)

    def _check(self) -> None:
        _check_multiple(self.hidden_size, self.num_attention_heads, "hidden_size", "num_attention_heads")
        if self.bridge_type not in BRIDGE_TYPES:
            raise ValueError(f"bridge_type={self.bridge_type!r} is unknown; use one of {', '.join(BRIDGE_TYPES)}")
        if not 0 <= self.num_bridges <= self.num_hidden_layers:
            raise ValueError(f"num_bridges={self.num_bridges} is not between 0 and "
                             f"num_hidden_layers={self.num_hidden_layers}")
        for name, tower in (("text_config", self.text_config), ("vision_config", self.vision_config)):
            if tower.num_hidden_layers < self.num_bridges:
                raise ValueError(f"{name}.num_hidden_layers={tower.num_hidden_layers} is less than "
                                 f"num_bridges={self.num_bridges}: every bridge needs a tower block of its own")
        if self.gated_fusion:
            if self.num_bridges:
                raise ValueError(f"gated_fusion and num_bridges={self.num_bridges} exclude each other; set "
                                 "num_bridges=0")
            if min(self.text_config.num_hidden_layers, self.vision_config.num_hidden_layers) < 2:
                raise ValueError("gated_fusion sums the blocks below the last one; each tower needs two blocks or more")
        if self.head_layers not in (1, 2):
            raise ValueError(f"head_layers={self.head_layers!r} is not possible; a classifier has 1 or 2 layers")
        unknown = set(self.objectives) - {"mlm", "itm", "itc", "itm_itc"}
        if unknown:
            raise ValueError(f"objectives has {sorted(unknown)}; use any of mlm, itm, itc, itm_itc")

    def to_dict(self, saving_file: bool = False) -> dict[str, Any]:
        """All settings, the towers as nested dictionaries."""
        output = super().to_dict(saving_file=saving_file)
        output["text_config"] = self.text_config.to_diff_dict(saving_file=saving_file)
        output["vision_config"] = self.vision_config.to_diff_dict(saving_file=saving_file)
        return output

    @property
    def label_names(self) -> dict[int, str]:
        """The classes that have a name of their own: `id2label` without placeholders such as LABEL_0."""
        return {index: name for index, name in self.id2label.items() if name != f"LABEL_{index}"}

    def name_labels(self, names: Mapping[int, str]) -> None:
        """Keep the names of the classes (of VQA: the answers) in `id2label`; the others get placeholders."""
        self.id2label = {index: names.get(index, f"LABEL_{index}") for index in range(self.num_labels)}
        self.label2id = {name: index for index, name in self.id2label.items()}

    def replace(self, **changes: Any) -> BridgeTowerConfig:
        """A copy with some settings changed; `text_config` and `vision_config` take changes of the towers.

        The names of the classes are kept unless their number changes.
        """
        fields = {name: getattr(self, name) for name in _MODEL_FIELDS}
        for tower in ("text_config", "vision_config"):
            new = changes.pop(tower, {})
            fields[tower] = new if isinstance(new, PretrainedConfig) else _changed(fields[tower], new)
        copied = BridgeTowerConfig(**(fields | changes))
        if copied.num_labels == self.num_labels:
            copied.name_labels(self.label_names)
        return copied

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """Build from the content of a `config.json`, of this project or of the Hugging Face port."""
        return super().from_dict(read_settings(config_dict), **kwargs)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], base: BridgeTowerConfig | None = None) -> BridgeTowerConfig:
        """Build from the model section of an experiment file, where an unknown key is an error.

        Args:
            settings: those of the section; a tower counts as a whole.
            base: has what `settings` leave out; None: the defaults have.
        """
        for name in settings:
            if name not in _MODEL_FIELDS:
                raise ValueError(f"model has no setting {name!r}{nearest(name, _MODEL_FIELDS)}")
        if base is None:
            return cls(**settings)
        classes = {"text_config": BridgeTowerTextConfig, "vision_config": BridgeTowerVisionConfig}
        return base.replace(**{name: cls._tower(value, classes[name], name) if name in classes else value
                               for name, value in settings.items()})

    @classmethod
    def from_original(cls, flat_config: Mapping[str, Any], towers: Mapping[str, Any] | None = None
                      ) -> BridgeTowerConfig:
        """Turn the flat configuration of an original checkpoint into a typed one.

        Args:
            flat_config: the original's configuration (`src/config.py`), as stored in its checkpoints.
            towers: sizes of the towers, `{"text": {...}, "vision": {...}}`, for towers whose names are not known.

        Raises:
            ValueError: when a tower is neither known by name nor described by `towers`.
        """
        flat, hidden = flat_config, flat_config["hidden_size"]
        losses = flat.get("loss_names", {})
        threshold = flat.get("task_threshold", 0)
        objectives = [name for name in ("mlm", "itm", "itc", "itm_itc") if losses.get(name, 0) > threshold]
        if losses.get("irtr_itm_itc", 0) > threshold:
            objectives.append("itm_itc")
        is_meter = flat.get("model_type", "BT") != "BT"
        return cls(
            text_config=_original_text(flat, (towers or {}).get("text")),
            vision_config=_original_vision(flat, (towers or {}).get("vision")),
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
            num_labels=_original_num_labels(flat, losses, threshold),
        )


#: The settings of a model that a person may write; what PaddleNLP adds for generation is not among them.
_MODEL_FIELDS = ("text_config", "vision_config", "hidden_size", "num_hidden_layers", "num_attention_heads",
                 "intermediate_size", "num_bridges", "bridge_type", "gated_fusion", "hidden_act", "hidden_dropout_prob",
                 "attention_probs_dropout_prob", "cross_layer_norm_eps", "layer_norm_eps", "token_type_vocab_size",
                 "contrastive_hidden_size", "initial_temperature", "gather_global_negative",
                 "objectives", "head_layers", "head_hidden_scale", "initializer_range", "tie_word_embeddings",
                 "num_labels")


def tower_settings(tower: PretrainedConfig) -> dict[str, Any]:
    """The settings of a tower that a person may write."""
    names = [name for name in inspect.signature(type(tower).__init__).parameters if name not in ("self", "kwargs")]
    return {name: getattr(tower, name) for name in names}


def _changed(config: PretrainedConfig, changes: Mapping[str, Any]) -> PretrainedConfig:
    config = copy.deepcopy(config)
    for name, value in changes.items():
        setattr(config, name, value)
    return config


def _original_num_labels(flat: Mapping[str, Any], losses: Mapping[str, float], threshold: float) -> int:
    for task, size in (("vqa", flat.get("vqav2_label_size", 3129)), ("snli", 3), ("nlvr2", 2)):
        if losses.get(task, 0) > threshold:
            return int(size)
    return 2


def _original_text(flat: Mapping[str, Any], sizes: Mapping[str, Any] | None) -> dict[str, Any]:
    if sizes is None:
        name = flat["tokenizer"]
        if name not in TEXT_TOWERS:
            raise ValueError(f"the text tower {name!r} (key `tokenizer`) is unknown{nearest(name, TEXT_TOWERS)} "
                             "Describe it with `towers`")
        sizes = TEXT_TOWERS[name].settings
    known = vars(BridgeTowerTextConfig())
    return {name: value for name, value in sizes.items() if name in known}


def _original_vision(flat: Mapping[str, Any], sizes: Mapping[str, Any] | None) -> dict[str, Any]:
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
