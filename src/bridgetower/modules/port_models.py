"""The models of the Hugging Face port with one head: masked words, matching, and contrastive vectors.

Their arguments have the names and the order of the port; those that only this package has can only be named.
"""

from __future__ import annotations

import math

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from ..config import BridgeTowerConfig
from ..objectives import class_cross_entropy, masked_cross_entropy
from .bt_module import BridgeTowerModel, as_the_port
from .heads import mlm_head
from .layers import Linear
from .outputs import BridgeTowerContrastiveOutput, ImageTextMatchingOutput, MaskedLMOutput
from .pretrained import BridgeTowerPretrainedModel

__all__ = ["BridgeTowerForContrastiveLearning", "BridgeTowerForImageAndTextRetrieval", "BridgeTowerForMaskedLM"]


class BridgeTowerForMaskedLM(BridgeTowerPretrainedModel):
    """Predicts masked words from the text and the image."""

    def __init__(self, config: BridgeTowerConfig) -> None:
        super().__init__(config)
        self.bridgetower = BridgeTowerModel(config)
        self.mlm_head = mlm_head(config)
        if config.tie_word_embeddings:
            self.mlm_head.decoder_weight = self.bridgetower.get_input_embeddings().weight

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                token_type_ids: Tensor | None = None, pixel_values: Tensor | None = None,
                pixel_mask: Tensor | None = None, head_mask: Tensor | None = None, inputs_embeds: Tensor | None = None,
                image_embeds: Tensor | None = None, output_attentions: bool | None = None,
                output_hidden_states: bool | None = None, return_dict: bool | None = None,
                labels: Tensor | None = None, *, interpolate_pos_encoding: bool = False
                ) -> MaskedLMOutput | tuple:
        """Score every word of the vocabulary at every position.

        Args:
            input_ids: (B, L) with masked words.
            attention_mask: (B, L), 1 = real token.
            pixel_values: (B, 3, S, S).
            token_type_ids, pixel_mask, head_mask, inputs_embeds, image_embeds, output_attentions, output_hidden_states,
                interpolate_pos_encoding: see `BridgeTowerModel.forward`.
            return_dict: False returns a tuple: the loss with labels, then, as in the port, each row's logits (L, V).
            labels: (B, L) the masked words, -100 elsewhere.

        Returns:
            `logits` (B, L, V), and `loss` with labels.
        """
        features = self.bridgetower(
            input_ids, attention_mask, token_type_ids, pixel_values, pixel_mask, head_mask, inputs_embeds, image_embeds,
            None, output_attentions, output_hidden_states, interpolate_pos_encoding=interpolate_pos_encoding,
            text_only=True)
        logits = self.mlm_head(features.text_features)
        loss = None
        if labels is not None:
            # Selected beforehand: Paddle's mean counts the positions that it ignores when their label is -100.
            masked = (labels.flatten() != -100).nonzero().flatten()
            loss = masked_cross_entropy(logits.flatten(0, 1).index_select(masked), labels.flatten()[masked])
        output = MaskedLMOutput(loss=loss, logits=logits, hidden_states=features.hidden_states,
                                attentions=features.attentions)
        return _tuple_of_rows(output) if return_dict is False else output


class BridgeTowerForImageAndTextRetrieval(BridgeTowerPretrainedModel):
    """Says whether a text and an image belong together (ITM)."""

    def __init__(self, config: BridgeTowerConfig) -> None:
        super().__init__(config)
        self.bridgetower = BridgeTowerModel(config)
        self.itm_head = Linear(2 * config.hidden_size, 2)

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                token_type_ids: Tensor | None = None, pixel_values: Tensor | None = None,
                pixel_mask: Tensor | None = None, head_mask: Tensor | None = None, inputs_embeds: Tensor | None = None,
                image_embeds: Tensor | None = None, output_attentions: bool | None = None,
                output_hidden_states: bool | None = None, return_dict: bool | None = None,
                labels: Tensor | None = None, *, interpolate_pos_encoding: bool = False
                ) -> ImageTextMatchingOutput | tuple:
        """Score pairs of texts and images.

        Args:
            input_ids: (B, L).
            attention_mask: (B, L), 1 = real token.
            pixel_values: (B, 3, S, S).
            token_type_ids, pixel_mask, head_mask, inputs_embeds, image_embeds, output_attentions, output_hidden_states,
                interpolate_pos_encoding: see `BridgeTowerModel.forward`.
            return_dict: False returns a tuple: the loss with labels, then, as in the port, each row's logits (2,).
            labels: (B,), 1 = match, -100 = not counted; or (B, 2) probabilities.

        Returns:
            `logits` (B, 2), and `loss` with labels.
        """
        features = self.bridgetower(
            input_ids, attention_mask, token_type_ids, pixel_values, pixel_mask, head_mask, inputs_embeds, image_embeds,
            None, output_attentions, output_hidden_states, interpolate_pos_encoding=interpolate_pos_encoding,
            first_token_only=True)
        logits = self.itm_head(features.pooler_output)
        loss = None if labels is None else class_cross_entropy(logits, labels)
        output = ImageTextMatchingOutput(loss=loss, logits=logits, hidden_states=features.hidden_states,
                                         attentions=features.attentions)
        return _tuple_of_rows(output) if return_dict is False else output

    def match_scores(self, pooled: Tensor) -> Tensor:
        """How well pairs match, (P, 2D) -> (P,): the logit of a match."""
        return self.itm_head(pooled)[:, 1]


class BridgeTowerForContrastiveLearning(BridgeTowerPretrainedModel):
    """Text, image and joint vectors to compare, as the Hugging Face port defines them.

    Unlike the original's ITC, the image vector is made from the projected image state with its token-type embedding,
    the loss also pulls a joint vector towards both, and reads only one direction of each similarity.
    """

    def __init__(self, config: BridgeTowerConfig) -> None:
        super().__init__(config)
        self.bridgetower = BridgeTowerModel(config)
        width, size = config.hidden_size, config.contrastive_hidden_size
        self.itc_text_head = Linear(width, size)
        self.itc_image_head = Linear(width, size)
        self.itc_cross_modal_head = Linear(2 * width, size)
        scale = -math.log(config.initial_temperature)
        self.logit_scale = self.create_parameter([], default_initializer=nn.initializer.Constant(scale))

    def embed_text(self, states: list[Tensor]) -> Tensor:
        """Unit vectors of texts: states (B, L, W) of the text tower -> (B, C)."""
        return F.normalize(self.itc_text_head(states[-1][:, 0]))

    def embed_image(self, projected: list[Tensor]) -> Tensor:
        """Unit vectors of images: projected states (B, N, D) -> (B, C)."""
        return F.normalize(self.itc_image_head(projected[-1][:, 0]))

    def embed_pair(self, pooled: Tensor) -> Tensor:
        """Unit vectors of pairs: (B, 2D) -> (B, C)."""
        return F.normalize(self.itc_cross_modal_head(pooled))

    def _loss(self, text: Tensor, image: Tensor, cross: Tensor) -> Tensor:
        """Cross entropy of three similarities, (B, C) each -> scalar."""
        scale, labels = self.logit_scale.exp(), paddle.arange(text.shape[0])
        losses = [F.cross_entropy(scale * rows.matmul(columns, transpose_y=True), labels)
                  for rows, columns in ((text, image), (text, cross), (image, cross))]
        return (losses[0] + losses[1] + losses[2]) / 3

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                token_type_ids: Tensor | None = None, pixel_values: Tensor | None = None,
                pixel_mask: Tensor | None = None, head_mask: Tensor | None = None, inputs_embeds: Tensor | None = None,
                image_embeds: Tensor | None = None, output_attentions: bool | None = None,
                output_hidden_states: bool | None = True, return_dict: bool | None = None,
                return_loss: bool | None = None, *, interpolate_pos_encoding: bool = False
                ) -> BridgeTowerContrastiveOutput | tuple:
        """Embed a batch of pairs.

        Args:
            input_ids: (B, L).
            attention_mask: (B, L), 1 = real token.
            pixel_values: (B, 3, S, S).
            token_type_ids, pixel_mask, head_mask, inputs_embeds, image_embeds, output_attentions,
                interpolate_pos_encoding: see `BridgeTowerModel.forward`.
            output_hidden_states: False leaves them out, which is faster; the port returns them whatever it is.
            return_dict: False returns the fields that are not None as a tuple.
            return_loss: whether to compute the loss of the pairs against each other.

        Returns:
            Unit vectors `text_embeds`, `image_embeds`, `cross_embeds` (B, C); `logits` (B, 3, C) of all; `loss`.
        """
        model = self.bridgetower
        attention_mask = model.check_inputs(input_ids, attention_mask, pixel_values, inputs_embeds, image_embeds)
        with_states, with_weights = model.wanted(output_hidden_states is not False, output_attentions)
        text_states, image_states, every_state = model.encode(input_ids, attention_mask, pixel_values, inputs_embeds,
                                                              image_embeds, interpolate_pos_encoding, with_states)
        projected = model.project_image(image_states)
        fused = model.fuse(model.project_text(text_states), projected, attention_mask, first_token_only=True,
                           output_hidden_states=with_states, output_attentions=with_weights)
        fused = as_the_port(fused, every_state)
        text, image = self.embed_text(text_states), self.embed_image(projected)
        cross = self.embed_pair(fused.pooler_output)
        output = BridgeTowerContrastiveOutput(
            loss=self._loss(text, image, cross) if return_loss else None,
            logits=paddle.stack([text, image, cross], axis=-2),
            text_embeds=text, image_embeds=image, cross_embeds=cross,
            hidden_states=fused.hidden_states, attentions=fused.attentions)
        return output.to_tuple() if return_dict is False else output


def _tuple_of_rows(output: MaskedLMOutput | ImageTextMatchingOutput) -> tuple[Tensor, ...]:
    """The loss, if there is one, and the logits of each row: what the port returns with `return_dict=False`."""
    loss = () if output.loss is None else (output.loss,)
    return (*loss, *output.logits.unbind(0))
