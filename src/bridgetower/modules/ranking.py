"""Fine-tuning for retrieval with a ranking head: the true caption of an image against drawn false ones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor

from ..config import BridgeTowerConfig
from .bt_module import BridgeTowerModel, add_states
from .layers import Linear
from .matching import matching_image_rows, select_rows
from .outputs import RankingOutput, as_tuple
from .pretrained import BridgeTowerPretrainedModel

__all__ = ["BridgeTowerForRetrievalRanking"]


class BridgeTowerForRetrievalRanking(BridgeTowerPretrainedModel):
    """Ranks the captions of an image by one score per pair.

    The head starts as the match row of the pre-trained ITM head. ITM can be trained beside it, as in the original; its
    head stays frozen.
    """

    def __init__(self, config: BridgeTowerConfig) -> None:
        super().__init__(config)
        self.bridgetower = BridgeTowerModel(config)
        self.rank_head = Linear(2 * config.hidden_size, 1)
        self.itm_head = Linear(2 * config.hidden_size, 2)
        for parameter in self.itm_head.parameters():
            parameter.stop_gradient = True

    def adapt_weights(self, tensors: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Start the ranking head as the match row of the ITM head if the weights have no ranking head."""
        if "rank_head.weight" in tensors or "itm_head.weight" not in tensors:
            return tensors
        weight, bias = tensors["itm_head.weight"], tensors["itm_head.bias"]
        return {**tensors, "rank_head.weight": weight[:, 1:], "rank_head.bias": bias[1:]}

    def match_scores(self, pooled: Tensor) -> Tensor:
        """How well pairs match, (P, 2D) -> (P,)."""
        return self.rank_head(pooled)[:, 0]

    def forward(self, input_ids: Tensor, attention_mask: Tensor, pixel_values: Tensor,
                itm_labels: Tensor | None = None, false_pixel_values: Tensor | None = None, *,
                token_type_ids: Tensor | None = None, pixel_mask: Tensor | None = None,
                output_attentions: bool | None = None, output_hidden_states: bool | None = None,
                return_dict: bool | None = None) -> RankingOutput | tuple:
        """Rank the captions of each image, and match images with their true captions.

        Args:
            input_ids: (B, 1 + F, L) captions of each image, the true one first.
            attention_mask: (B, 1 + F, L), 1 = real token.
            pixel_values: (B, 3, S, S).
            itm_labels: (B,), 0 for a true caption that ITM is to pair with a false image; None leaves ITM out.
            false_pixel_values: (M, 3, S, S), one per zero in `itm_labels`: those images, in row order.
            token_type_ids, pixel_mask: accepted and not read.
            output_attentions, output_hidden_states: whether to return them, at the cost of one more forward pass; None
                leaves it to the configuration.
            return_dict: False returns the fields that are not None as a tuple.

        Returns:
            Scalar losses and their sum, and `rank_scores` (B, 1 + F), see `RankingOutput`.
        """
        model = self.bridgetower
        rows, captions = input_ids.shape[:2]
        images = pixel_values
        if itm_labels is not None and false_pixel_values is not None and false_pixel_values.shape[0]:
            images = paddle.concat([pixel_values, false_pixel_values])
        image = model.project_image(model.encode_image(images))
        mask = attention_mask.flatten(0, 1)
        text = model.project_text(model.encode_text(input_ids.flatten(0, 1), mask))
        # Each image meets all its captions; with ITM, each true caption meets one more image.
        text_rows = paddle.arange(rows * captions)
        image_rows = text_rows // captions
        if itm_labels is not None:
            text_rows = paddle.concat([text_rows, paddle.arange(rows) * captions])
            image_rows = paddle.concat([image_rows, matching_image_rows(itm_labels)])
        pooled = model.fuse(select_rows(text, text_rows), select_rows(image, image_rows), mask.index_select(text_rows),
                            first_token_only=True).pooler_output
        output = RankingOutput(rank_scores=self.match_scores(pooled[:rows * captions]).reshape([rows, captions]))
        output["rank_loss"] = F.cross_entropy(output.rank_scores, paddle.zeros([rows], "int64"))
        output["loss"] = output.rank_loss
        if itm_labels is not None:
            output["itm_logits"], output["itm_labels"] = self.itm_head(pooled[rows * captions:]), itm_labels
            output["itm_loss"] = F.cross_entropy(output.itm_logits, itm_labels)
            output["loss"] = output.rank_loss + output.itm_loss
        add_states(output, model, input_ids.flatten(0, 1), mask, pixel_values,
                   self.wanted(output_hidden_states, output_attentions), paddle.arange(rows * captions) // captions)
        return as_tuple(output) if return_dict is False else output
