"""Typed configuration of the model: the two towers, the cross-modal encoder and the heads."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from paddlenlp.transformers import PretrainedConfig

from .known import BRIDGE_TYPES, check_activation, nearest
from .setting_rules import port_settings
from .setting_rules.config_limits import (
    Blocks,
    Epsilon,
    Heads,
    Inner,
    Layers,
    Positions,
    Share,
    TokenId,
    Types,
    Width,
    check_model,
    check_multiple,
)
from .setting_rules.original_settings import from_original
from .setting_rules.ranges import ImageSide, Range, Vocabulary, shown
from .setting_rules.strict_settings import (
    common_names,
    model_settings,
    strict,
    text_settings,
    tower_settings,
    vision_settings,
)
from .sources import HUB_OPTIONS, READER_OPTIONS, read_settings

__all__ = ["BRIDGE_TYPES", "BridgeTowerConfig", "BridgeTowerTextConfig", "BridgeTowerVisionConfig", "tower_settings"]


class _TowerConfig(PretrainedConfig):
    """One tower; `from_pretrained` reads its section of the settings of a whole model, or settings of its own."""

    section: ClassVar[str]

    @classmethod
    def get_config_dict(cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any
                        ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The stored settings of the tower, see `BridgeTowerConfig.get_config_dict`, and the options left over."""
        settings, unused = BridgeTowerConfig.get_config_dict(pretrained_model_name_or_path, **kwargs)
        own = settings.get(cls.section, settings)
        # A name that only the port has: the section means what it means there.
        return ({"initializer_factor": 1, **own} if port_settings.is_port_file(settings) else own), unused

    @classmethod
    def from_dict(cls, config_dict: Mapping[str, Any], **kwargs: Any) -> Any:
        """Build from stored settings, with some of them changed; an unknown one is an error."""
        returns_unused = kwargs.pop("return_unused_kwargs", False)
        config = cls(**{**config_dict, **kwargs})
        return (config, {}) if returns_unused else config


class BridgeTowerTextConfig(_TowerConfig):
    """The text tower, RoBERTa or BERT.

    Args:
        kind: `roberta` (position ids start after the padding id) or `bert`.
        max_position_embeddings: rows of the position table; RoBERTa uses `pad_token_id + 1` fewer positions.
    """

    model_type = "bridgetower_text_model"
    section = "text_config"

    @strict("text_config", port_settings.TEXT_ONLY, text_settings)
    def __init__(self, kind: str = "roberta", vocab_size: Vocabulary = 50265, hidden_size: Width = 768,
                 num_hidden_layers: Blocks = 12, num_attention_heads: Heads = 12, intermediate_size: Inner = 3072,
                 hidden_act: str = "gelu", hidden_dropout_prob: Share = 0.1, attention_probs_dropout_prob: Share = 0.1,
                 max_position_embeddings: Positions = 514, type_vocab_size: Types = 1, layer_norm_eps: Epsilon = 1e-5,
                 pad_token_id: TokenId = 1, bos_token_id: TokenId | None = 0, eos_token_id: TokenId | None = 2,
                 **kwargs: Any) -> None:
        super().__init__(pad_token_id=pad_token_id, bos_token_id=bos_token_id, eos_token_id=eos_token_id, **kwargs)
        if kind not in ("roberta", "bert"):
            raise ValueError(f"text_config.kind={shown(kind)} is unknown; use 'roberta' or 'bert'")
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
        check_multiple(hidden_size, num_attention_heads, "text_config.hidden_size", "num_attention_heads")
        check_activation("text_config.hidden_act", hidden_act)
        if pad_token_id >= vocab_size:
            raise ValueError(f"text_config.pad_token_id={pad_token_id} is not below vocab_size={vocab_size}")
        if kind == "roberta" and max_position_embeddings <= pad_token_id + 1:
            raise ValueError(f"text_config.max_position_embeddings={max_position_embeddings} leaves no position after "
                             f"pad_token_id={pad_token_id}, where RoBERTa's positions begin")


class BridgeTowerVisionConfig(_TowerConfig):
    """The image tower, a CLIP ViT, a plain ViT or DeiT.

    Args:
        kind: `clip` (a LayerNorm before the first block, patches without bias) or `vit` (patches with bias).
        image_size: side of the square input, in pixels; what exceeds a multiple of `patch_size` is not read.
        num_attention_heads: defaults to `hidden_size / 64`, as every released tower has.
    """

    model_type = "bridgetower_vision_model"
    section = "vision_config"

    @strict("vision_config", port_settings.VISION_ONLY, vision_settings)
    def __init__(self, kind: str = "clip", hidden_size: Width = 768, num_hidden_layers: Blocks = 12,
                 num_attention_heads: Heads | None = None, intermediate_size: Inner | None = None,
                 patch_size: Annotated[int, Range(1, 1024)] = 16, image_size: ImageSide = 288,
                 num_channels: Annotated[int, Range(1, 1024)] = 3, hidden_act: str = "quick_gelu",
                 layer_norm_eps: Epsilon = 1e-5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if kind not in ("clip", "vit"):
            raise ValueError(f"vision_config.kind={shown(kind)} is unknown; use 'clip' or 'vit'")
        if num_attention_heads is None:
            check_multiple(hidden_size, 64, "vision_config.hidden_size", "the width of a head")
            num_attention_heads = hidden_size // 64
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
        check_multiple(hidden_size, num_attention_heads, "vision_config.hidden_size", "num_attention_heads")
        check_activation("vision_config.hidden_act", hidden_act)
        if image_size < patch_size:
            raise ValueError(f"vision_config.image_size={image_size} is less than patch_size={patch_size}")

    @property
    def num_tokens(self) -> int:
        """Image tokens: the class token and one token per patch."""
        return 1 + (self.image_size // self.patch_size) ** 2

    def check_whole_patches(self) -> None:
        """Refuse an image size whose last pixels no patch would read: nobody chooses that for a run.

        Raises:
            ValueError: the image size is not a multiple of the patch size.
        """
        check_multiple(self.image_size, self.patch_size, "image_size", "patch_size")


class BridgeTowerConfig(PretrainedConfig):
    """The whole model.

    Args:
        text_config: a `BridgeTowerTextConfig` or its fields.
        vision_config: a `BridgeTowerVisionConfig` or its fields.
        hidden_size: width D of the cross-modal encoder.
        num_hidden_layers: cross-modal layers K; the top K blocks of each tower feed them, or all K - 1 blocks and the
            embeddings.
        num_bridges: cross-modal layers that read a tower state (the paper's internal layers); the remaining ones
            are external and read only the layer below. None means all K.
        bridge_type: one of `BRIDGE_TYPES`.
        gated_fusion: feed the cross-modal layers a gated sum of all blocks of each tower instead of its last one (METER
            with fusion; needs `num_bridges=0`).
        hidden_act: activation of the MLM head, as in the Hugging Face port.
        cross_hidden_act: activation of the cross-modal layers; None means that of the text tower, as in the port.
        cross_layer_norm_eps: LayerNorm epsilon inside the cross-modal layers: 1e-12 in the original, that of the text
            tower in the port. The converter sets it by the layout of its source.
        mlm_layer_norm_eps: LayerNorm epsilon of the MLM head; None means `cross_layer_norm_eps`, as in the original.
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

    Settings of the Hugging Face port are understood or refused by their names. Where names occur that only the port has
    (`link_tower_type`, `share_layernorm`, ...) and none that only this project has, all settings mean what they mean
    there: heads, activation and epsilon of the cross-modal layers are those of the text tower.

    Raises:
        ValueError: on an unknown key (with the nearest valid name) or a value that no model can have.
    """

    model_type = "bridgetower"
    #: The port's name is an attribute, too.
    attribute_map: ClassVar[dict[str, str]] = {**PretrainedConfig.attribute_map, "link_tower_type": "bridge_type"}

    @strict("model", port_settings.TOP_ONLY, model_settings)
    def __init__(self, text_config: BridgeTowerTextConfig | Mapping[str, Any] | None = None,
                 vision_config: BridgeTowerVisionConfig | Mapping[str, Any] | None = None, hidden_size: Width = 768,
                 num_hidden_layers: Layers = 6, num_attention_heads: Heads = 12, intermediate_size: Inner | None = None,
                 num_bridges: Layers | None = None, bridge_type: str = "add", gated_fusion: bool = False,
                 hidden_act: str = "gelu", hidden_dropout_prob: Share = 0.1, attention_probs_dropout_prob: Share = 0.1,
                 cross_layer_norm_eps: Epsilon = 1e-12, layer_norm_eps: Epsilon = 1e-5,
                 token_type_vocab_size: Types = 2, contrastive_hidden_size: Width = 256,
                 initial_temperature: Annotated[float, Range(0, 1e50, above=True)] = 0.07,
                 gather_global_negative: bool = False, objectives: tuple[str, ...] | list[str] = ("mlm", "itm"),
                 head_layers: Annotated[int, Range(1, 2)] = 2,
                 head_hidden_scale: Annotated[float, Range(0, 64, above=True)] = 1,
                 initializer_range: Annotated[float, Range(0, 100)] = 0.02, tie_word_embeddings: bool = False,
                 cross_hidden_act: str | None = None, mlm_layer_norm_eps: Epsilon | None = None, **kwargs: Any) -> None:
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
        self.cross_hidden_act = self.text_config.hidden_act if cross_hidden_act is None else cross_hidden_act
        self.cross_layer_norm_eps = cross_layer_norm_eps
        self.mlm_layer_norm_eps = cross_layer_norm_eps if mlm_layer_norm_eps is None else mlm_layer_norm_eps
        self.layer_norm_eps = layer_norm_eps
        self.token_type_vocab_size = token_type_vocab_size
        self.contrastive_hidden_size = contrastive_hidden_size
        self.initial_temperature = initial_temperature
        self.gather_global_negative = gather_global_negative
        self.objectives = list(objectives)
        self.head_layers = head_layers
        self.head_hidden_scale = head_hidden_scale
        self.initializer_range = initializer_range
        check_model(self)

    @staticmethod
    def _tower(value: Any, config_class: type[PretrainedConfig], key: str) -> Any:
        if isinstance(value, config_class):
            return value
        if value is not None and not isinstance(value, Mapping):
            raise ValueError(f"{key}={shown(value)} is {type(value).__name__}, expected a group of settings")
        return config_class(**(value or {}))

    @classmethod
    def from_text_vision_configs(cls, text_config: BridgeTowerTextConfig, vision_config: BridgeTowerVisionConfig,
                                 **settings: Any) -> BridgeTowerConfig:
        """Build from the configurations of the two towers, and settings of the model."""
        return cls(text_config=text_config, vision_config=vision_config, **settings)

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
        fields = {name: getattr(self, name) for name in (*_MODEL_FIELDS, *_KEPT)}
        for tower in ("text_config", "vision_config"):
            new = changes.pop(tower, None) or {}
            fields[tower] = new if isinstance(new, PretrainedConfig) else _changed(fields[tower], new)
        copied = BridgeTowerConfig(**(fields | changes))
        if copied.num_labels == self.num_labels:
            copied.name_labels(self.label_names)
        return copied

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
        classes = {"text_config": BridgeTowerTextConfig, "vision_config": BridgeTowerVisionConfig}
        typed = {name: cls._tower(value, classes[name], name) if name in classes else value
                 for name, value in settings.items()}
        config = cls(**typed) if base is None else base.replace(**typed)
        config.vision_config.check_whole_patches()
        return config

    @classmethod
    def get_config_dict(cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any
                        ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The stored settings of a folder, a file or a name on the Hugging Face hub, and the options left over.

        `from_pretrained` calls it, so that settings of the Hugging Face port are read, too.
        """
        options = {name: kwargs.pop(name) for name in HUB_OPTIONS if name in kwargs}
        for name in READER_OPTIONS:
            kwargs.pop(name, None)
        return read_settings(pretrained_model_name_or_path, options), kwargs

    @classmethod
    def from_dict(cls, config_dict: Mapping[str, Any], **kwargs: Any) -> Any:
        """Build from the content of a `config.json`, ours or that of the Hugging Face port.

        Args:
            config_dict: the stored settings.
            kwargs: settings to change; with `return_unused_kwargs=True` other names are returned, else refused.

        Raises:
            ValueError: on a setting that no model has.
        """
        returns_unused = kwargs.pop("return_unused_kwargs", False)
        is_port = port_settings.is_port_file(config_dict)
        config = cls(**(port_settings.from_port(config_dict) if is_port else config_dict))
        known = (*_MODEL_FIELDS, *common_names())
        unused = {name: kwargs.pop(name) for name in list(kwargs) if name not in known and returns_unused}
        changed = config.replace(**kwargs) if kwargs else config
        return (changed, unused) if returns_unused else changed

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
        fields = from_original(flat_config, towers or {})
        known = vars(BridgeTowerTextConfig())
        fields["text_config"] = {name: value for name, value in fields["text_config"].items() if name in known}
        return cls(**fields)


#: The settings of a model that a person may write; what PaddleNLP adds for generation is not among them.
_MODEL_FIELDS = ("text_config", "vision_config", "hidden_size", "num_hidden_layers", "num_attention_heads",
                 "intermediate_size", "num_bridges", "bridge_type", "gated_fusion", "hidden_act", "hidden_dropout_prob",
                 "attention_probs_dropout_prob", "cross_layer_norm_eps", "layer_norm_eps", "token_type_vocab_size",
                 "contrastive_hidden_size", "initial_temperature", "gather_global_negative",
                 "objectives", "head_layers", "head_hidden_scale", "initializer_range", "tie_word_embeddings",
                 "num_labels", "cross_hidden_act", "mlm_layer_norm_eps")
#: Settings of PaddleNLP that a changed copy keeps.
_KEPT = ("architectures", "dtype", "output_attentions", "output_hidden_states")


def _changed(config: PretrainedConfig, changes: Mapping[str, Any]) -> PretrainedConfig:
    return type(config)(**{**tower_settings(config), **changes})
