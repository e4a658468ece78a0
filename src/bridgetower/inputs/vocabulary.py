"""Between tokens, ids and texts: what a tokenizer can do without encoding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from ..known import nearest
from .encoding import as_list
from .special_tokens import SpecialTokens
from .tokenizer_files import Kind

__all__ = ["Vocabulary"]

_WORD_START = "Ġ"  # how byte-level BPE writes a leading space
#: Spaces that joined tokens have and written text has not.
_CLEAN_UP = ((" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
             (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"))

_OF_SLOW_TOKENIZERS = ("spaces_between_special_tokens", "use_source_tokenizer")
_DECODE_OPTIONS = ("skip_special_tokens", "clean_up_tokenization_spaces", *_OF_SLOW_TOKENIZERS)


class Vocabulary(SpecialTokens):
    """The tokens of a tokenizer, looked up both ways, and decoding.

    Attributes:
        kind: "roberta" or "bert".
        clean_up_tokenization_spaces: whether `decode` removes the spaces before punctuation.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        kind: Kind,
        special: Mapping[str, str | None],
        additional: Sequence[str] = (),
    ) -> None:
        super().__init__(tokenizer, special, additional)
        self._continuations: np.ndarray | None = None
        self.kind: Kind = kind
        self.clean_up_tokenization_spaces = False

    def __len__(self) -> int:
        """Number of ids, added tokens included."""
        return self._tokenizer.get_vocab_size(with_added_tokens=True)

    @property
    def backend_tokenizer(self) -> Tokenizer:
        """The library's tokenizer."""
        return self._tokenizer

    @property
    def decoder(self) -> Any:
        """The part of the library's tokenizer that makes texts of tokens."""
        return self._tokenizer.decoder

    @property
    def vocab(self) -> dict[str, int]:
        """All tokens with their ids."""
        return self.get_vocab()

    def get_vocab(self) -> dict[str, int]:
        """All tokens with their ids."""
        return self._tokenizer.get_vocab(with_added_tokens=True)

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """How many special tokens frame a text, or a pair of texts."""
        return self._tokenizer.num_special_tokens_to_add(pair)

    def add_tokens(self, new_tokens: Any, special_tokens: bool = False) -> int:
        """Add tokens that are never split; how many of them were new."""
        self._continuations = None
        return super().add_tokens(new_tokens, special_tokens)

    def is_continuation(self, ids: np.ndarray) -> np.ndarray:
        """Whether each id continues the word of the id before it (any shape in, the same shape out, bool)."""
        if self._continuations is None:
            table, special = np.zeros(len(self), dtype=bool), set(self.all_special_tokens)
            for token, index in self.get_vocab().items():
                inside = token.startswith("##") if self.kind == "bert" else not token.startswith(_WORD_START)
                table[index] = inside and token not in special
            self._continuations = table
        return self._continuations[ids]

    def convert_tokens_to_ids(self, tokens: str | Sequence[str]) -> Any:
        """The id of a token, or of each; unknown tokens have that of `unk_token`."""
        return self._id_of(tokens) if isinstance(tokens, str) else [self._id_of(token) for token in tokens]

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """The token of an id, or of each; ids may be integers, lists, arrays or tensors."""
        plain_ids = as_list(ids)
        if isinstance(plain_ids, int):
            return self._convert_id_to_token(plain_ids)
        skipped = set(self.all_special_ids) if skip_special_tokens else set()
        return [self._convert_id_to_token(index) for index in plain_ids if index not in skipped]

    def _convert_id_to_token(self, index: int) -> str | None:  # PaddleNLP's collators call it
        return self._tokenizer.id_to_token(int(index))

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """The text that tokens make."""
        return self._tokenizer.decoder.decode(list(tokens))

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **no_effect: Any,
    ) -> str:
        """The text of one row of ids.

        Args:
            token_ids: an integer, or a list, array or tensor of them.
            skip_special_tokens: leave special tokens out.
            clean_up_tokenization_spaces: remove spaces before punctuation; None takes the tokenizer's setting.
            no_effect: options of slow tokenizers, such as `spaces_between_special_tokens`.

        Raises:
            ValueError: several rows, or an unknown option.
        """
        for name in no_effect:
            if name not in _OF_SLOW_TOKENIZERS:
                raise ValueError(f"{name!r} is not an option of decode{nearest(name, _DECODE_OPTIONS)}")
        ids = as_list(token_ids)
        ids = [ids] if isinstance(ids, int) else list(ids)
        if ids and not isinstance(ids[0], int):
            raise ValueError("decode takes one row of whole numbers; use batch_decode for several rows")
        text = self._tokenizer.decode(ids, skip_special_tokens=skip_special_tokens)
        cleans = self.clean_up_tokenization_spaces if clean_up_tokenization_spaces is None \
            else clean_up_tokenization_spaces
        return self.clean_up_tokenization(text) if cleans else text

    def batch_decode(
        self,
        sequences: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **no_effect: Any,
    ) -> list[str]:
        """The texts of several rows of ids, see `decode`."""
        return [self.decode(row, skip_special_tokens, clean_up_tokenization_spaces, **no_effect)
                for row in as_list(sequences)]

    @staticmethod
    def clean_up_tokenization(text: str) -> str:
        """A text without the spaces that stand before punctuation and in contractions."""
        for spaced, written in _CLEAN_UP:
            text = text.replace(spaced, written)
        return text

    def build_inputs_with_special_tokens(
        self, token_ids_0: Sequence[int], token_ids_1: Sequence[int] | None = None
    ) -> list[int]:
        """Frame the ids of a text, or of two."""
        first, last = self.cls_token_id, self.sep_token_id
        framed = [first, *token_ids_0, last]
        if token_ids_1 is None:
            return framed
        return [*framed, *([last] if self.kind == "roberta" else []), *token_ids_1, last]

    def create_token_type_ids_from_sequences(
        self, token_ids_0: Sequence[int], token_ids_1: Sequence[int] | None = None
    ) -> list[int]:
        """0 for the first text and its frame, 1 for the second one's; RoBERTa has 0 everywhere."""
        first = len(self.build_inputs_with_special_tokens(token_ids_0))
        total = len(self.build_inputs_with_special_tokens(token_ids_0, token_ids_1))
        return [0] * total if self.kind == "roberta" else [0] * first + [1] * (total - first)

    def get_special_tokens_mask(
        self,
        token_ids_0: Sequence[int],
        token_ids_1: Sequence[int] | None = None,
        already_has_special_tokens: bool = False,
    ) -> list[int]:
        """1 at special tokens, of ids that have them already or will be framed."""
        if already_has_special_tokens:
            special = set(self.all_special_ids)
            return [int(index in special) for index in as_list(token_ids_0)]
        ordinary = self.build_inputs_with_special_tokens([-1] * len(token_ids_0),
                                                         None if token_ids_1 is None else [-1] * len(token_ids_1))
        return [int(index != -1) for index in ordinary]
