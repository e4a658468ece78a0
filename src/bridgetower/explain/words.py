"""The words of a text and the tokens that each of them became."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..inputs.tokenizer import BridgeTowerTokenizer

__all__ = ["MASK", "TokenizedText", "Word", "read_words"]

#: A word to guess, as people write it for either kind of tokenizer.
MASK = re.compile(r"<mask>|\[MASK\]")
#: A mask, a Chinese character, or a run of other letters and digits; punctuation belongs to no word.
_WORD = re.compile(r"<mask>|\[MASK\]|[\u3400-\u9fff]|(?:(?![\u3400-\u9fff])[\w'’-])+")


@dataclass(frozen=True)
class Word:
    """A word and the positions of its tokens."""

    text: str
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class TokenizedText:
    """A text as a model reads it.

    Attributes:
        input_ids: (L,) int64, special tokens included.
        words: those that have tokens; what was cut off has none.
        mask: position of the first masked word, or None.
    """

    input_ids: np.ndarray
    words: tuple[Word, ...]
    mask: int | None


def read_words(tokenizer: BridgeTowerTokenizer, text: str, max_length: int) -> TokenizedText:
    """Tokenize a text and join the pieces of each word.

    Args:
        tokenizer: of the model.
        text: with `<mask>` or `[MASK]` in place of a word, whichever the tokenizer uses.
        max_length: tokens that the text is cut to.

    Raises:
        ValueError: there are no words.
    """
    mask_token = "[MASK]" if tokenizer.kind == "bert" else "<mask>"
    text = MASK.sub(mask_token, text)
    encoded = tokenizer([text], truncation=True, max_length=max_length, return_offsets_mapping=True)
    ids, offsets = np.asarray(encoded["input_ids"][0], np.int64), encoded["offset_mapping"][0]
    words = []
    for found in _WORD.finditer(text):
        tokens = _overlapping(offsets, *found.span())
        if tokens:
            words.append(Word(found.group(), tokens))
    if not words:
        raise ValueError(f"{text!r} has no words; write a question or a sentence about the picture")
    masks = np.flatnonzero(ids == tokenizer.mask_token_id)
    return TokenizedText(ids, tuple(words), int(masks[0]) if len(masks) else None)


def _overlapping(offsets: Sequence[tuple[int, int]], start: int, end: int) -> tuple[int, ...]:
    """Positions of the tokens that hold characters of a word; special tokens are empty."""
    return tuple(index for index, (first, last) in enumerate(offsets) if max(first, start) < min(last, end))
