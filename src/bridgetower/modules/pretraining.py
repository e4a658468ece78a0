"""Pre-training by any of MLM, ITM, ITC and ITC with hard negatives, and fine-tuning for retrieval by the last one."""

from __future__ import annotations

from collections.abc import Callable

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from ..config import BridgeTowerConfig
from ..distributed import gather_with_gradient, max_over_processes, rank, world_size
from ..objectives import (
    contrastive_loss,
    contrastive_similarity,
    draw_negatives,
    masked_cross_entropy,
    negative_weights,
)
from .bt_module import BridgeTowerModel, add_states
from .heads import mlm_head
from .layers import Linear
from .matching import matching_image_rows, select_rows
from .outputs import BridgeTowerPreTrainingOutput, as_tuple
from .pretrained import BridgeTowerPretrainedModel

__all__ = ["BridgeTowerForContrastiveRetrieval", "BridgeTowerForPreTraining"]

#: The ITC temperature is kept in this range (original: src/modules/objectives.py, compute_itc).
TEMPERATURE_RANGE = (0.001, 0.5)


class _ContrastiveModel(BridgeTowerPretrainedModel):
    """ITC, and ITM with hard negatives, for any definition of positives."""

    def _add_pair_heads(self, objectives: frozenset[str]) -> None:
        config = self.config
        if objectives & {"itm", "itm_itc"}:
            self.itm_head = Linear(2 * config.hidden_size, 2)
        if objectives & {"itc", "itm_itc"}:
            size = config.contrastive_hidden_size
            # The original sizes these heads by the cross-modal width but feeds them tower states.
            self.itc_text_head = Linear(config.text_config.hidden_size, size)
            self.itc_image_head = Linear(config.vision_config.hidden_size, size)
            start = nn.initializer.Constant(config.initial_temperature)
            self.temperature = self.create_parameter([], default_initializer=start)

    def embed_text(self, states: list[Tensor]) -> Tensor:
        """ITC's unit vectors of texts: states (B, L, W) of the text tower -> (B, C)."""
        return F.normalize(self.itc_text_head(states[-1][:, 0]))

    def embed_image(self, states: list[Tensor]) -> Tensor:
        """ITC's unit vectors of images: states (B, N, W) of the image tower -> (B, C)."""
        return F.normalize(self.itc_image_head(states[-1][:, 0]))

    def match_scores(self, pooled: Tensor) -> Tensor:
        """How well pairs match, (P, 2D) -> (P,): ITM's logit of a match."""
        return self.itm_head(pooled)[:, 1]

    def _itc(self, output: BridgeTowerPreTrainingOutput, text_states: list[Tensor], image_states: list[Tensor],
             image_index: Tensor | None) -> Tensor:
        """Compare texts and images of all processes.

        Args:
            output: gets the loss and the similarities.
            text_states, image_states: (B, L, W) and (B, N, W) states of the towers.
            image_index: (B,) identity of the image of each text, when texts of one image are positives of each other.

        Returns:
            (B, A), 1 where row and column belong together.
        """
        with paddle.no_grad():
            self.temperature.set_value(self.temperature.clip(*TEMPERATURE_RANGE))
        text, image = self.embed_text(text_states), self.embed_image(image_states)
        # In evaluation processes may have unequal numbers of rows, so each compares only its own.
        gather = gather_with_gradient if self.training else (lambda x: x)
        first = rank() * text.shape[0] if self.training else 0
        total = world_size() * text.shape[0] if self.training else text.shape[0]
        if image_index is None:
            positives = F.one_hot(paddle.arange(first, first + text.shape[0]), total)
        else:
            positives = (image_index.unsqueeze(1) == gather(image_index).unsqueeze(0)).astype(text.dtype)
        output["itc_image_to_text"] = contrastive_similarity(image, gather(text), self.temperature)
        output["itc_text_to_image"] = contrastive_similarity(text, gather(image), self.temperature)
        output["itc_loss"] = contrastive_loss(output.itc_image_to_text, output.itc_text_to_image, positives)
        return positives

    def _hard_itm(self, output: BridgeTowerPreTrainingOutput, text: list[Tensor], image: list[Tensor],
                  positives: Tensor, attention_mask: Tensor, draw: Callable[[Tensor], Tensor]) -> None:
        """ITM on 3B rows: the true pairs, each text with a hard image, each image with a hard text.

        Args:
            output: gets the loss, the logits and the negatives.
            text, image: (B, L, D) and (B, N, D) projected states.
            positives: (B, A), 1 where row and column belong together.
            attention_mask: (B, L), 1 = real token.
            draw: picks one column per row of weights, (B, A) -> (B,).
        """
        rows, total = positives.shape
        first = rank() * rows if total > rows else 0
        candidates, own = slice(first, first + rows), paddle.arange(rows)
        if self.config.gather_global_negative and total > rows:
            candidates, own = slice(None), first + own
            text, attention_mask = _gather_texts(text, attention_mask)
            image = [gather_with_gradient(state) for state in image]
        allowed = positives[:, candidates]
        negative_image = draw(negative_weights(output.itc_text_to_image[:, candidates], allowed))
        negative_text = draw(negative_weights(output.itc_image_to_text[:, candidates], allowed))
        text_rows = paddle.concat([own, own, negative_text])
        image_rows = paddle.concat([own, negative_image, own])
        pooled = self.bridgetower.fuse(select_rows(text, text_rows), select_rows(image, image_rows),
                                       attention_mask.index_select(text_rows),
                                       first_token_only=True).pooler_output
        labels = (paddle.arange(3 * rows) < rows).astype("int64")
        logits = self.itm_head(pooled)
        output["itm_loss"] = F.cross_entropy(logits, labels)
        output["itm_logits"], output["itm_labels"] = logits, labels
        output["negative_image_index"], output["negative_text_index"] = negative_image, negative_text


class BridgeTowerForPreTraining(_ContrastiveModel):
    """Learns any of MLM, ITM, ITC, and ITC with hard negatives for ITM (itm_itc), as `config.objectives` says.

    An image passes its tower once, however many objectives read it; the original runs the tower once per objective.
    """

    def __init__(self, config: BridgeTowerConfig) -> None:
        super().__init__(config)
        self.bridgetower = BridgeTowerModel(config)
        self.objectives = frozenset(config.objectives)
        if {"itm", "itm_itc"} <= self.objectives:
            raise ValueError("objectives has both itm and itm_itc; itm_itc already contains ITM, choose one")
        if "mlm" in self.objectives:
            self.mlm_head = mlm_head(config)
            if config.tie_word_embeddings:
                self.mlm_head.decoder_weight = self.bridgetower.get_input_embeddings().weight
        self._add_pair_heads(self.objectives)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, pixel_values: Tensor | None = None,
                mlm_input_ids: Tensor | None = None, mlm_labels: Tensor | None = None,
                itm_labels: Tensor | None = None, false_pixel_values: Tensor | None = None,
                draw: Callable[[Tensor], Tensor] = draw_negatives, *, token_type_ids: Tensor | None = None,
                pixel_mask: Tensor | None = None, output_attentions: bool | None = None,
                output_hidden_states: bool | None = None, return_dict: bool | None = None
                ) -> BridgeTowerPreTrainingOutput | tuple:
        """Compute the losses of all active objectives.

        Args:
            input_ids: (B, L) texts.
            attention_mask: (B, L), 1 = real token.
            pixel_values: (B, 3, S, S) the image of each text.
            mlm_input_ids: (B, L) texts with masked words (mlm).
            mlm_labels: (B, L) the masked words, -100 elsewhere (mlm).
            itm_labels: (B,), 0 for a text that is to be paired with a false image (itm).
            false_pixel_values: (M, 3, S, S), one per zero in `itm_labels`: those images, in row order (itm).
            draw: picks one hard negative per row of weights (itm_itc), (B, A) -> (B,).
            token_type_ids, pixel_mask: accepted and not read.
            output_attentions, output_hidden_states: whether to return them, at the cost of one more forward pass; None
                leaves it to the configuration.
            return_dict: False returns the fields that are not None as a tuple.

        Returns:
            Scalar losses and their sum, and what metrics read, see `BridgeTowerPreTrainingOutput`.

        Raises:
            ValueError: when an input of an active objective is missing.
        """
        model, active = self.bridgetower, self.objectives
        attention_mask = model.check_inputs(input_ids, attention_mask, pixel_values)
        self._check_labels(mlm_input_ids=mlm_input_ids, mlm_labels=mlm_labels, itm_labels=itm_labels)
        rows = attention_mask.shape[0]
        images = pixel_values
        if "itm" in active and false_pixel_values is not None and false_pixel_values.shape[0]:
            images = paddle.concat([pixel_values, false_pixel_values])
        image_states = model.encode_image(images)
        image = model.project_image(image_states)
        true_image = [state[:rows] for state in image]
        output = BridgeTowerPreTrainingOutput()
        if "mlm" in active:
            self._mlm(output, true_image, mlm_input_ids, mlm_labels, attention_mask)
        if active - {"mlm"}:
            text_states = model.encode_text(input_ids, attention_mask)
            text = model.project_text(text_states)
            if active & {"itc", "itm_itc"}:
                positives = self._itc(output, text_states, [state[:rows] for state in image_states], None)
            if "itm" in active:
                self._itm(output, text, image, itm_labels, attention_mask)
            if "itm_itc" in active:
                self._hard_itm(output, text, true_image, positives, attention_mask, draw)
        add_states(_with_total(output), model, input_ids, attention_mask, pixel_values,
                   self.wanted(output_hidden_states, output_attentions))
        return as_tuple(output) if return_dict is False else output

    def _check_labels(self, **inputs: Tensor | None) -> None:
        for name, value in inputs.items():
            objective = name.partition("_")[0]
            if value is None and objective in self.objectives:
                raise ValueError(f"{name} is missing: config.objectives has {objective!r}, which reads it; pass it, or "
                                 f"load the model with objectives that leave out {objective!r}")

    def _mlm(self, output: BridgeTowerPreTrainingOutput, image: list[Tensor], input_ids: Tensor, labels: Tensor,
             attention_mask: Tensor) -> None:
        """Score only the masked positions, since the loss reads no others.

        Args:
            output: gets the loss, the logits and the labels.
            image: (B, N, D) projected states.
            input_ids, labels, attention_mask: (B, L) each.
        """
        model = self.bridgetower
        text = model.project_text(model.encode_text(input_ids, attention_mask))
        features = model.fuse(text, image, attention_mask, text_only=True).text_features
        masked = (labels.flatten() != -100).nonzero().flatten()
        logits = self.mlm_head(features.flatten(0, 1).index_select(masked))
        targets = labels.flatten().index_select(masked)
        output["mlm_loss"] = masked_cross_entropy(logits, targets)
        output["mlm_logits"], output["mlm_labels"] = logits, targets

    def _itm(self, output: BridgeTowerPreTrainingOutput, text: list[Tensor], image: list[Tensor], labels: Tensor,
             attention_mask: Tensor) -> None:
        """Pair each text with its own image or, where the label is 0, with the next false one.

        Args:
            output: gets the loss, the logits and the labels.
            text: (B, L, D) projected states.
            image: (M, N, D) projected states, the B true images first.
            labels: (B,), 1 = match.
            attention_mask: (B, L), 1 = real token.
        """
        pairs = select_rows(image, matching_image_rows(labels))
        logits = self.itm_head(self.bridgetower.fuse(text, pairs, attention_mask, first_token_only=True).pooler_output)
        output["itm_loss"] = F.cross_entropy(logits, labels)
        output["itm_logits"], output["itm_labels"] = logits, labels


class BridgeTowerForContrastiveRetrieval(_ContrastiveModel):
    """Retrieval fine-tuning by ITC and ITM with hard negatives; texts of one image are positives of each other."""

    required_settings = {"objectives": ["itm_itc"]}

    def __init__(self, config: BridgeTowerConfig) -> None:
        super().__init__(config)
        self.bridgetower = BridgeTowerModel(self.config)
        self._add_pair_heads(frozenset(self.config.objectives))

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, pixel_values: Tensor | None = None,
                image_index: Tensor | None = None, draw: Callable[[Tensor], Tensor] = draw_negatives, *,
                token_type_ids: Tensor | None = None, pixel_mask: Tensor | None = None,
                output_attentions: bool | None = None, output_hidden_states: bool | None = None,
                return_dict: bool | None = None) -> BridgeTowerPreTrainingOutput | tuple:
        """Compute both losses.

        Args:
            input_ids: (B, L) texts.
            attention_mask: (B, L), 1 = real token.
            pixel_values: (B, 3, S, S) the image of each text.
            image_index: (B,) identity of each image; None: all images are different.
            draw: picks one hard negative per row of weights, (B, A) -> (B,).
            token_type_ids, pixel_mask: accepted and not read.
            output_attentions, output_hidden_states: whether to return them, at the cost of one more forward pass; None
                leaves it to the configuration.
            return_dict: False returns the fields that are not None as a tuple.

        Returns:
            Scalar losses and their sum, and what metrics read, see `BridgeTowerPreTrainingOutput`.

        Raises:
            ValueError: when there are no texts, no images, or not as many images as texts.
        """
        model = self.bridgetower
        attention_mask = model.check_inputs(input_ids, attention_mask, pixel_values)
        image_states = model.encode_image(pixel_values)
        text_states = model.encode_text(input_ids, attention_mask)
        output = BridgeTowerPreTrainingOutput()
        positives = self._itc(output, text_states, image_states, image_index)
        self._hard_itm(output, model.project_text(text_states), model.project_image(image_states), positives,
                       attention_mask, draw)
        add_states(_with_total(output), model, input_ids, attention_mask, pixel_values,
                   self.wanted(output_hidden_states, output_attentions))
        return as_tuple(output) if return_dict is False else output


def _with_total(output: BridgeTowerPreTrainingOutput) -> BridgeTowerPreTrainingOutput:
    losses = [loss for loss in (output.mlm_loss, output.itm_loss, output.itc_loss) if loss is not None]
    output["loss"] = paddle.add_n(losses)
    return output


def _gather_texts(states: list[Tensor], attention_mask: Tensor) -> tuple[list[Tensor], Tensor]:
    """The texts of all processes, padded to the longest of them: (B, L, D) and (B, L) -> (A, L, D) and (A, L)."""
    missing = max_over_processes(attention_mask.shape[1]) - attention_mask.shape[1]
    if missing:
        states = [F.pad(state, [0, 0, 0, missing, 0, 0]) for state in states]
        attention_mask = F.pad(attention_mask, [0, 0, 0, missing])
    return [gather_with_gradient(state) for state in states], gather_with_gradient(attention_mask)
