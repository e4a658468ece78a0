"""Masked language modelling: which tokens are hidden, and what replaces them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["IGNORED", "MaskingDraws", "draw_masking", "mask_tokens", "select_tokens", "select_words"]

IGNORED = -100  # label of a position that has no loss
_MASKED, _REPLACED = 0.8, 0.1  # of the selected tokens; the rest keep their id
_MAX_PREDICTIONS = 512


@dataclass(frozen=True)
class MaskingDraws:
    """Uniform random numbers in [0, 1), each (B, L): one row per sample, from the sample's own generator."""

    select: np.ndarray
    action: np.ndarray
    replacement: np.ndarray


def draw_masking(generators: Sequence[np.random.Generator], length: int) -> MaskingDraws:
    """Draw for B samples of `length` tokens; `length` must not depend on the batch, or the draws would."""
    draws = np.stack([rng.random((3, length), dtype=np.float32) for rng in generators], axis=1)
    return MaskingDraws(*draws)


def select_tokens(special: np.ndarray, draws: np.ndarray, probability: float) -> np.ndarray:
    """Select each token on its own.

    Args:
        special: (B, L) bool, tokens that are never selected: first, last and padding.
        draws: (B, L) uniform numbers.
        probability: of selection.

    Returns:
        (B, L) bool.
    """
    return (draws < probability) & ~special


def select_words(
    special: np.ndarray, padding: np.ndarray, continuation: np.ndarray, draws: np.ndarray, probability: float
) -> np.ndarray:
    """Select whole words, as the original's whole-word collator does.

    Words are taken in random order until `probability` of the L positions is used up; a word that would exceed that
    is passed over. Padding tokens take part as words of one token, and are cleared from the selection at the end.

    Args:
        special: (B, L) bool, tokens that are never selected in the end: first, last and padding.
        padding: (B, L) bool.
        continuation: (B, L) bool, tokens that belong to the word of the token before them.
        draws: (B, L) uniform numbers; the order of words is the order of their first tokens' numbers.
        probability: share of all L positions.

    Returns:
        (B, L) bool.
    """
    batch, length = special.shape
    candidate = ~special | padding
    previous = np.concatenate([np.zeros((batch, 1), dtype=bool), candidate[:, :-1]], axis=1)
    starts = candidate & ~(continuation & ~padding & previous)
    word = np.cumsum(starts, axis=1) - 1  # of candidates; the number of their word
    row = np.arange(batch)[:, None]
    sizes = np.zeros((batch, length + 1), dtype=np.int64)
    np.add.at(sizes, (row, np.where(candidate, word, length)), 1)
    sizes[:, length] = 0  # collected the positions that are no candidates
    keys = np.full((batch, length), np.inf)
    rows, columns = np.nonzero(starts)
    keys[rows, word[rows, columns]] = draws[rows, columns]
    order = np.argsort(keys, axis=1, kind="stable")

    budget = np.full(batch, min(_MAX_PREDICTIONS, max(1, round(length * probability))))
    taken = np.zeros((batch, length + 1), dtype=bool)
    for rank in range(length):
        index = order[:, rank]
        size = sizes[row[:, 0], index]
        fits = (size > 0) & (size <= budget)
        taken[row[:, 0], index] = fits
        budget -= np.where(fits, size, 0)
    return taken[row, np.where(candidate, word, length)] & ~special


def mask_tokens(
    input_ids: np.ndarray, selected: np.ndarray, draws: MaskingDraws, mask_token_id: int, vocab_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Replace selected tokens: 80 % by the mask token, 10 % by a random id, 10 % not at all.

    Args:
        input_ids: (B, L) int64.
        selected: (B, L) bool.
        draws: the numbers that decide.
        mask_token_id: the mask token.
        vocab_size: random ids lie in [0, vocab_size).

    Returns:
        The masked ids and the labels (original id where selected, else -100), both (B, L) int64.
    """
    random_ids = (draws.replacement * vocab_size).astype(np.int64)
    masked = np.where(selected & (draws.action < _MASKED), mask_token_id, input_ids)
    replaced = selected & (draws.action >= _MASKED) & (draws.action < _MASKED + _REPLACED)
    masked = np.where(replaced, random_ids, masked)
    return masked, np.where(selected, input_ids, IGNORED)
