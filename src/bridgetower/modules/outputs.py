"""What the models return; a field that was not computed is None.

`hidden_states` and `attentions` are those of `BridgeTowerModelOutput`, unless a class says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from paddle import Tensor
from paddlenlp.transformers.model_outputs import ModelOutput

__all__ = ["BridgeTowerContrastiveOutput", "BridgeTowerModelOutput", "BridgeTowerPreTrainingOutput",
           "ClassifierOutput", "ImageTextMatchingOutput", "MaskedLMOutput", "RankingOutput", "as_tuple"]


@dataclass
class BridgeTowerModelOutput(ModelOutput):
    """`text_features` (B, L, D), `image_features` (B, N, D), `pooler_output` (B, 2D).

    Attributes:
        hidden_states: those of the text tower (B, L, W), those of the image tower (N, B, W) before its last LayerNorm,
            each with its embeddings first, and pairs of text and image states, one per cross-modal layer.
        attentions: weights of self-attention, one pair (B, H, L, L) and (B, H, N, N) per cross-modal layer.
    """

    text_features: Tensor = None
    image_features: Tensor = None
    pooler_output: Tensor = None
    hidden_states: Any = None
    attentions: Any = None


@dataclass
class MaskedLMOutput(ModelOutput):
    """`loss` scalar when labels are given; `logits` (B, L, V)."""

    loss: Tensor = None
    logits: Tensor = None
    hidden_states: Any = None
    attentions: Any = None


@dataclass
class ImageTextMatchingOutput(ModelOutput):
    """`loss` scalar when labels are given; `logits` (B, 2) for [no match, match]."""

    loss: Tensor = None
    logits: Tensor = None
    hidden_states: Any = None
    attentions: Any = None


@dataclass
class BridgeTowerContrastiveOutput(ModelOutput):
    """`loss` scalar; `logits` (B, 3, C) = the three vectors below stacked; `*_embeds` (B, C) of length one."""

    loss: Tensor = None
    logits: Tensor = None
    text_embeds: Tensor = None
    image_embeds: Tensor = None
    cross_embeds: Tensor = None
    hidden_states: Any = None
    attentions: Any = None


@dataclass
class ClassifierOutput(ModelOutput):
    """`loss` scalar when labels are given; `logits` (B, C)."""

    loss: Tensor = None
    logits: Tensor = None
    hidden_states: Any = None
    attentions: Any = None


@dataclass
class RankingOutput(ModelOutput):
    """`loss` is the sum of the losses below; what was not asked for is None.

    Attributes:
        rank_scores: (B, 1 + F) score of each caption, the true one first.
        rank_loss: cross entropy of the true caption against the false ones.
        itm_logits: (B, 2).
        itm_labels: (B,), 1 = match.
        hidden_states, attentions: of each image with each of its captions, B (1 + F) pairs, the captions of the first
            image first.
    """

    loss: Tensor = None
    rank_loss: Tensor = None
    rank_scores: Tensor = None
    itm_loss: Tensor = None
    itm_logits: Tensor = None
    itm_labels: Tensor = None
    hidden_states: Any = None
    attentions: Any = None


@dataclass
class BridgeTowerPreTrainingOutput(ModelOutput):
    """`loss` is the sum of the active objectives' losses; what an inactive objective would fill is None.

    Attributes:
        mlm_logits: (M, V) for the masked positions, row-major over the batch.
        mlm_labels: (M,) the words that were masked.
        itm_logits: (B, 2), with hard negatives (3B, 2).
        itm_labels: (B,) or (3B,), 1 = match.
        itc_image_to_text: (B, A) similarities over the temperature: images against the texts of all processes.
        itc_text_to_image: (B, A) likewise, texts against images.
        negative_image_index: (B,) hard negative image of each text, as an index into the batch, or into those of all
            processes with `gather_global_negative`.
        negative_text_index: (B,) hard negative text of each image.
        hidden_states, attentions: of the pairs as they are given, no word masked and no negative among them.
    """

    loss: Tensor = None
    mlm_loss: Tensor = None
    itm_loss: Tensor = None
    itc_loss: Tensor = None
    mlm_logits: Tensor = None
    mlm_labels: Tensor = None
    itm_logits: Tensor = None
    itm_labels: Tensor = None
    itc_image_to_text: Tensor = None
    itc_text_to_image: Tensor = None
    negative_image_index: Tensor = None
    negative_text_index: Tensor = None
    hidden_states: Any = None
    attentions: Any = None


def as_tuple(output: ModelOutput) -> tuple[Any, ...]:
    """The fields that are not None in the order of their class, the loss first, whatever order they were filled in."""
    values = (getattr(output, field.name) for field in fields(output))
    return tuple(value for value in values if value is not None)
