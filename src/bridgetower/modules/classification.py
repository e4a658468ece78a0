"""Classifiers of image-text pairs: question answering, visual entailment, own classes, and pairs of images."""

from __future__ import annotations

from typing import Any

import paddle
from paddle import Tensor

from ..config import BridgeTowerConfig
from ..objectives import class_cross_entropy, vqa_loss
from .bt_module import BridgeTowerModel, as_the_port
from .heads import Classifier
from .outputs import BridgeTowerModelOutput, ClassifierOutput
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
        return class_cross_entropy(logits, labels)

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

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None,
                pixel_values: Tensor | None = None,
                labels: Tensor | None = None, image_rows: Tensor | None = None, *, token_type_ids: Tensor | None = None,
                pixel_mask: Tensor | None = None, head_mask: Tensor | None = None, inputs_embeds: Tensor | None = None,
                image_embeds: Tensor | None = None, output_attentions: bool | None = None,
                output_hidden_states: bool | None = None, return_dict: bool | None = None,
                interpolate_pos_encoding: bool = False) -> ClassifierOutput | tuple:
        """Score the classes of each text and its two images.

        Args:
            input_ids: (B, L) texts.
            attention_mask: (B, L), 1 = real token.
            pixel_values: (B, 2, 3, S, S), or (M, 2, 3, S, S) with `image_rows`.
            labels: (B,) classes.
            image_rows: (B,) which two images each text is about, when texts share them.
            image_embeds: (B, 2, N, W) inputs of the image tower's first block, instead of `pixel_values`.
            token_type_ids, pixel_mask, head_mask, inputs_embeds, output_attentions, output_hidden_states, return_dict,
                interpolate_pos_encoding: see `BridgeTowerModel.forward`.

        Returns:
            `logits` (B, C), and `loss` with labels. `hidden_states` and `attentions` have one entry per image: what
            `BridgeTowerModel` returns for the text with this image and its token type.

        Raises:
            ValueError: when there are no texts, or not two images per text.
        """
        model = self.bridgetower
        self._check_images(pixel_values, image_embeds)
        attention_mask = model.check_inputs(input_ids, attention_mask, pixel_values, inputs_embeds, image_embeds,
                                            image_rows)
        with_states, with_weights = self.wanted(output_hidden_states, output_attentions)
        texts, images, every_state = model.encode(
            input_ids, attention_mask, _by_image(pixel_values), inputs_embeds, _by_image(image_embeds),
            interpolate_pos_encoding, with_states)
        views = [model.project_image([paddle.chunk(state, 2)[index] for state in images], token_type=index + 1)
                 for index in range(2)]
        if image_rows is not None:
            views = [[state.index_select(image_rows) for state in view] for view in views]
        fused = model.fuse([paddle.concat([state, state]) for state in model.project_text(texts)],
                           [paddle.concat(both) for both in zip(*views, strict=True)],
                           paddle.concat([attention_mask, attention_mask]), True, False, with_states, with_weights)
        pooled = paddle.concat(paddle.chunk(fused.pooler_output, 2), axis=-1)
        if not with_states and not with_weights:
            return self._output(pooled, labels, return_dict)
        each = [self._of_image(fused, every_state, index) for index in range(2)]
        return self._output(pooled, labels, return_dict,
                            tuple(one.hidden_states for one in each) if with_states else None,
                            tuple(one.attentions for one in each) if with_weights else None)

    @staticmethod
    def _check_images(pixel_values: Tensor | None, image_embeds: Tensor | None) -> None:
        """Check that there are two images per text, see `forward`."""
        name, images, axes = "pixel_values", pixel_values, "3, S, S"
        if image_embeds is not None:
            name, images, axes = "image_embeds", image_embeds, "N, W"
        if images is None or images.ndim != 3 + axes.count(",") or images.shape[1] != 2:
            shape = None if images is None else tuple(images.shape)
            raise ValueError(f"{name} has shape {shape}, expected (texts, 2, {axes}): two images per text")

    @staticmethod
    def _of_image(fused: BridgeTowerModelOutput, every_state: tuple[list[Tensor], list[Tensor]] | None, index: int
                  ) -> BridgeTowerModelOutput:
        """The hidden states and attentions of the texts with their first or second image.

        Args:
            fused: of `fuse`, on the (2B) pairs with the first and then the second images.
            every_state: (B, L, W) and (2M, N, W) of all layers of the towers.
            index: 0 or 1.
        """
        states, weights = _half(fused.hidden_states, index), _half(fused.attentions, index)
        return as_the_port(BridgeTowerModelOutput(hidden_states=states, attentions=weights),
                           None if every_state is None else (every_state[0], _half(every_state[1], index)))


def _by_image(images: Tensor | None) -> Tensor | None:
    """(M, 2, ...) -> (2M, ...), all first images before all second ones."""
    return None if images is None else paddle.concat([images[:, 0], images[:, 1]])


def _half(values: Any, index: int) -> Any:
    """The first or the second half of the rows of tensors, in tuples and lists of them."""
    if isinstance(values, (tuple, list)):
        return type(values)(_half(each, index) for each in values)
    return None if values is None else paddle.chunk(values, 2)[index]
