"""One tower alone with a classifier, to measure it after pre-training (paper, table of uni-modal tasks)."""

from __future__ import annotations

import paddle.nn.functional as F
from paddle import Tensor, nn

from ..config import BridgeTowerConfig
from ..model_parts import patterns
from ..objectives import class_cross_entropy, in_float32
from .attention import text_mask
from .bert_model import TextTower
from .clip_model import ImageTower
from .layers import Dropout, Linear
from .outputs import ClassifierOutput
from .pretrained import BridgeTowerPretrainedModel

__all__ = ["BridgeTowerForImageClassification", "BridgeTowerForSequenceClassification"]


class BridgeTowerForImageClassification(BridgeTowerPretrainedModel):
    """The image tower's class token and one linear layer (CIFAR)."""

    unused_parts = ("text_tower.*", *patterns("cross_modal"))

    def __init__(self, config: BridgeTowerConfig) -> None:
        super().__init__(config)
        self.image_tower = ImageTower(config.vision_config)
        self.classifier = Linear(config.vision_config.hidden_size, config.num_labels)

    def forward(self, pixel_values: Tensor, labels: Tensor | None = None, *, pixel_mask: Tensor | None = None,
                head_mask: Tensor | None = None, output_attentions: bool | None = None,
                output_hidden_states: bool | None = None, return_dict: bool | None = None,
                interpolate_pos_encoding: bool = False) -> ClassifierOutput | tuple:
        """Score images.

        Args:
            pixel_values: (B, 3, S, S).
            labels: (B,) classes.
            pixel_mask, head_mask: accepted and not read.
            output_attentions, output_hidden_states: whether to return them; None leaves it to the configuration.
            return_dict: False returns the fields that are not None as a tuple.
            interpolate_pos_encoding: accept images of another size and resize the position table to it.

        Returns:
            `logits` (B, C), and `loss` with labels. `hidden_states`: the embeddings and the states of each block
            (B, N, W), before the last LayerNorm. `attentions`: the weights of each block (B, H, N, N).
        """
        with_states, with_weights = self.wanted(output_hidden_states, output_attentions)
        tower, weights = self.image_tower, _list_if(with_weights)
        states = tower(pixel_values, len(tower.layers) + 1 if with_states else 1, None, interpolate_pos_encoding,
                       with_last_norm=False, attentions=weights)
        logits = self.classifier(tower.post_norm(states[-1])[:, 0])
        loss = None if labels is None else class_cross_entropy(logits, labels)
        return _output(loss, logits, states if with_states else None, weights, return_dict)


def _list_if(wanted: bool) -> list[Tensor] | None:
    return [] if wanted else None


def _output(loss: Tensor | None, logits: Tensor, states: list[Tensor] | None, weights: list[Tensor] | None,
            return_dict: bool | None) -> ClassifierOutput | tuple:
    """What both classes return; states (B, L, W) and weights (B, H, L, L) are None unless they were asked for."""
    output = ClassifierOutput(loss=loss, logits=logits, hidden_states=None if states is None else tuple(states),
                              attentions=None if weights is None else tuple(weights))
    return output.to_tuple() if return_dict is False else output


class SequenceHead(nn.Layer):
    """RoBERTa's classifier of the first token: dense, tanh, dense, with dropout before both."""

    def __init__(self, width: int, num_labels: int, dropout: float) -> None:
        super().__init__()
        self.dense = Linear(width, width)
        self.out_proj = Linear(width, num_labels)
        self.dropout = Dropout(dropout)

    def forward(self, states: Tensor) -> Tensor:
        """(B, L, W) -> (B, C)."""
        return self.out_proj(self.dropout(F.tanh(self.dense(self.dropout(states[:, 0])))))


class BridgeTowerForSequenceClassification(BridgeTowerPretrainedModel):
    """The text tower and RoBERTa's head (GLUE); with one label it predicts a number instead of classes."""

    unused_parts = ("image_tower.*", *patterns("cross_modal"))

    def __init__(self, config: BridgeTowerConfig) -> None:
        super().__init__(config)
        text = config.text_config
        self.text_tower = TextTower(text)
        self.classifier = SequenceHead(text.hidden_size, config.num_labels, text.hidden_dropout_prob)

    def get_input_embeddings(self) -> nn.Embedding:
        """The word embeddings of the text tower."""
        return self.text_tower.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the word embeddings of the text tower."""
        self.text_tower.embeddings.word_embeddings = value

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                labels: Tensor | None = None, *, token_type_ids: Tensor | None = None, head_mask: Tensor | None = None,
                inputs_embeds: Tensor | None = None, output_attentions: bool | None = None,
                output_hidden_states: bool | None = None, return_dict: bool | None = None
                ) -> ClassifierOutput | tuple:
        """Score texts.

        Args:
            input_ids: (B, L).
            attention_mask: (B, L), 1 = real token; None means all are.
            labels: (B,) classes, or numbers when there is one label.
            token_type_ids, head_mask: accepted and not read: every token has type 0.
            inputs_embeds: (B, L, W) embedded words, read if there are no `input_ids`.
            output_attentions, output_hidden_states: whether to return them; None leaves it to the configuration.
            return_dict: False returns the fields that are not None as a tuple.

        Returns:
            `logits` (B, C), and `loss` with labels: cross entropy, or mean squared error if there is one label.
            `hidden_states`: the embeddings and the states of each layer (B, L, W). `attentions`: the weights of each
            layer (B, H, L, L).

        Raises:
            ValueError: when there are no texts.
        """
        attention_mask = text_mask(input_ids, attention_mask, inputs_embeds)
        with_states, with_weights = self.wanted(output_hidden_states, output_attentions)
        tower, weights = self.text_tower, _list_if(with_weights)
        states = tower(input_ids, attention_mask, len(tower.layers) + 1 if with_states else 1, inputs_embeds, weights)
        logits = self.classifier(states[-1])
        loss = None
        if labels is not None:
            if self.config.num_labels == 1:
                loss = F.mse_loss(in_float32(logits[:, 0]), in_float32(labels).flatten())
            else:
                loss = class_cross_entropy(logits, labels)
        return _output(loss, logits, states if with_states else None, weights, return_dict)
