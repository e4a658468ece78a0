"""One tower alone with a classifier, to measure it after pre-training (paper, table of uni-modal tasks)."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from ..config import BridgeTowerConfig
from ..model_parts import patterns
from ..objectives import in_float32
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
                return_dict: bool | None = None) -> ClassifierOutput | tuple:
        """Score images.

        Args:
            pixel_values: (B, 3, S, S).
            labels: (B,) classes.
            pixel_mask: accepted and not read.
            return_dict: False returns the fields that are not None as a tuple.

        Returns:
            `logits` (B, C), and `loss` with labels.
        """
        logits = self.classifier(self.image_tower(pixel_values)[-1][:, 0])
        output = ClassifierOutput(loss=None if labels is None else F.cross_entropy(logits, labels), logits=logits)
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

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, labels: Tensor | None = None, *,
                token_type_ids: Tensor | None = None, return_dict: bool | None = None) -> ClassifierOutput | tuple:
        """Score texts.

        Args:
            input_ids: (B, L).
            attention_mask: (B, L), 1 = real token; None means all are.
            labels: (B,) classes, or numbers when there is one label.
            token_type_ids: accepted and not read: every token has type 0.
            return_dict: False returns the fields that are not None as a tuple.

        Returns:
            `logits` (B, C), and `loss` with labels: cross entropy, or mean squared error if there is one label.
        """
        if attention_mask is None:
            attention_mask = paddle.ones_like(input_ids)
        logits = self.classifier(self.text_tower(input_ids, attention_mask)[-1])
        loss = None
        if labels is not None:
            if self.config.num_labels == 1:
                loss = F.mse_loss(in_float32(logits[:, 0]), in_float32(labels))
            else:
                loss = F.cross_entropy(logits, labels)
        output = ClassifierOutput(loss=loss, logits=logits)
        return output.to_tuple() if return_dict is False else output
