"""What explaining asks of a model, and the score that an explanation is about.

B pairs, L text tokens, N image tokens, D cross-modal width, V vocabulary, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import paddle.nn.functional as F
from paddle import Tensor

from ..inputs.processor import BridgeTowerImageProcessor
from ..inputs.tokenizer import BridgeTowerTokenizer
from ..known import nearest

__all__ = ["ExplainedModel", "Head", "TowerStates", "find_head", "score_values"]

_MATCHES = ["no match", "match"]
_ONE_IMAGE = "explaining needs a model that reads one picture and one text together"


class ExplainedModel(Protocol):
    """A model with its tokenizer and picture settings: an engine of `bridgetower.pipelines` over a checkpoint.

    Attributes:
        source: where it was read from.
        model_class: name of its class.
        model: with its head, in evaluation mode.
        base: the `BridgeTowerModel` in it.
        labels: names of its classes, or None.
    """

    source: Path
    model_class: str
    model: Any
    base: Any
    labels: list[str] | None

    @property
    def tokenizer(self) -> BridgeTowerTokenizer:
        """Of the texts."""

    @property
    def image_processor(self) -> BridgeTowerImageProcessor:
        """Of the pictures."""

    @property
    def max_text_len(self) -> int:
        """Tokens that a text is cut to."""


@dataclass(frozen=True)
class TowerStates:
    """Projected states of both towers, lowest level first, and what else scores read.

    Attributes:
        text: (B, L, D) each.
        image: (B, N, D) each.
        attention_mask: (B, L), 1 = real token.
        vectors: (B, C) unit vectors of texts and of images, of models with contrastive heads that read pairs.
    """

    text: list[Tensor]
    image: list[Tensor]
    attention_mask: Tensor
    vectors: tuple[Tensor, Tensor] | None = None


@dataclass(frozen=True)
class Head:
    """What a model says of pairs.

    Attributes:
        logits: output of `fuse`, states of the towers and the position of the mask -> (B, C).
        probability: logits (B, C) -> values between 0 and 1 of the same shape; None for similarities.
        name: the name of a class.
        find: the class of a name.
        reads_mask: whether it reads the text features of a mask rather than the pooled features.
    """

    logits: Callable[[Any, TowerStates, int], Tensor]
    probability: Callable[[Tensor], Tensor] | None
    name: Callable[[int], str]
    find: Callable[[str], int]
    reads_mask: bool = False


def score_values(head: Head, logits: Tensor) -> np.ndarray:
    """The scores that a person reads: probabilities, or similarities; logits (B, C) -> (B, C)."""
    values = logits.detach().astype("float32")
    return (values if head.probability is None else head.probability(values)).numpy()


def find_head(opened: ExplainedModel) -> Head:
    """The head whose scores can be explained.

    Raises:
        ValueError: the model has none that reads the cross-modal layers of one picture and one text.
    """
    model: Any = getattr(opened, "model", None)
    where = f"{opened.source} ({opened.model_class})"
    if model is None:
        raise ValueError(f"{where} is an export, which has no gradients; give the checkpoint that it was made from")
    if getattr(opened, "images_per_text", 1) != 1 or not hasattr(opened.base, "fuse"):
        raise ValueError(f"{where} cannot be explained: {_ONE_IMAGE}")
    if hasattr(model, "mlm_head") and not hasattr(model, "itm_head"):
        return _word_head(opened)
    if hasattr(model, "classifier"):
        return _class_head(opened)
    if hasattr(model, "rank_head") or hasattr(model, "itm_head"):
        return _match_head(model)
    if hasattr(model, "itc_cross_modal_head"):
        return Head(lambda output, states, _: _pair_similarity(model, output, states), None, lambda _: "similarity",
                    lambda answer: _only(answer, "similarity"))
    raise ValueError(f"{where} has no head behind its cross-modal layers; give a model with a matching head, a head "
                     "for masked words, or classes")


def _class_head(opened: ExplainedModel) -> Head:
    names = opened.labels or [str(index) for index in range(opened.model.config.num_labels)]
    adds_up = opened.model_class != "BridgeTowerForQuestionAnswering"
    return Head(lambda output, *_: opened.model.classifier(output.pooler_output), F.softmax if adds_up else F.sigmoid,
                names.__getitem__, lambda answer: _index(answer, names))


def _word_head(opened: ExplainedModel) -> Head:
    tokenizer = opened.tokenizer

    def find(word: str) -> int:
        for text in (f" {word}", word):  # RoBERTa's words begin with a space
            ids = tokenizer.encode(text, add_special_tokens=False)
            if len(ids) == 1:
                return int(ids[0])
        raise ValueError(f"answer {word!r} is not one token of the vocabulary")

    return Head(lambda output, _, position: opened.model.mlm_head(output.text_features[:, position]), F.softmax,
                lambda token: tokenizer.decode([token]).strip(), find, reads_mask=True)


def _match_head(model: Any) -> Head:
    if hasattr(model, "rank_head"):
        return Head(lambda output, *_: model.match_scores(output.pooler_output).unsqueeze(-1), F.sigmoid,
                    lambda _: "match", lambda answer: _only(answer, "match"))

    def logits(output: Any, *_: Any) -> Tensor:
        pair = model.itm_head(output.pooler_output)
        return pair - pair.flip(-1)  # what counts is how much one of the two is preferred

    return Head(logits, F.sigmoid, _MATCHES.__getitem__, lambda answer: _index(answer, _MATCHES))


def _pair_similarity(model: Any, output: Any, states: TowerStates) -> Tensor:
    """How near the vector of a pair is to those of its text and of its image, (B, 2D) and (B, C) twice -> (B, 1)."""
    assert states.vectors is not None
    text, image = states.vectors
    return (model.embed_pair(output.pooler_output) * (text + image) / 2).sum(-1, keepdim=True)


def _index(answer: str, names: list[str]) -> int:
    if answer not in names:
        raise ValueError(f"answer {answer!r} is none of the model's {len(names)} classes{nearest(answer, names)}")
    return names.index(answer)


def _only(answer: str, name: str) -> int:
    if answer != name:
        raise ValueError(f"answer {answer!r} cannot be explained by this model; it has one score, {name!r}")
    return 0
