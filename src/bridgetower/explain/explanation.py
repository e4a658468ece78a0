"""Explain what a model says of a picture and a text: attention of the words, and relevance for the answer.

L text tokens, N image tokens, H heads, K cross-modal layers, n words, G patches along a side of the image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import paddle

from ..inputs.processor import BridgeTowerImageProcessor
from .explained_model import ExplainedModel, Head, find_head, score_values
from .fused_attention import (
    LayerWeights,
    encode_pairs,
    frozen,
    fuse_with_weights,
    numbers_of,
    weight_gradients,
)
from .words import TokenizedText, Word, read_words

__all__ = ["Explanation", "explain"]

#: Pixels along the side of the picture that is drawn, at least.
_SHOWN = 384


@dataclass(frozen=True)
class Explanation:
    """What a model says of a picture and a text, and where that comes from.

    Attributes:
        text: as the model read it.
        answer: the class, masked word or score that is explained.
        score: its probability, or a similarity.
        words: n words of the text.
        attention: (n, G, G), how each word's attention is spread over the image. Where it does not add up to 1, the
            rest is on the class token of the image.
        relevance: (n, G, G), how much the answer rests on the link between a word and a patch, as shares of all.
        image_relevance: (G, G), how much it rests on each patch, by whatever way; shares.
        word_relevance: (n,), how much it rests on each word; shares.
        picture: (P, P, 3) uint8, the picture as the model sees it, but finer.
    """

    text: str
    answer: str
    score: float
    words: tuple[str, ...]
    attention: np.ndarray
    relevance: np.ndarray
    image_relevance: np.ndarray
    word_relevance: np.ndarray
    picture: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """All but the picture, with lists for arrays."""
        values = {name: value for name, value in vars(self).items() if name != "picture"}
        return {name: np.round(value, 6).tolist() if isinstance(value, np.ndarray) else value
                for name, value in values.items()}


def explain(opened: ExplainedModel, picture: Any, text: str, answer: str | None = None, layer: int | None = None,
            head: int | None = None) -> Explanation:
    """Explain an answer.

    Args:
        opened: a model, for instance `pipeline("visual-question-answering", folder).engine`.
        picture: what its image processor reads: a path, a PIL picture, an array.
        text: the question or sentence; with `<mask>` for models of masked words.
        answer: the class or word to explain; None: the one that the model prefers.
        layer: cross-modal layer whose attention is returned, counted from 1; None: the mean of all.
        head: attention head, counted from 1; None: the mean of all.

    Raises:
        ValueError: a model that cannot be explained, or a text, answer, layer or head that it does not have.
    """
    scored = find_head(opened)
    read = read_words(opened.tokenizer, text, opened.max_text_len)
    if scored.reads_mask and read.mask is None:
        raise ValueError(f"{text!r} has no <mask> among the tokens that the model reads; the model fills in masked "
                         "words, so put one where the word to explain stands")
    _check_choice(opened, layer, head)
    pixels = opened.image_processor(picture, return_tensors="np")["pixel_values"]
    weights, gradients, name, score = _weights_and_gradients(opened, scored, read, pixels, answer)
    relevance = [LayerWeights(*(np.maximum(weight * gradient, 0)[0].mean(0)
                                for weight, gradient in zip(*pair, strict=True)))
                 for pair in zip(weights, gradients, strict=True)]
    of_text, of_image = _propagate(relevance, read.mask if scored.reads_mask else None)
    return Explanation(
        text, name, score, tuple(word.text for word in read.words),
        attention=_attention(weights, read.words, layer, head), relevance=_links(relevance, read.words),
        image_relevance=_shares(_grids(of_image[None])[0]),
        word_relevance=_shares(np.array([of_text[list(word.tokens)].sum() for word in read.words])),
        picture=_shown(opened.image_processor, picture))


def _check_choice(opened: ExplainedModel, layer: int | None, head: int | None) -> None:
    config = opened.base.config
    for name, value, count in (("layer", layer, config.num_hidden_layers), ("head", head, config.num_attention_heads)):
        if value is not None and not 1 <= value <= count:
            raise ValueError(f"{name} {value} does not exist; the cross-modal {name}s are numbered 1 to {count}")


def _weights_and_gradients(opened: ExplainedModel, head: Head, read: TokenizedText, pixels: np.ndarray,
                           answer: str | None) -> tuple[list[LayerWeights], list[LayerWeights], str, float]:
    """Attention weights, the gradients of a score with respect to them, the name of the score and its value."""
    ids = read.input_ids[None]
    states = encode_pairs(opened, ids, np.ones_like(ids), pixels)
    with frozen(opened.model), paddle.enable_grad():
        for state in (*states.text, *states.image):
            state.stop_gradient = False
        output, weights = fuse_with_weights(opened, states)
        logits = head.logits(output, states, read.mask or 0)
        values = score_values(head, logits)
        index = int(values[0].argmax()) if answer is None else head.find(answer)
        gradients = weight_gradients(logits[0, index], weights)
    return numbers_of(weights), gradients, head.name(index), float(values[0, index])


def _propagate(layers: list[LayerWeights], position: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Relevance of each text token (L,) and image token (N,) of the input for what the head reads.

    Every token starts as relevant for itself, and each attention adds what it reads, weighted by its gradients
    (Chefer, Gur and Wolf, ICCV 2021, for the two streams of BridgeTower). Both streams read the other's input.

    Args:
        layers: (L, L), (N, N), (L, N) and (N, L) each.
        position: of the text token that the head reads; None: the first token of each stream.
    """
    length, tokens = layers[0].text_to_image.shape
    text, image = np.eye(length, length + tokens), np.eye(tokens, length + tokens, length)
    for layer in layers:
        next_text, next_image = text + layer.text_self @ text, image + layer.image_self @ image
        text, image = next_text + layer.text_to_image @ image, next_image + layer.image_to_text @ text
    read = text[0] + image[0] if position is None else text[position]
    return read[:length], read[length:]


def _attention(weights: list[LayerWeights], words: tuple[Word, ...], layer: int | None, head: int | None) -> np.ndarray:
    """Weights (1, H, L, N) of K layers -> (n, G, G)."""
    chosen = weights if layer is None else [weights[layer - 1]]
    maps = np.stack([each.text_to_image[0] for each in chosen])  # (K, H, L, N)
    maps = (maps if head is None else maps[:, head - 1:head]).mean((0, 1))
    return _grids(np.stack([maps[list(word.tokens)].mean(0) for word in words]))


def _links(layers: list[LayerWeights], words: tuple[Word, ...]) -> np.ndarray:
    """Relevance of the links between words and patches, in both directions and all layers -> (n, G, G)."""
    links = np.sum([layer.text_to_image + layer.image_to_text.T for layer in layers], axis=0)
    return _shares(_grids(np.stack([links[list(word.tokens)].sum(0) for word in words])))


def _grids(maps: np.ndarray) -> np.ndarray:
    """(n, N), the class token first -> (n, G, G)."""
    side = round((maps.shape[1] - 1) ** 0.5)
    return maps[:, 1:].reshape(-1, side, side)


def _shares(values: np.ndarray) -> np.ndarray:
    total = values.sum()
    return values / total if total > 0 else values


def _shown(processor: BridgeTowerImageProcessor, picture: Any) -> np.ndarray:
    """What the model sees, cut and scaled in the same way but finer: (P, P, 3) uint8."""
    side = processor.size["shortest_edge"]
    side *= -(-_SHOWN // side)
    values = replace(processor, size=side, crop_size=side)(picture, return_tensors="np")["pixel_values"][0]
    mean, std = (np.array(each, np.float32)[:, None, None] for each in (processor.image_mean, processor.image_std))
    if processor.do_normalize:
        values = values * std + mean
    if processor.do_rescale:
        values = values * 255
    return np.clip(np.rint(values), 0, 255).astype(np.uint8).transpose(1, 2, 0)
