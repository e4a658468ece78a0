"""Check an explanation by deletion: without the patches that an answer rests on, its score should fall fastest.

B versions of a picture, S image side, G patches along a side.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import paddle

from .explained_model import ExplainedModel, find_head, score_values
from .explanation import explain
from .fused_attention import encode_pairs
from .words import read_words

__all__ = ["DeletionCheck", "check_by_deletion", "deletion_order", "deletion_scores", "without_patches"]

#: Shares of the patches that are removed, one step after the other.
SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)


ORDERS = ("most relevant first", "at random", "least relevant first")


@dataclass(frozen=True)
class DeletionCheck:
    """Scores of answers while patches of their pictures are removed, as means over pairs of a picture and a text.

    Attributes:
        pairs: their number.
        shares: (n,) of the patches that are removed.
        scores: (n,) for each order of the removal.
    """

    pairs: int
    shares: tuple[float, ...]
    scores: dict[str, np.ndarray]


def check_by_deletion(opened: ExplainedModel, pairs: Iterable[tuple[Any, str]], shares: Sequence[float] = SHARES,
                      seed: int = 0) -> DeletionCheck:
    """Compare removing the most relevant patches with removing others.

    Args:
        opened: see `explain`.
        pairs: pictures, as its image processor reads them, and texts.
        shares: of the patches that are removed.
        seed: of the random order.

    Raises:
        ValueError: there are no pairs, or a model or text that cannot be explained.
    """
    draw, found = np.random.default_rng(seed), []
    for picture, text in pairs:
        explanation = explain(opened, picture, text)
        order = deletion_order(explanation.image_relevance)
        orders = (order, draw.permutation(len(order)), order[::-1])
        found.append(deletion_scores(opened, picture, text, orders, explanation.answer, shares))
    if not found:
        raise ValueError("there are no pairs of a picture and a text to check explanations on")
    return DeletionCheck(len(found), tuple(shares), dict(zip(ORDERS, np.mean(found, axis=0), strict=True)))


def deletion_order(importance: np.ndarray) -> np.ndarray:
    """Patches from the most to the least important one, (G, G) -> (G * G,)."""
    return np.argsort(-importance.ravel(), kind="stable")


def without_patches(pixel_values: np.ndarray, patches: np.ndarray, side: int) -> np.ndarray:
    """A picture whose `patches` have its mean colour, (3, S, S) -> (3, S, S).

    Args:
        pixel_values: the picture.
        patches: numbers of patches, row by row.
        side: G.
    """
    hidden = np.zeros(side * side, bool)
    hidden[patches] = True
    size = pixel_values.shape[1] // side
    pixels = np.kron(hidden.reshape(side, side), np.ones((size, size), bool))
    return np.where(pixels, pixel_values.mean((1, 2), keepdims=True), pixel_values).astype(np.float32)


def deletion_scores(opened: ExplainedModel, picture: Any, text: str, orders: Sequence[np.ndarray],
                    answer: str | None = None, shares: Sequence[float] = SHARES) -> np.ndarray:
    """The score of an answer while more and more patches are removed.

    Args:
        opened: see `explain`.
        picture, text: see `explain`.
        orders: of the removal, (G * G,) each, see `deletion_order`.
        answer: class or word; None: what the model says of the whole picture.
        shares: of the patches that are removed.

    Returns:
        (orders, shares) probabilities, or similarities.
    """
    head, read = find_head(opened), read_words(opened.tokenizer, text, opened.max_text_len)
    whole = opened.image_processor(picture, return_tensors="np")["pixel_values"][0]
    side = round(len(orders[0]) ** 0.5)
    versions = [whole, *(without_patches(whole, order[:round(share * len(order))], side)
                         for order in orders for share in shares)]
    ids = np.repeat(read.input_ids[None], len(versions), axis=0)
    with paddle.no_grad():
        states = encode_pairs(opened, ids, np.ones_like(ids), np.stack(versions))
        output = opened.base.fuse(states.text, states.image, states.attention_mask)
        scores = score_values(head, head.logits(output, states, read.mask or 0))
    index = int(scores[0].argmax()) if answer is None else head.find(answer)
    return scores[1:, index].reshape(len(orders), len(shares))
