"""What a tokenizer.json may be made of, so that no text takes much longer or gets much larger than its length says.

The library runs what the file asks for. A regular expression may take for ever on one text, a hundred replacements may
each double it, and a fixed padding may have any length. Known expressions are allowed by name, the rest by size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, get_args

from ..setting_rules.ranges import Range, Vocabulary, checked, shown

__all__ = ["check_added", "check_parts"]

_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|"
#: Regular expressions of tokenizers that are in use: each reads a text once.
_PATTERNS = frozenset((
    r"\s+", r"\s", r" {2,}", r"\s{2,}", r"[\r\n]", r"\d", r"\p{N}", r"\p{P}",
    _WORDS + r" ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",  # GPT-2, RoBERTa
    _WORDS + r"[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",  # CLIP
    r"<\|startoftext\|>|<\|endoftext\|>|" + _WORDS + r"[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
    r"\s+(?!\S)|\s+",
))  # fmt: skip
_KINDS: Mapping[str, frozenset[str]] = {
    "normalizer": frozenset(("BertNormalizer", "ByteLevel", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Prepend",
                             "Replace", "Sequence", "Strip", "StripAccents")),
    "pre_tokenizer": frozenset(("BertPreTokenizer", "ByteLevel", "CharDelimiterSplit", "Digits", "Metaspace",
                                "Punctuation", "Sequence", "Split", "UnicodeScripts", "Whitespace",
                                "WhitespaceSplit")),
    "post_processor": frozenset(("BertProcessing", "ByteLevel", "RobertaProcessing", "Sequence",
                                 "TemplateProcessing")),
    "decoder": frozenset(("BPEDecoder", "ByteFallback", "ByteLevel", "Fuse", "Metaspace", "Replace", "Sequence",
                          "Strip", "WordPiece")),
}
_MOST_PARTS = 16
_LONGEST_TEMPLATE = 16
_MOST_TOKENS = get_args(Vocabulary)[1].most
_MOST_ADDED = 10_000
_LONGEST_TEXT = 100  # of a replacement or prefix
#: WordPiece tries all parts of a word.
_LONGEST_WORD = Range(1, 1000)


def check_parts(stored: Mapping[str, Any]) -> None:
    """Refuse what could make reading a tokenizer, or a text with it, take for ever or all memory.

    Args:
        stored: the object in a tokenizer.json.

    Raises:
        ValueError: the message names the part.
    """
    for section, kinds in _KINDS.items():
        parts = list(_parts(stored.get(section), section))
        names = [part.get("type") for part in parts]
        if len(parts) > _MOST_PARTS or names.count("ByteLevel") > 1:
            raise ValueError(f"{section} has {len(parts)} parts, {names.count('ByteLevel')} of them ByteLevel; "
                             f"{_MOST_PARTS} parts and one ByteLevel are the most")
        for part in parts:
            if part.get("type") not in kinds:
                raise ValueError(f"{section} has a part {shown(part.get('type'))}; those that are read are "
                                 f"{', '.join(sorted(kinds))}")
            _check_pattern(part, section)
            _check_template(part, section)
    model = stored.get("model")
    model = model if isinstance(model, Mapping) else {}  # the library says that it is none
    words = model.get("max_input_chars_per_word")
    if isinstance(words, int) and words not in _LONGEST_WORD:
        raise ValueError(f"model.max_input_chars_per_word={shown(words)} is not {_LONGEST_WORD}")
    if isinstance(model.get("vocab"), (list, Mapping)):
        checked(len(model["vocab"]), Annotated[int, Range(0, _MOST_TOKENS)], "number of tokens in model.vocab")
    if isinstance(stored.get("added_tokens"), list):
        check_added(len(stored["added_tokens"]))


def check_added(count: int) -> None:
    """Refuse more added tokens than can be added in seconds: the time grows with the square of their number.

    Raises:
        ValueError: there are more.
    """
    checked(count, Annotated[int, Range(0, _MOST_ADDED)], "number of added tokens")


def _parts(part: Any, section: str) -> Iterator[Mapping[str, Any]]:
    """A part and those inside of it, the first few too many at most."""
    waiting, count = [part] if part is not None else [], 0
    while waiting and count <= _MOST_PARTS:
        part, count = checked(waiting.pop(), Mapping, section), count + 1
        yield part
        for name in ("normalizers", "pretokenizers", "processors", "decoders"):
            if isinstance(part.get(name), list):
                waiting += part[name]


def _check_pattern(part: Mapping[str, Any], section: str) -> None:
    name = f"{section}.{part['type']}"
    for key in ("content", "prepend"):
        if isinstance(part.get(key), str) and len(part[key]) > _LONGEST_TEXT:
            raise ValueError(f"{name}.{key} has {len(part[key])} characters; {_LONGEST_TEXT} are the most")
    pattern = part.get("pattern")
    if part["type"] not in ("Split", "Replace") or not isinstance(pattern, Mapping):
        return  # the library says that it is no pattern
    expression, text = pattern.get("Regex"), pattern.get("String")
    if expression is not None and expression not in _PATTERNS:
        raise ValueError(f"{name} has the regular expression {shown(expression)}, which is none of those "
                         "that are known to read a text once; use the one of RoBERTa or CLIP, or a String")
    if text == "" or (isinstance(text, str) and len(part.get("content") or "") > max(len(text), 1)):
        raise ValueError(f"{name} replaces {shown(text)} by something longer; no more characters than there were")


def _check_template(part: Mapping[str, Any], section: str) -> None:
    tokens = part.get("special_tokens")
    pieces = [len(each.get("ids") or ()) for each in tokens.values() if isinstance(each, Mapping)
              and isinstance(each.get("ids"), list)] if isinstance(tokens, Mapping) else []
    pieces += [len(part[key]) for key in ("single", "pair") if isinstance(part.get(key), list)]
    if max(pieces, default=0) > _LONGEST_TEMPLATE:
        raise ValueError(f"{section}.{part['type']} frames a text with {max(pieces)} pieces; {_LONGEST_TEMPLATE} are "
                         "the most")
