"""The port's further ways to use a tokenizer, all of which come down to calling it or to padding."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from .encoding import Encoding, plain
from .padding import join_rows, pad_rows
from .prepared_ids import cut_ids, prepared_row
from .text_options import TextOptions
from .vocabulary import Vocabulary

__all__ = ["TokenizerMethods"]


class TokenizerMethods(Vocabulary, ABC):
    """What a tokenizer of the port offers beside a call, for a class that can be called.

    Attributes:
        model_max_length, padding_side, truncation_side, model_input_names: see `BridgeTowerTokenizer`.
    """

    model_max_length: int
    padding_side: str
    truncation_side: str
    model_input_names: list[str]

    @abstractmethod
    def __call__(self, text: Any = None, text_pair: Any = None, text_target: Any = None, text_pair_target: Any = None,
                 **options: Any) -> Encoding:
        """Encode texts: `input_ids` (B, L) and what belongs to them, see `BridgeTowerTokenizer`."""

    def encode(self, text: Any, text_pair: Any = None, add_special_tokens: bool = True, **options: Any) -> Any:
        """The `input_ids` of one text or one pair: a list, or (1, L) with `return_tensors`."""
        return self(text, text_pair, add_special_tokens=add_special_tokens, **options)["input_ids"]

    def encode_plus(self, text: Any, text_pair: Any = None, add_special_tokens: bool = True, **options: Any
                    ) -> Encoding:
        """What calling the tokenizer does, for one text."""
        return self(text, text_pair, add_special_tokens=add_special_tokens, **options)

    def batch_encode_plus(self, batch_text_or_text_pairs: Sequence[Any], add_special_tokens: bool = True,
                          **options: Any) -> Encoding:
        """What calling the tokenizer does, for a list of texts or of pairs."""
        return self(batch_text_or_text_pairs, add_special_tokens=add_special_tokens, **options)

    def tokenize(self, text: str, pair: str | None = None, add_special_tokens: bool = False, **options: Any
                 ) -> list[str]:
        """The tokens of one text."""
        return self(text, pair, add_special_tokens=add_special_tokens, **options).tokens()

    def prepare_for_model(self, ids: Sequence[int], pair_ids: Sequence[int] | None = None,
                          add_special_tokens: bool = True, *, prepend_batch_axis: bool = False, **options: Any
                          ) -> Encoding:
        """What calling the tokenizer does, for the ids of one text or pair that have no special tokens yet.

        Args:
            ids, pair_ids: (L,) of the text, and of the second one.
            add_special_tokens, options: see `TextOptions`.
            prepend_batch_axis: whether tensors are (1, L) rather than (L,).

        Returns:
            What a call returns for one text; with `return_overflowing_tokens` also `overflowing_tokens`, which were cut
            off, and `num_truncated_tokens`.

        Raises:
            ValueError: an unknown option, or too little to cut off.
        """
        chosen = TextOptions.of({**options, "add_special_tokens": add_special_tokens}, self.model_max_length)
        data = prepared_row(self, ids, pair_ids, chosen)
        names = ("input_ids", "token_type_ids", "special_tokens_mask")
        row: dict[str, Any] = {name: data.pop(name) for name in names if name in data}
        padded = self.pad(row, chosen.padding or False, chosen.max_length, chosen.pad_to_multiple_of,
                          chosen.padding_side, chosen.return_attention_mask)
        length = {"length": len(padded["input_ids"])} if chosen.return_length else {}
        return Encoding({**data, **padded, **length}).convert_to_tensors(chosen.return_tensors, prepend_batch_axis)

    def truncate_sequences(self, ids: Sequence[int], pair_ids: Sequence[int] | None = None,
                           num_tokens_to_remove: int = 0, truncation_strategy: str = "longest_first", stride: int = 0
                           ) -> tuple[list[int], list[int] | None, list[int]]:
        """The ids of a text and of a second one without so many tokens, and those that were cut off.

        Raises:
            ValueError: too little to cut off.
        """
        return cut_ids(ids, pair_ids, num_tokens_to_remove, str(plain(truncation_strategy)), stride,
                       self.truncation_side)

    def pad(
        self,
        encoded_inputs: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
        verbose: bool = True,
    ) -> Encoding:
        """Pad what was encoded before: one row, several rows in one mapping, or a list of mappings (a collator's).

        Args:
            encoded_inputs: mappings with `input_ids`; other inputs than those of a tokenizer are stacked as they are.
            padding, max_length, pad_to_multiple_of, padding_side, return_attention_mask, return_tensors, verbose: see
                `TextOptions`.

        Raises:
            ValueError: no `input_ids`, or a different number of rows.
        """
        given = {"padding": padding, "max_length": max_length, "pad_to_multiple_of": pad_to_multiple_of,
                 "padding_side": padding_side, "return_tensors": return_tensors, "verbose": verbose}
        options = TextOptions.of({**given, "truncation": False}, self.model_max_length)
        if return_attention_mask is None:
            return_attention_mask = "attention_mask" in self.model_input_names
        fill = {"input_ids": self._padding_id(), "token_type_ids": self.pad_token_type_id}
        return pad_rows(join_rows(encoded_inputs), options, fill, options.padding_side or self.padding_side,
                        return_attention_mask)

    def _padding_id(self) -> int:
        index = self.pad_token_id
        if index is None:
            raise ValueError("the tokenizer has no padding token; set tokenizer.pad_token")
        return index
