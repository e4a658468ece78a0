"""The models of the Hugging Face port with one head: masked words, matching, and contrastive vectors."""

from __future__ import annotations

import math

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from ..config import BridgeTowerConfig
from ..objectives import masked_cross_entropy
from .bt_module import BridgeTowerModel, BridgeTowerPretrainedModel
from .heads import mlm_head
from .layers import Linear
from .outputs import BridgeTowerContrastiveOutput, ImageTextMatchingOutput, MaskedLMOutput

__all__ = ["BridgeTowerForContrastiveLearning", "BridgeTowerForImageAndTextRetrieval", "BridgeTowerForMaskedLM"]


class BridgeTowerForMaskedLM(BridgeTowerPretrainedModel):
    """Predicts masked words from the text and the image."""

    def __init__(self, config: BridgeTowerConfig) -> None:
        super().__init__(config)
        self.bridgetower = BridgeTowerModel(config)
        self.mlm_head = mlm_head(config)
        if config.tie_word_embeddings:
            self.mlm_head.decoder_weight = self.bridgetower.get_input_embeddings().weight

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, pixel_values: Tensor | None = None,
                labels: Tensor | None = None) -> MaskedLMOutput:
        """Score every word of the vocabulary at every position.

        Args:
            input_ids: (B, L) with masked words.
            attention_mask: (B, L), 1 = real token.
            pixel_values: (B, 3, S, S).
            labels: (B, L) the masked words, -100 elsewhere.

        Returns:
            `logits` (B, L, V), and `loss` with labels.
        """
        features = self.bridgetower(input_ids, attention_mask, pixel_values, text_only=True).text_features
        logits = self.mlm_head(features)
        loss = None
        if labels is not None:
            # Selected beforehand: Paddle's mean counts the positions that it ignores when their label is -100.
            masked = (labels.flatten() != -100).nonzero().flatten()
            loss = masked_cross_entropy(logits.flatten(0, 1).index_select(masked), labels.flatten()[masked])
        return MaskedLMOutput(loss=loss, logits=logits)


class BridgeTowerForImageAndTextRetrieval(BridgeTowerPretrainedModel):
    """Says whether a text and an image belong together (ITM)."""

    def __init__(self, config: BridgeTowerConfig) -> None:
        super().__init__(config)
        self.bridgetower = BridgeTowerModel(config)
        self.itm_head = Linear(2 * config.hidden_size, 2)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, pixel_values: Tensor | None = None,
                labels: Tensor | None = None) -> ImageTextMatchingOutput:
        """Score pairs: (B, L) texts and (B, 3, S, S) images -> `logits` (B, 2); labels (B,), 1 = match."""
        pooled = self.bridgetower(input_ids, attention_mask, pixel_values, first_token_only=True).pooler_output
        logits = self.itm_head(pooled)
        return ImageTextMatchingOutput(loss=None if labels is None else F.cross_entropy(logits, labels), logits=logits)

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

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, pixel_values: Tensor | None = None,
                return_loss: bool = False) -> BridgeTowerContrastiveOutput:
        """Embed a batch of pairs.

        Args:
            input_ids: (B, L).
            attention_mask: (B, L), 1 = real token.
            pixel_values: (B, 3, S, S).
            return_loss: whether to compute the loss of the pairs against each other.

        Returns:
            Unit vectors `text_embeds`, `image_embeds`, `cross_embeds` (B, C), and `loss`.
        """
        model = self.bridgetower
        if attention_mask is None:
            attention_mask = paddle.ones_like(input_ids)
        text_states = model.encode_text(input_ids, attention_mask)
        image = model.project_image(model.encode_image(pixel_values))
        pooled = model.fuse(model.project_text(text_states), image, attention_mask, first_token_only=True).pooler_output
        text, vision, cross = self.embed_text(text_states), self.embed_image(image), self.embed_pair(pooled)
        loss = None
        if return_loss:
            scale, labels = self.logit_scale.exp(), paddle.arange(text.shape[0])
            pairs = ((text, vision), (text, cross), (vision, cross))
            losses = [F.cross_entropy(scale * a.matmul(b, transpose_y=True), labels) for a, b in pairs]
            loss = (losses[0] + losses[1] + losses[2]) / 3
        return BridgeTowerContrastiveOutput(loss=loss, logits=paddle.stack([text, vision, cross], axis=-2),
                                            text_embeds=text, image_embeds=vision, cross_embeds=cross)
