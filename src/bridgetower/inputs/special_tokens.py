"""Special tokens of a tokenizer: as attributes, as ids, and as a map, with the names that the port uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import AddedToken, Tokenizer

from ..known import nearest
from ..setting_rules.ranges import shown

__all__ = ["SPECIAL_TOKEN_NAMES", "SpecialTokens", "described", "token_text"]

SPECIAL_TOKEN_NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


def token_text(token: Any) -> str | None:
    """The text of a special token in a settings file: a string, an `AddedToken`, or the dictionary of one."""
    text = token.get("content") if isinstance(token, Mapping) else getattr(token, "content", token)
    if text is not None and not isinstance(text, str):
        raise ValueError(f"{shown(token)} is not a token; it must be a string")
    if text is not None and len(text) > _LONGEST:
        raise ValueError(f"{shown(text)} has {len(text):,} characters; a token has {_LONGEST} at most")
    return text


def described(token: AddedToken) -> dict[str, Any]:
    """A token and how it is found in a text, as settings files hold it."""
    names = ("content", "lstrip", "normalized", "rstrip", "single_word", "special")
    return {name: getattr(token, name) for name in names}


#: The library builds an automaton from the tokens, which takes minutes where one has thousands of characters.
_LONGEST = 500


class _Token:
    """The attribute `tokenizer.NAME_token`: its text, or None where the tokenizer has no such token."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, tokenizer: SpecialTokens | None, owner: type) -> Any:
        return self if tokenizer is None else tokenizer._special[self.name]

    def __set__(self, tokenizer: SpecialTokens, value: str | AddedToken | None) -> None:
        tokenizer._special[self.name] = token_text(value)


class _TokenId:
    """The attribute `tokenizer.NAME_token_id`: its id, or None where the tokenizer has no such token."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name.removesuffix("_id")

    def __get__(self, tokenizer: SpecialTokens | None, owner: type) -> Any:
        return self if tokenizer is None else tokenizer._id_of(tokenizer._special[self.name])

    def __set__(self, tokenizer: SpecialTokens, value: int | None) -> None:
        tokenizer._special[self.name] = None if value is None else tokenizer._tokenizer.id_to_token(value)


class SpecialTokens:
    """What a tokenizer knows about its special tokens, and how more tokens are added.

    Attributes:
        bos_token, eos_token, unk_token, sep_token, pad_token, cls_token, mask_token: their texts; None for those that
            the kind of tokenizer does not have. Each has its id beside it, as `pad_token_id`.
        additional_special_tokens: texts of further special tokens.
        pad_token_type_id: the `token_type_ids` of padding.
    """

    bos_token, eos_token, unk_token, sep_token = _Token(), _Token(), _Token(), _Token()
    pad_token, cls_token, mask_token = _Token(), _Token(), _Token()
    bos_token_id, eos_token_id, unk_token_id, sep_token_id = _TokenId(), _TokenId(), _TokenId(), _TokenId()
    pad_token_id, cls_token_id, mask_token_id = _TokenId(), _TokenId(), _TokenId()
    pad_token_type_id = 0
    SPECIAL_TOKENS_ATTRIBUTES = (*SPECIAL_TOKEN_NAMES, "additional_special_tokens")

    def __init__(self, tokenizer: Tokenizer, special: Mapping[str, str | None], additional: Sequence[str] = ()) -> None:
        self._tokenizer = tokenizer
        self._special: dict[str, str | None] = {name: special.get(name) for name in SPECIAL_TOKEN_NAMES}
        self.additional_special_tokens = list(additional)

    def _id_of(self, token: str | None) -> int | None:
        if token is None:
            return None
        index = self._tokenizer.token_to_id(token)
        unknown = self._special["unk_token"]
        return self._tokenizer.token_to_id(unknown) if index is None and unknown is not None else index

    @property
    def _pad_token(self) -> str | None:  # PaddleNLP's collators read it
        return self._special["pad_token"]

    @property
    def additional_special_tokens_ids(self) -> list[int | None]:
        """The ids of the further special tokens."""
        return [self._id_of(token) for token in self.additional_special_tokens]

    @property
    def special_tokens_map(self) -> dict[str, str | list[str]]:
        """The texts of the special tokens by name, without those that are not set."""
        found: dict[str, str | list[str]] = {name: text for name, text in self._special.items() if text}
        return found | ({"additional_special_tokens": list(self.additional_special_tokens)}
                        if self.additional_special_tokens else {})

    @property
    def all_special_tokens(self) -> list[str]:
        """The texts of all special tokens, each once."""
        named = [text for text in self._special.values() if text]
        return list(dict.fromkeys([*named, *self.additional_special_tokens]))

    @property
    def special_tokens_map_extended(self) -> dict[str, Any]:
        """`special_tokens_map` with `AddedToken`s, which know how they are found in a text."""
        return {name: self._added(text) if isinstance(text, list) else self._added([text])[0]
                for name, text in self.special_tokens_map.items()}

    @property
    def all_special_tokens_extended(self) -> list[AddedToken | str]:
        """All special tokens as `AddedToken`s, each once."""
        return self._added(self.all_special_tokens)

    def _added(self, texts: Sequence[str]) -> list[AddedToken | str]:
        """Tokens as they were added to the vocabulary; ordinary ones as they are."""
        added = {token.content: token for token in self.added_tokens_decoder.values()}
        return [added.get(text, text) for text in texts]

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of all special tokens."""
        return [index for index in map(self._id_of, self.all_special_tokens) if index is not None]

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """Tokens that are looked for before a text is split, by id."""
        return dict(sorted(self._tokenizer.get_added_tokens_decoder().items()))

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """Ids of the tokens that are looked for before a text is split."""
        return {token.content: index for index, token in self.added_tokens_decoder.items()}

    def get_added_vocab(self) -> dict[str, int]:
        """The same as `added_tokens_encoder`."""
        return self.added_tokens_encoder

    def add_tokens(
        self, new_tokens: str | AddedToken | Sequence[str | AddedToken], special_tokens: bool = False
    ) -> int:
        """Add tokens that are never split; how many of them were new."""
        tokens = [new_tokens] if isinstance(new_tokens, str | AddedToken) else list(new_tokens)
        add = self._tokenizer.add_special_tokens if special_tokens else self._tokenizer.add_tokens
        return add(tokens)

    def sanitize_special_tokens(self) -> int:
        """Add the special tokens that the vocabulary has not; how many they were."""
        return self.add_tokens(self.all_special_tokens_extended, special_tokens=True)

    def add_special_tokens(
        self, special_tokens_dict: Mapping[str, Any], replace_additional_special_tokens: bool = True
    ) -> int:
        """Set special tokens by name and add those that are new to the vocabulary; how many were new.

        Args:
            special_tokens_dict: texts or `AddedToken`s by name, `additional_special_tokens` a list of them.
            replace_additional_special_tokens: whether such a list replaces the one before.

        Raises:
            ValueError: an unknown name.
        """
        added: list[AddedToken] = []
        for name, value in special_tokens_dict.items():
            if name in ("additional_special_tokens", "extra_special_tokens"):
                texts = [str(token_text(token)) for token in value]
                old = [] if replace_additional_special_tokens and texts else self.additional_special_tokens
                self.additional_special_tokens = list(dict.fromkeys([*old, *texts]))
                added += map(_as_special, value)
            elif name in SPECIAL_TOKEN_NAMES:
                self._special[name] = token_text(value)
                added.append(_as_special(value))
            else:
                raise ValueError(f"{name!r} is not the name of a special token"
                                 + nearest(name, [*SPECIAL_TOKEN_NAMES, "additional_special_tokens"]))
        return self.add_tokens(added, special_tokens=True)


def _as_special(token: Any) -> AddedToken:
    return AddedToken(token, normalized=False, special=True) if isinstance(token, str) else token
