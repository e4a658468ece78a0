"""The arguments of a tokenizer call: its texts, and what its options come to together."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from ..known import nearest
from .encoding import plain

__all__ = ["Padding", "TextOptions", "check_side", "rows_of"]

logger = logging.getLogger(__name__)

Padding = Literal["longest", "max_length"]
_PADDING = {False: "do_not_pad", True: "longest", None: "do_not_pad", "longest": "longest",
            "max_length": "max_length", "do_not_pad": "do_not_pad"}
_TRUNCATION = {False: "do_not_truncate", True: "longest_first", None: "do_not_truncate",
               "longest_first": "longest_first", "only_first": "only_first", "only_second": "only_second",
               "do_not_truncate": "do_not_truncate"}
_UNLIMITED = 10**20  # what settings files write for "no limit" is larger


@dataclass(frozen=True)
class TextOptions:
    """Keyword arguments of a tokenizer call, with the names and defaults of the port.

    Attributes:
        add_special_tokens: frame texts as the model expects it.
        padding: True or "longest" pads to the longest text, "max_length" to `max_length`; False or "do_not_pad".
        truncation: True or "longest_first" shortens the longer text of a pair first, "only_first" and "only_second"
            one of them; False or "do_not_truncate". None truncates when `max_length` stands alone.
        max_length: in tokens, special tokens included; the tokenizer's `model_max_length` when None.
        stride: number of tokens that an overflowing row repeats.
        is_split_into_words: a text is a list of words.
        pad_to_multiple_of: round the padded length up.
        padding_side, truncation_side: "left" or "right"; None takes the tokenizer's.
        return_tensors: "np", "pd", "pt", or None for lists.
        return_token_type_ids, return_attention_mask: None takes them from the tokenizer's `model_input_names`.
        return_overflowing_tokens: truncated parts become rows of their own.
        return_special_tokens_mask: also 1 at special tokens.
        return_offsets_mapping: also the characters of each token.
        return_length: also the number of tokens.
        verbose: warn of texts that are too long for the model.
        split_special_tokens: treat special tokens in a text as ordinary text; None takes the tokenizer's.
    """

    add_special_tokens: bool = True
    padding: bool | str | None = False
    truncation: bool | str | None = None
    max_length: int | None = None
    stride: int = 0
    is_split_into_words: bool = False
    pad_to_multiple_of: int | None = None
    padding_side: str | None = None
    truncation_side: str | None = None
    return_tensors: str | None = None
    return_token_type_ids: bool | None = None
    return_attention_mask: bool | None = None
    return_overflowing_tokens: bool = False
    return_special_tokens_mask: bool = False
    return_offsets_mapping: bool = False
    return_length: bool = False
    verbose: bool = True
    split_special_tokens: bool | None = None

    @classmethod
    def names(cls) -> list[str]:
        """The names of all options."""
        return [field.name for field in fields(cls)]

    @classmethod
    def of(cls, options: Mapping[str, Any], model_max_length: int) -> TextOptions:
        """Check options, and say each in one way: strategies by name, `max_length` where it is needed.

        Args:
            options: keyword arguments of a call.
            model_max_length: what `max_length` is when it is not given.

        Raises:
            ValueError: an unknown option or value, or options that contradict each other.
        """
        for name in options:
            if name not in cls.names():
                raise ValueError(f"{name!r} is not an option of the tokenizer{nearest(name, cls.names())}")
        given = cls(**{name: plain(value) for name, value in options.items()})
        padding, truncation = _choice("padding", given.padding, _PADDING), given.truncation
        if given.max_length is not None and given.padding is False and truncation is None:
            truncation = True  # as in the port, a lone max_length truncates
        truncation = _choice("truncation", truncation, _TRUNCATION)
        length = given.max_length
        if length is None and (padding == "max_length" or truncation != "do_not_truncate"):
            if model_max_length < _UNLIMITED:
                length = model_max_length
            else:
                logger.warning("neither max_length nor model_max_length is set; texts keep their length")
                padding = "do_not_pad" if padding == "max_length" else padding
                truncation = "do_not_truncate"
        multiple = given.pad_to_multiple_of
        if truncation != "do_not_truncate" and padding != "do_not_pad" and multiple and length and length % multiple:
            raise ValueError(f"max_length={length} is not a multiple of pad_to_multiple_of={multiple}")
        for name in ("padding_side", "truncation_side"):
            check_side(name, getattr(given, name))
        return cls(**{**given.__dict__, "padding": padding, "truncation": truncation, "max_length": length})

    def width(self, longest: int) -> int:
        """The number of tokens of padded rows, given that of the longest one."""
        width = self.max_length if self.padding == "max_length" and self.max_length is not None else longest
        multiple = self.pad_to_multiple_of or 1
        return -(-width // multiple) * multiple


def check_side(name: str, side: str | None) -> None:
    """Refuse a side that is neither "left" nor "right" nor None."""
    if side not in ("left", "right", None):
        raise ValueError(f"{name}={side!r} is unknown; use 'left' or 'right'")


def _choice(name: str, value: Any, known: Mapping[Any, str]) -> str:
    if value not in known:
        names = ", ".join(map(repr, sorted(set(known.values()))))
        raise ValueError(f"{name}={value!r} is unknown; use True, False, {names}")
    return known[value]


def rows_of(text: Any, text_pair: Any, is_split: bool) -> tuple[list[Any], bool]:
    """What to encode, pairs as tuples, and whether it is a list of texts rather than one.

    Args:
        text, text_pair: see `BridgeTowerTokenizer`.
        is_split: whether a text is a list of words.

    Raises:
        ValueError: something that is no text, or another number of second texts.
    """
    for name, value in (("text", text), ("text_pair", text_pair)):
        if not _is_text(value) and not (name == "text_pair" and value is None):
            raise ValueError(f"{name} must be a string or a list of strings, got {type(value).__name__}"
                             + (f" of {type(value[0]).__name__}" if isinstance(value, list | tuple) and value else ""))
    is_batch = isinstance(text, list | tuple) and (not is_split or bool(text) and isinstance(text[0], list | tuple))
    if not is_batch:
        return [(text, text_pair) if text_pair else text], False
    if text_pair is None:
        return [tuple(row) if isinstance(row, list) and not is_split else row for row in text], True
    if isinstance(text_pair, str) or len(text_pair) != len(text):
        count = 1 if isinstance(text_pair, str) else len(text_pair)
        raise ValueError(f"{len(text)} texts but {count} in text_pair; give each text its own")
    return list(zip(text, text_pair, strict=True)), True


def _is_text(value: Any) -> bool:
    while isinstance(value, list | tuple):
        if not value:
            return True
        value = value[0]
    return isinstance(value, str)
