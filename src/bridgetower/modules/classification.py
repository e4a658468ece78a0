"""Classifiers of image-text pairs: question answering, visual entailment, own classes, and pairs of images."""

from __future__ import annotations

from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import Tensor

from ..config import BridgeTowerConfig
from ..objectives import vqa_loss
from .bt_module import BridgeTowerModel
from .heads import Classifier
from .outputs import ClassifierOutput
from .pretrained import BridgeTowerPretrainedModel

__all__ = ["BridgeTowerForImageAndTextClassification", "BridgeTowerForImagesAndTextClassification",
           "BridgeTowerForQuestionAnswering", "BridgeTowerForVisualEntailment"]


class _Classifier(BridgeTowerPretrainedModel):
    """A classifier head on the pooled vector of each text with its image or images.

    Attributes:
        num_images: images per text.
    """

    num_images = 1

    def __init__(self, config: BridgeTowerConfig) -> None:
        super().__init__(config)
        config = self.config
        self.bridgetower = BridgeTowerModel(config)
        pair_width = 2 * config.hidden_size
        hidden_width = None if config.head_layers == 1 else int(pair_width * config.head_hidden_scale)
        self.classifier = Classifier(self.num_images * pair_width, hidden_width, config.num_labels,
                                     config.layer_norm_eps)

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(B, C) and (B,) -> scalar."""
        return F.cross_entropy(logits, labels)

    def _output(self, pooled: Tensor, labels: Tensor | None, return_dict: bool | None, hidden_states: Any = None,
                attentions: Any = None) -> ClassifierOutput | tuple:
        """Pooled vectors (B, 2D), or (B, 4D) of two images, and labels -> logits (B, C) and the loss."""
        logits = self.classifier(pooled)
        output = ClassifierOutput(loss=None if labels is None else self._loss(logits, labels), logits=logits,
                                  hidden_states=hidden_states, attentions=attentions)
        return output.to_tuple() if return_dict is False else output


class _PairClassifier(_Classifier):
    """Classifies a text with one image."""

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                pixel_values: Tensor | None = None, labels: Tensor | None = None, image_rows: Tensor | None = None,
                *, token_type_ids: Tensor | None = None, pixel_mask: Tensor | None = None,
                head_mask: Tensor | None = None, inputs_embeds: Tensor | None = None,
                image_embeds: Tensor | None = None, output_attentions: bool | None = None,
                output_hidden_states: bool | None = None, return_dict: bool | None = None,
                interpolate_pos_encoding: bool = False) -> ClassifierOutput | tuple:
        """Score the classes of each text and its image.

        Args:
            input_ids: (B, L) texts.
            attention_mask: (B, L), 1 = real token.
            pixel_values: (B, 3, S, S), or (M, 3, S, S) with `image_rows`.
            labels: (B,) classes; of VQA (B, C) soft targets in [0, 1].
            image_rows: (B,) which image each text is about, when texts share images.
            token_type_ids, pixel_mask, head_mask, inputs_embeds, image_embeds, output_attentions, output_hidden_states,
                return_dict, interpolate_pos_encoding: see `BridgeTowerModel.forward`.

        Returns:
            `logits` (B, C), and `loss` with labels.
        """
        features = self.bridgetower(
            input_ids, attention_mask, token_type_ids, pixel_values, pixel_mask, head_mask, inputs_embeds, image_embeds,
            None, output_attentions, output_hidden_states, interpolate_pos_encoding=interpolate_pos_encoding,
            image_rows=image_rows, first_token_only=True)
        return self._output(features.pooler_output, labels, return_dict, features.hidden_states, features.attentions)


class BridgeTowerForQuestionAnswering(_PairClassifier):
    """Answers questions about images by choosing among `config.num_labels` answers (VQAv2); labels are soft."""

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(B, C) twice -> scalar."""
        return vqa_loss(logits, labels)


class BridgeTowerForVisualEntailment(_PairClassifier):
    """Says whether an image contradicts a text (0), says nothing about it (1) or entails it (2) (SNLI-VE)."""

    required_settings = {"num_labels": 3}


class BridgeTowerForImageAndTextClassification(_PairClassifier):
    """Sorts images with a text into the `config.num_labels` classes of a user's own data."""


class BridgeTowerForImagesAndTextClassification(_Classifier):
    """Sorts pairs of images with a text into `config.num_labels` classes: false (0) and true (1) of NLVR2, or a user's.

    The text is paired with each image, which have token types 1 and 2, and the head reads both pooled vectors.
    """

    num_images = 2
    required_settings = {"token_type_vocab_size": 3}

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, pixel_values: Tensor | None = None,
                labels: Tensor | None = None, image_rows: Tensor | None = None, *, token_type_ids: Tensor | None = None,
                pixel_mask: Tensor | None = None, return_dict: bool | None = None) -> ClassifierOutput | tuple:
        """Score the classes of each text and its two images.

        Args:
            input_ids: (B, L) texts.
            attention_mask: (B, L), 1 = real token.
            pixel_values: (B, 2, 3, S, S), or (M, 2, 3, S, S) with `image_rows`.
            labels: (B,) classes.
            image_rows: (B,) which two images each text is about, when texts share them.
            token_type_ids, pixel_mask: accepted and not read, see `BridgeTowerModel.forward`.
            return_dict: False returns the fields that are not None as a tuple.

        Returns:
            `logits` (B, C), and `loss` with labels.

        Raises:
            ValueError: when there are not two images per text.
        """
        if pixel_values is None or pixel_values.ndim != 5 or pixel_values.shape[1] != 2:
            shape = None if pixel_values is None else tuple(pixel_values.shape)
            raise ValueError(f"pixel_values has shape {shape}, expected (texts, 2, 3, S, S): two images per text")
        model, count = self.bridgetower, pixel_values.shape[0]
        if attention_mask is None:
            attention_mask = paddle.ones_like(input_ids)
        states = model.encode_image(pixel_values.transpose([1, 0, 2, 3, 4]).flatten(0, 1))
        views = [model.project_image([state[:count] for state in states], token_type=1),
                 model.project_image([state[count:] for state in states], token_type=2)]
        if image_rows is not None:
            views = [[state.index_select(image_rows) for state in view] for view in views]
        text = model.project_text(model.encode_text(input_ids, attention_mask))
        pooled = model.fuse([paddle.concat([state, state]) for state in text],
                            [paddle.concat(both) for both in zip(*views, strict=True)],
                            paddle.concat([attention_mask, attention_mask]), first_token_only=True).pooler_output
        return self._output(paddle.concat(paddle.chunk(pooled, 2), axis=-1), labels, return_dict)
