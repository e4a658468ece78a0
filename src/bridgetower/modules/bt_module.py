"""BridgeTower without a head: two towers, the bridges and the cross-modal layers."""

from __future__ import annotations

from itertools import chain, repeat
from typing import Any, ClassVar

import paddle
from paddle import Tensor, nn
from paddlenlp.transformers import PretrainedModel

from ..config import BridgeTowerConfig
from ..kernels import add_bias, share_rows
from .attention import additive_mask
from .bert_model import TextTower
from .bridges import Bridge
from .clip_model import ImageTower
from .heads import LayerGate, MLMHead, Pooler
from .layers import LayerNorm, Linear
from .loading import LoadingMixin
from .outputs import BridgeTowerModelOutput
from .recompute import run_layer
from .transformer import BertCrossLayer

__all__ = ["BridgeTowerModel", "BridgeTowerPretrainedModel"]

class BridgeTowerPretrainedModel(LoadingMixin, PretrainedModel):
    """Base of all models: configuration, initialisation, loading and saving."""

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

    Each stage can be called alone: `encode_text` and `encode_image` run a tower, `project_text` and `project_image` map
    its states to the cross-modal width, and `fuse` runs the cross-modal layers on them.
    """

    def __init__(self, config: BridgeTowerConfig) -> None:
        super().__init__(config)
        width, num_bridges = config.hidden_size, config.num_bridges
        self.num_states = max(num_bridges, 1)
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
        self.enable_recompute = False

    @staticmethod
    def _cross_layers(config: BridgeTowerConfig) -> nn.LayerList:
        return nn.LayerList([
            BertCrossLayer(config.hidden_size, config.num_attention_heads, config.intermediate_size,
                           config.cross_hidden_act, config.hidden_dropout_prob, config.attention_probs_dropout_prob,
                           config.cross_layer_norm_eps)
            for _ in range(config.num_hidden_layers)
        ])

    def get_input_embeddings(self) -> nn.Embedding:
        """The word embeddings of the text tower."""
        return self.text_tower.embeddings.word_embeddings

    @share_rows
    def encode_text(self, input_ids: Tensor, attention_mask: Tensor) -> list[Tensor]:
        """Run the text tower: (B, L) -> its top states (B, L, W), one per bridge (or one without bridges)."""
        if self.text_gate is None:
            return self.text_tower(input_ids, attention_mask, self.num_states)
        return [self.text_gate(self.text_tower(input_ids, attention_mask, len(self.text_tower.layers)))]

    @share_rows
    def encode_image(self, pixel_values: Tensor) -> list[Tensor]:
        """Run the image tower: (B, 3, S, S) -> its top states (B, N, W), one per bridge (or one without bridges)."""
        if self.image_gate is None:
            return self.image_tower(pixel_values, self.num_states)
        return [self.image_gate(self.image_tower(pixel_values, len(self.image_tower.layers)))]

    def _token_type(self, index: int) -> Tensor:
        """Embedding (D,) of a token type: 0 for texts, 1 for images, 2 for the second image of NLVR2."""
        return self.token_type_embeddings(paddle.full([], index, "int64"))

    def project_text(self, states: list[Tensor]) -> list[Tensor]:
        """Map text states to the cross-modal width and add the token type of texts, (B, L, W) -> (B, L, D)."""
        token_type = self._token_type(0)
        return [add_bias(self.text_projection(state), token_type) for state in states]

    def project_image(self, states: list[Tensor], token_type: int = 1) -> list[Tensor]:
        """Map image states to the cross-modal width and add a token type, (B, N, W) -> (B, N, D)."""
        embedding = self._token_type(token_type)
        return [add_bias(self.image_projection(state), embedding) for state in states]

    @share_rows
    def fuse(self, text_states: list[Tensor], image_states: list[Tensor], attention_mask: Tensor,
             first_token_only: bool = False, text_only: bool = False) -> BridgeTowerModelOutput:
        """Run the cross-modal layers on projected tower states.

        Args:
            text_states: (B, L, D) projected text states, lowest level first.
            image_states: (B, N, D) projected image states.
            attention_mask: (B, L), 1 = real token.
            first_token_only: compute the last layers only for the first token of each modality, which the poolers read.
            text_only: leave out the last image layer and the poolers, which the text features do not depend on.

        Returns:
            `text_features` (B, L, D), `image_features` (B, N, D) and `pooler_output` (B, 2D); the features have one
            token with `first_token_only`, and only the text features are there with `text_only`.
        """
        mask = additive_mask(attention_mask)
        text, image = self.text_input_norm(text_states[0]), self.image_input_norm(image_states[0])
        for text_layer, image_layer, bridges in self._levels(text_states[1:], image_states[1:]):
            if bridges is not None:
                text_bridge, text_state, image_bridge, image_state = bridges
                text, image = text_bridge(text, text_state, mask), image_bridge(image, image_state)
            is_last = text_layer is self.cross_modal_text_layers[-1]
            num_queries = 1 if is_last and first_token_only else None
            # Each layer reads the input of the other one, not its output.
            next_text = run_layer(self, text_layer, text, image, mask, None, num_queries)
            if not (is_last and text_only):
                image = run_layer(self, image_layer, image, text, None, mask, num_queries)
            text = next_text
        if text_only:
            return BridgeTowerModelOutput(text_features=text)
        return BridgeTowerModelOutput(text_features=text, image_features=image,
                                      pooler_output=self.get_cls_features(text, image))

    @paddle.jit.not_to_static  # Paddle's translation of Python knows `zip` without `strict` only
    def _levels(self, text_states: list[Tensor], image_states: list[Tensor]) -> list[tuple[nn.Layer, nn.Layer, Any]]:
        """The layers of both modalities, lowest first, each pair with its bridges and the tower states that they read.

        The first layers have no bridges: their inputs are normalised tower states. External layers have none either.
        """
        layers = zip(self.cross_modal_text_layers, self.cross_modal_image_layers, strict=True)
        bridges = zip(self.text_bridges, text_states, self.image_bridges, image_states, strict=True)
        return [(*pair, bridge) for pair, bridge in zip(layers, chain([None], bridges, repeat(None)), strict=False)]

    def get_cls_features(self, text_features: Tensor, image_features: Tensor) -> Tensor:
        """Pool the first token of each modality, (B, L, D) and (B, N, D) -> (B, 2D)."""
        return paddle.concat([self.text_pooler(text_features), self.image_pooler(image_features)], axis=-1)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, pixel_values: Tensor | None = None,
                image_rows: Tensor | None = None, image_token_type_idx: int = 1, first_token_only: bool = False,
                text_only: bool = False) -> BridgeTowerModelOutput:
        """Encode texts and images together.

        Args:
            input_ids: (B, L) int64.
            attention_mask: (B, L), 1 = real token; None means all are.
            pixel_values: (B, 3, S, S); or (M, 3, S, S) with `image_rows`.
            image_rows: (B,) the image of each text, when texts share images: each image passes its tower once.
            image_token_type_idx: token type of the image.
            first_token_only, text_only: what the caller does not read, see `fuse`.

        Returns:
            `text_features` (B, L, D), `image_features` (B, N, D) and `pooler_output` (B, 2D), see `fuse`.

        Raises:
            ValueError: when there are no images, or not as many as texts.
        """
        if pixel_values is None:
            raise ValueError("pixel_values is missing: BridgeTower reads a text and an image")
        if attention_mask is None:
            attention_mask = paddle.ones_like(input_ids)
        num_images = pixel_values.shape[0] if image_rows is None else image_rows.shape[0]
        if num_images != input_ids.shape[0]:
            raise ValueError(f"{input_ids.shape[0]} texts but {num_images} images; give one image per text, or "
                             "image_rows")
        text = self.project_text(self.encode_text(input_ids, attention_mask))
        image = self.project_image(self.encode_image(pixel_values), image_token_type_idx)
        if image_rows is not None:
            image = [state.index_select(image_rows) for state in image]
        return self.fuse(text, image, attention_mask, first_token_only, text_only)
