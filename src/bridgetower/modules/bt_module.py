"""BridgeTower without a head: two towers, the bridges and the cross-modal layers."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import paddle
from paddle import Tensor, nn
from paddlenlp.transformers import PretrainedModel

from ..config import BridgeTowerConfig
from .attention import additive_mask
from .bert_model import TextTower
from .bridges import Bridge
from .clip_model import ImageTower
from .cpu import share_rows
from .heads import LayerGate, MLMHead, Pooler
from .layers import LayerNorm, Linear
from .loading import LoadingMixin
from .outputs import BridgeTowerModelOutput
from .recompute import run_layer
from .transformer import BertCrossLayer

__all__ = ["BridgeTowerModel", "BridgeTowerPretrainedModel"]

#: Which rows of the last cross-modal layer a caller reads: all, the first token of each modality, or the text side.
Needed = Literal["all", "first", "text"]


class BridgeTowerPretrainedModel(LoadingMixin, PretrainedModel):
    """Base of all models here: configuration, initialisation, loading and saving."""

    config_class = BridgeTowerConfig
    base_model_prefix = "bridgetower"
    #: Settings that a class needs whatever the configuration says, for instance the number of its classes.
    required_settings: ClassVar[dict[str, Any]] = {}

    def __init__(self, config: BridgeTowerConfig) -> None:
        if any(getattr(config, name) != value for name, value in self.required_settings.items()):
            config = config.replace(**self.required_settings)
        super().__init__(config)

    def _init_weights(self, layer: nn.Layer) -> None:
        # As the original's `init_weights`: normal weights, zero biases, LayerNorm left at one and zero.
        normal = nn.initializer.Normal(std=self.config.initializer_range)
        if isinstance(layer, (nn.Linear, nn.Embedding, nn.Conv2D)):
            normal(layer.weight)
            if getattr(layer, "bias", None) is not None:
                nn.initializer.Constant(0.0)(layer.bias)
        elif isinstance(layer, ImageTower):
            normal(layer.class_embedding)
            normal(layer.position_embedding)
        elif isinstance(layer, MLMHead):
            normal(layer.decoder_weight)


class BridgeTowerModel(BridgeTowerPretrainedModel):
    """The bare model (paper, figure 2), or with `num_bridges=0` the two-tower METER baseline.

    Its parts serve callers with other plans: `encode_text` and `encode_image` run a tower once, `project_text` and
    `project_image` bring its states to the cross-modal width, `fuse` runs the cross-modal layers on them.
    """

    def __init__(self, config: BridgeTowerConfig) -> None:
        super().__init__(config)
        width, depth, num_bridges = config.hidden_size, config.num_hidden_layers, config.num_bridges
        self.num_bridges = num_bridges
        self.text_tower = TextTower(config.text_config)
        self.image_tower = ImageTower(config.vision_config)
        self.text_projection = Linear(config.text_config.hidden_size, width)
        self.image_projection = Linear(config.vision_config.hidden_size, width)
        self.token_type_embeddings = nn.Embedding(config.token_type_vocab_size, width)
        self.cross_modal_text_layers = self._cross_layers(config)
        self.cross_modal_image_layers = self._cross_layers(config)
        has_bridges = num_bridges > 0
        self.text_gate = LayerGate(config.text_config.hidden_size) if config.gated_fusion else None
        self.image_gate = LayerGate(config.vision_config.hidden_size) if config.gated_fusion else None
        self.text_input_norm = LayerNorm(width, config.layer_norm_eps) if has_bridges else nn.Identity()
        self.image_input_norm = LayerNorm(width, config.layer_norm_eps) if has_bridges else nn.Identity()
        self.text_bridges = nn.LayerList([Bridge(config) for _ in range(1, num_bridges)])
        self.image_bridges = nn.LayerList([Bridge(config) for _ in range(1, num_bridges)])
        self.text_pooler = Pooler(width)
        self.image_pooler = Pooler(width)
        self.depth = depth
        self.enable_recompute = False

    @staticmethod
    def _cross_layers(config: BridgeTowerConfig) -> nn.LayerList:
        return nn.LayerList([
            BertCrossLayer(config.hidden_size, config.num_attention_heads, config.intermediate_size,
                           config.hidden_act, config.hidden_dropout_prob, config.attention_probs_dropout_prob,
                           config.cross_layer_norm_eps)
            for _ in range(config.num_hidden_layers)
        ])

    def get_input_embeddings(self) -> nn.Embedding:
        """The word embeddings of the text tower."""
        return self.text_tower.embeddings.word_embeddings

    @share_rows
    def encode_text(self, input_ids: Tensor, attention_mask: Tensor) -> list[Tensor]:
        """Run the text tower: (B, L) -> its top states (B, L, W), one a bridge (or one without bridges)."""
        if self.text_gate is None:
            return self.text_tower(input_ids, attention_mask, max(self.num_bridges, 1))
        return [self.text_gate(self.text_tower(input_ids, attention_mask, len(self.text_tower.layers)))]

    @share_rows
    def encode_image(self, pixel_values: Tensor) -> list[Tensor]:
        """Run the image tower: (B, 3, S, S) -> its top states (B, N, W), one a bridge (or one without bridges)."""
        if self.image_gate is None:
            return self.image_tower(pixel_values, max(self.num_bridges, 1))
        return [self.image_gate(self.image_tower(pixel_values, len(self.image_tower.layers)))]

    def project_text(self, states: list[Tensor]) -> list[Tensor]:
        """(B, L, W) text states -> (B, L, D), with the token-type embedding of texts."""
        return [self.text_projection(state, self.token_type_embeddings.weight[0]) for state in states]

    def project_image(self, states: list[Tensor], token_type: int = 1) -> list[Tensor]:
        """(B, N, W) image states -> (B, N, D), with a token-type embedding (1; 2 for the second image of NLVR2)."""
        return [self.image_projection(state, self.token_type_embeddings.weight[token_type]) for state in states]

    @share_rows
    def fuse(self, text_states: list[Tensor], image_states: list[Tensor], attention_mask: Tensor,
             needed: Needed = "all") -> BridgeTowerModelOutput:
        """Run the cross-modal layers on projected tower states.

        Args:
            text_states: (B, L, D) projected text states, lowest level first.
            image_states: (B, N, D) projected image states.
            attention_mask: (B, L), 1 = real token.
            needed: what the caller reads. `first` computes the last layers for the first tokens only, and `text`
                leaves out the last image layer and the poolers; what is returned is the same as with `all`.

        Returns:
            `text_features` and `image_features` (one row a sample with `first`), `pooler_output` except with `text`.
        """
        mask = additive_mask(attention_mask)
        text, image = self.text_input_norm(text_states[0]), self.image_input_norm(image_states[0])
        for level in range(self.depth):
            if 0 < level < self.num_bridges:
                text = self.text_bridges[level - 1](text, text_states[level], mask)
                image = self.image_bridges[level - 1](image, image_states[level])
            is_last = level == self.depth - 1
            rows = 1 if is_last and needed == "first" else None
            text, image = self._cross(level, text, image, mask, rows, with_image=not (is_last and needed == "text"))
        if needed == "text":
            return BridgeTowerModelOutput(text_features=text)
        pooled = paddle.concat([self.text_pooler(text), self.image_pooler(image)], axis=-1)
        return BridgeTowerModelOutput(text_features=text, image_features=image, pooler_output=pooled)

    def _cross(self, level: int, text: Tensor, image: Tensor, mask: Tensor, rows: int | None,
               with_image: bool) -> tuple[Tensor, Tensor]:
        """One level: both stacks read the inputs of the other one, not its fresh output."""
        new_text = run_layer(self, self.cross_modal_text_layers[level], text, image, mask, None, rows)
        if not with_image:
            return new_text, image
        return new_text, run_layer(self, self.cross_modal_image_layers[level], image, text, None, mask, rows)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, pixel_values: Tensor | None = None,
                image_rows: Tensor | None = None, image_token_type_idx: int = 1, needed: Needed = "all",
                ) -> BridgeTowerModelOutput:
        """Encode texts and images together.

        Args:
            input_ids: (B, L) int64.
            attention_mask: (B, L), 1 = real token; None means all are.
            pixel_values: (B, 3, S, S); or (M, 3, S, S) with `image_rows`.
            image_rows: (B,) the image of each text, when texts share images: each image passes its tower once.
            image_token_type_idx: token type of the image.
            needed: see `fuse`.

        Returns:
            Features and pooled output, see `fuse`.

        Raises:
            ValueError: when there are no images, or not as many as texts.
        """
        if pixel_values is None:
            raise ValueError("pixel_values is missing: BridgeTower reads a text and an image")
        if attention_mask is None:
            attention_mask = paddle.ones_like(input_ids)
        num_images = pixel_values.shape[0] if image_rows is None else image_rows.shape[0]
        if num_images != input_ids.shape[0]:
            raise ValueError(f"{input_ids.shape[0]} texts but {num_images} images; give one image a text, or "
                             "image_rows")
        text = self.project_text(self.encode_text(input_ids, attention_mask))
        image = self.project_image(self.encode_image(pixel_values), image_token_type_idx)
        if image_rows is not None:
            image = [state.index_select(image_rows) for state in image]
        return self.fuse(text, image, attention_mask, needed)
