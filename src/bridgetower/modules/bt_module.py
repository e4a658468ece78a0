"""BridgeTower without a head: two towers, the bridges and the cross-modal layers."""

from __future__ import annotations

from itertools import chain, repeat
from typing import Any

import paddle
from paddle import Tensor, nn
from paddlenlp.transformers.model_outputs import ModelOutput

from ..config import BridgeTowerConfig
from ..kernels import add_bias, share_rows
from .attention import additive_mask, text_mask
from .bert_model import TextTower
from .bridges import Bridge
from .clip_model import ImageTower
from .heads import LayerGate, Pooler
from .layers import LayerNorm, Linear
from .outputs import BridgeTowerModelOutput
from .pretrained import BridgeTowerPretrainedModel
from .recompute import run_layer
from .transformer import BertCrossLayer

__all__ = ["BridgeTowerModel", "add_states", "as_the_port"]


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

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the word embeddings of the text tower."""
        self.text_tower.embeddings.word_embeddings = value

    @share_rows
    def encode_text(self, input_ids: Tensor | None, attention_mask: Tensor, inputs_embeds: Tensor | None = None
                    ) -> list[Tensor]:
        """Run the text tower: (B, L) -> its top states (B, L, W), one per bridge (or one without bridges).

        `inputs_embeds` (B, L, W), embedded words, may stand in for `input_ids`.
        """
        if self.text_gate is None:
            return self.text_tower(input_ids, attention_mask, self.num_states, inputs_embeds)
        return [self.text_gate(self.text_tower(input_ids, attention_mask, len(self.text_tower.layers), inputs_embeds))]

    @share_rows
    def encode_image(self, pixel_values: Tensor | None, image_embeds: Tensor | None = None,
                     interpolate_pos_encoding: bool = False) -> list[Tensor]:
        """Run the image tower: (B, 3, S, S) -> its top states (B, N, W), one per bridge (or one without bridges).

        `image_embeds` (B, N, W), the input of the first block, may stand in for `pixel_values`.
        """
        count = self.num_states if self.image_gate is None else len(self.image_tower.layers)
        states = self.image_tower(pixel_values, count, image_embeds, interpolate_pos_encoding)
        return states if self.image_gate is None else [self.image_gate(states)]

    def encode(self, input_ids: Tensor | None, attention_mask: Tensor, pixel_values: Tensor | None,
               inputs_embeds: Tensor | None = None, image_embeds: Tensor | None = None,
               interpolate_pos_encoding: bool = False, every_layer: bool = False
               ) -> tuple[list[Tensor], list[Tensor], tuple[list[Tensor], list[Tensor]] | None]:
        """Run both towers.

        Args:
            input_ids, attention_mask, inputs_embeds: of the texts, see `encode_text`.
            pixel_values, image_embeds, interpolate_pos_encoding: of the images, see `encode_image`.
            every_layer: whether to return the states of all layers, too.

        Returns:
            The states of `encode_text` and `encode_image`, and None; or with `every_layer` all states (B, L, W) of the
            text tower and (B, N, W) of the image tower before its last LayerNorm, the embeddings first.
        """
        text_tower, image_tower = self.text_tower, self.image_tower
        if not every_layer:
            return (self.encode_text(input_ids, attention_mask, inputs_embeds),
                    self.encode_image(pixel_values, image_embeds, interpolate_pos_encoding), None)
        texts = text_tower(input_ids, attention_mask, len(text_tower.layers) + 1, inputs_embeds)
        images = image_tower(pixel_values, len(image_tower.layers) + 1, image_embeds, interpolate_pos_encoding,
                             with_last_norm=False)
        if self.text_gate is not None and self.image_gate is not None:
            normed = [image_tower.post_norm(state) for state in images[1:]]
            return [self.text_gate(texts[1:])], [self.image_gate(normed)], (texts, images)
        normed = [image_tower.post_norm(state) for state in images[-self.num_states:]]
        return texts[-self.num_states:], normed, (texts, images)

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
             first_token_only: bool = False, text_only: bool = False, output_hidden_states: bool = False,
             output_attentions: bool = False) -> BridgeTowerModelOutput:
        """Run the cross-modal layers on projected tower states.

        Args:
            text_states: (B, L, D) projected text states, lowest level first.
            image_states: (B, N, D) projected image states.
            attention_mask: (B, L), 1 = real token.
            first_token_only: compute the last layers only for the first token of each modality, which the poolers read.
            text_only: leave out the last image layer and the poolers, which the text features do not depend on.
            output_hidden_states: whether to return the states of each layer.
            output_attentions: whether to return the weights of each layer. With this or hidden states, nothing is left
                out.

        Returns:
            `text_features` (B, L, D), `image_features` (B, N, D) and `pooler_output` (B, 2D); the features have one
            token with `first_token_only`, and only the text features are there with `text_only`. `hidden_states`:
            per layer its text and its image states. `attentions`: per layer the weights of text self-attention
            (B, H, L, L), image self-attention (B, H, N, N), text to image (B, H, L, N) and image to text (B, H, N, L).
        """
        states: list[tuple[Tensor, Tensor]] = []
        weights: list[tuple[Tensor, ...]] = []
        if output_hidden_states or output_attentions:
            first_token_only = text_only = False
        mask = additive_mask(attention_mask)
        text, image = self.text_input_norm(text_states[0]), self.image_input_norm(image_states[0])
        for text_layer, image_layer, bridges in self._levels(text_states[1:], image_states[1:]):
            if bridges is not None:
                text_bridge, text_state, image_bridge, image_state = bridges
                text, image = text_bridge(text, text_state, mask), image_bridge(image, image_state)
            is_last = text_layer is self.cross_modal_text_layers[-1]
            num_queries = 1 if is_last and first_token_only else None
            # Each layer reads the input of the other one, not its output.
            of_text, of_image = _weight_lists(output_attentions)
            next_text = run_layer(self, text_layer, text, image, mask, None, num_queries, of_text)
            if not (is_last and text_only):
                image = run_layer(self, image_layer, image, text, None, mask, num_queries, of_image)
            text = next_text
            if output_hidden_states:
                states.append((text, image))
            if output_attentions:
                weights.append((of_text[0], of_image[0], of_text[1], of_image[1]))
        if text_only:
            return BridgeTowerModelOutput(text_features=text)
        return BridgeTowerModelOutput(text_features=text, image_features=image,
                                      pooler_output=self.get_cls_features(text, image),
                                      hidden_states=tuple(states) if output_hidden_states else None,
                                      attentions=tuple(weights) if output_attentions else None)

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

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                token_type_ids: Tensor | None = None, pixel_values: Tensor | None = None,
                pixel_mask: Tensor | None = None, head_mask: Tensor | None = None, inputs_embeds: Tensor | None = None,
                image_embeds: Tensor | None = None, image_token_type_idx: int | None = None,
                output_attentions: bool | None = None, output_hidden_states: bool | None = None,
                return_dict: bool | None = None, labels: Tensor | None = None, interpolate_pos_encoding: bool = False,
                *, image_rows: Tensor | None = None, first_token_only: bool = False, text_only: bool = False
                ) -> BridgeTowerModelOutput | tuple:
        """Encode texts and images together.

        Args:
            input_ids: (B, L) int64.
            attention_mask: (B, L), 1 = real token; None means all are.
            token_type_ids, pixel_mask, head_mask, labels: accepted and not read, as in the Hugging Face port.
            pixel_values: (B, 3, S, S); or (M, 3, S, S) with `image_rows`.
            inputs_embeds: (B, L, W) embedded words, read if there are no `input_ids`.
            image_embeds: (B, N, W) input of the image tower's first block, instead of `pixel_values`.
            image_token_type_idx: token type of the image; None and 0 mean 1, as in the port.
            output_attentions, output_hidden_states: whether to return them; None leaves it to the configuration.
            return_dict: False returns the fields that are not None as a tuple.
            interpolate_pos_encoding: accept images of another size and resize the position table to it.
            image_rows: (B,) the image of each text, when texts share images: each image passes its tower once.
            first_token_only, text_only: what the caller reads, see `fuse`.

        Returns:
            `text_features` (B, L, D), `image_features` (B, N, D) and `pooler_output` (B, 2D), see `fuse`; what was
            asked for of `hidden_states` and `attentions`, see `BridgeTowerModelOutput`.

        Raises:
            ValueError: when there are no texts, no images, or not as many images as texts.
        """
        attention_mask = self.check_inputs(input_ids, attention_mask, pixel_values, inputs_embeds, image_embeds,
                                           image_rows)
        with_states, with_weights = self.wanted(output_hidden_states, output_attentions)
        text, image, every_state = self.encode(input_ids, attention_mask, pixel_values, inputs_embeds, image_embeds,
                                               interpolate_pos_encoding, with_states)
        text, image = self.project_text(text), self.project_image(image, image_token_type_idx or 1)
        if image_rows is not None:
            image = [state.index_select(image_rows) for state in image]
        output = self.fuse(text, image, attention_mask, first_token_only, text_only, with_states, with_weights)
        output = as_the_port(output, every_state)
        return output.to_tuple() if return_dict is False else output

    @staticmethod
    def check_inputs(input_ids: Tensor | None, attention_mask: Tensor | None, pixel_values: Tensor | None,
                     inputs_embeds: Tensor | None = None, image_embeds: Tensor | None = None,
                     image_rows: Tensor | None = None) -> Tensor:
        """Check that there is an image for each text, see `forward`; returns the attention mask (B, L)."""
        mask = text_mask(input_ids, attention_mask, inputs_embeds)
        images = pixel_values if image_embeds is None else image_embeds
        if images is None:
            raise ValueError("pixel_values is missing: BridgeTower reads a text and an image")
        num_images = images.shape[0] if image_rows is None else image_rows.shape[0]
        if paddle.in_dynamic_mode() and num_images != mask.shape[0]:  # a traced program does not know the sizes yet
            raise ValueError(f"{mask.shape[0]} texts but {num_images} images; give one image per text, or image_rows")
        return mask


def _weight_lists(wanted: bool) -> tuple[Any, Any]:
    """Lists to collect the attention weights of a text and an image layer in, or None twice."""
    return ([], []) if wanted else (None, None)


def add_states(output: ModelOutput, model: BridgeTowerModel, input_ids: Tensor, attention_mask: Tensor,
               pixel_values: Tensor, wanted: tuple[bool, bool], image_rows: Tensor | None = None) -> None:
    """Run a model once more for the hidden states and attentions of the pairs as they are given, if any are wanted.

    Args:
        output: gets `hidden_states` and `attentions`.
        model: of the class that is asked for them.
        input_ids, attention_mask: (B, L) each.
        pixel_values: (B, 3, S, S), or (M, 3, S, S) with `image_rows`.
        wanted: whether hidden states and whether attentions are wanted.
        image_rows: (B,) the image of each text.
    """
    if any(wanted):
        features = model(input_ids, attention_mask, pixel_values=pixel_values, output_hidden_states=wanted[0],
                         output_attentions=wanted[1], image_rows=image_rows)
        output["hidden_states"], output["attentions"] = features.hidden_states, features.attentions


def as_the_port(output: BridgeTowerModelOutput, every_state: tuple[list[Tensor], list[Tensor]] | None
                ) -> BridgeTowerModelOutput:
    """Give what `fuse` returns the hidden states and attentions of the port, see `BridgeTowerModelOutput`.

    Args:
        output: of `fuse`.
        every_state: (B, L, W) and (B, N, W) of all layers of the towers.
    """
    if every_state is not None:
        text, image = every_state
        output["hidden_states"] = (tuple(text), tuple(state.transpose([1, 0, 2]) for state in image),
                                   output.hidden_states)
    if output.attentions is not None:
        output["attentions"] = tuple(layer[:2] for layer in output.attentions)
    return output
