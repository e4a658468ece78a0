"""A tokenizer.json from a stranger: what takes for ever or all memory is refused before it is built."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers

from bridgetower.inputs import BridgeTowerTokenizer
from bridgetower.preparation.train_tokenizer import train_tokenizer

CLIP = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}


@pytest.fixture(scope="module")
def stored() -> dict[str, Any]:
    """The object in a tokenizer.json of RoBERTa's kind."""
    value: dict[str, Any] = json.loads(train_tokenizer(["what color is the shape?", "a red car"] * 5, 320).to_str())
    return value


def read(folder: Path, stored: dict[str, Any], **changes: Any) -> BridgeTowerTokenizer:
    """The tokenizer of a changed file, which must be read or refused at once."""
    (folder / "tokenizer.json").write_text(json.dumps({**stored, **changes}))
    start = time.monotonic()
    try:
        return BridgeTowerTokenizer.from_pretrained(folder)
    finally:
        assert time.monotonic() - start < 30


def sequence(*parts: dict[str, Any], key: str = "normalizers") -> dict[str, Any]:
    """A sequence of parts."""
    return {"type": "Sequence", key: list(parts)}


def nested(depth: int) -> dict[str, Any]:
    """Sequences in each other."""
    part: dict[str, Any] = {"type": "NFC"}
    for _ in range(depth):
        part = sequence(part)
    return part


def pattern(kind: str, regex: str) -> dict[str, Any]:
    """A part with a regular expression."""
    more = {"content": " "} if kind == "Replace" else {"behavior": "Isolated", "invert": False}
    return {"type": kind, "pattern": {"Regex": regex}, **more}


DOUBLING = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    "nested repetition": ({"pre_tokenizer": pattern("Split", "(a+)+$")}, r"Split has the regular expression '\(a\+\)"),
    "among others": ({"pre_tokenizer": sequence(pattern("Split", "(x+x+)+y"), BYTES, key="pretokenizers")},
                     "Split has"),
    "in a normalizer": ({"normalizer": pattern("Replace", "(a|a)*b")}, "normalizer.Replace has the regular expression"),
    "in a decoder": ({"decoder": pattern("Replace", r"(\s*)*x")}, "decoder.Replace has the regular expression"),
    "long": ({"normalizer": pattern("Replace", "a?" * 10_000 + "a" * 10_000)}, "none of those that are known"),
    "doubling": ({"normalizer": sequence(*[DOUBLING] * 15)}, "replaces 'a' by something longer"),
    "nothing": ({"normalizer": {"type": "Replace", "pattern": {"String": ""}, "content": "a"}}, "replaces ''"),
    "blow up": ({"normalizer": {**DOUBLING, "content": "a" * 10**7}}, "content has 10000000 characters"),
    "prefix": ({"normalizer": {"type": "Prepend", "prepend": "a" * 10**7}}, "prepend has 10000000 characters"),
    "bytes of bytes": ({"pre_tokenizer": sequence(*[BYTES] * 12, key="pretokenizers")}, "12 of them ByteLevel"),
    "many": ({"normalizer": sequence(*[{"type": "NFKD"}] * 100_000)}, "16 parts and one ByteLevel are the most"),
    "deep": ({"normalizer": nested(300)}, "normalizer has 17 parts"),
    "unknown part": ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}}, "part 'Precompiled'"),
    "no part": ({"pre_tokenizer": [1]}, "pre_tokenizer="), "no type": ({"decoder": {}}, "decoder has a part None"),
    "frame": ({"post_processor": {"type": "TemplateProcessing", "single": [
        {"SpecialToken": {"id": "<s>", "type_id": 0}}] * 100_000, "pair": [], "special_tokens": {}}}, "100000 pieces"),
    "frame of ids": ({"post_processor": {"type": "TemplateProcessing", "single": [], "pair": [], "special_tokens": {
        "<s>": {"id": "<s>", "ids": [0] * 100_000, "tokens": ["<s>"] * 100_000}}}}, "100000 pieces"),
    "added tokens": ({"added_tokens": [{"id": 1000 + n, "content": str(n), "single_word": False, "lstrip": False,
                                        "rstrip": False, "normalized": True, "special": False}
                                       for n in range(20_000)]}, "number of added tokens=20000"),
    "vocabulary": ({"model": {"type": "BPE", "vocab": {str(n): n for n in range(600_000)}, "merges": []}},
                   "number of tokens in model.vocab=600000"),
    "long words": ({"model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                              "max_input_chars_per_word": 10**12, "vocab": {"[UNK]": 0}}}, "max_input_chars_per_word"),
}  # fmt: skip


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=[pytest.mark.slow] * (name == "vocabulary")) for name in HOSTILE])
def test_what_no_text_would_survive_is_refused(name: str, tmp_path: Path, stored: dict[str, Any]) -> None:
    changes, message = HOSTILE[name]
    with pytest.raises(ValueError, match=message) as error:
        read(tmp_path, stored, **changes)
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 1000


def clip(tokenizer: Tokenizer) -> None:
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "),
                                                 normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(CLIP), "removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])


def gpt2(tokenizer: Tokenizer) -> None:
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(GPT2), "isolated"), pre_tokenizers.ByteLevel(use_regex=False)])


def pieces(tokenizer: Tokenizer) -> None:
    tokenizer.normalizer = normalizers.Sequence([normalizers.Replace("``", '"'), normalizers.NFKD(),
                                                 normalizers.StripAccents(), normalizers.Prepend("\u2581")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])


@pytest.mark.parametrize("change", [clip, gpt2, pieces])
def test_pipelines_in_use_are_read(change: Callable[[Tokenizer], None], tmp_path: Path, stored: dict[str, Any]) -> None:
    whole = Tokenizer.from_str(json.dumps(stored))
    change(whole)
    text = "what Color  is the shape\u00b2, a\u0301?"
    tokens = read(tmp_path, json.loads(whole.to_str())).tokenize(text)
    assert tokens == whole.encode(text, add_special_tokens=False).tokens


def test_a_fixed_length_in_the_file_does_not_count(tmp_path: Path, stored: dict[str, Any]) -> None:
    padding = {"strategy": {"Fixed": 10**11}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 1,
               "pad_type_id": 0, "pad_token": "<pad>"}
    truncation = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    assert len(read(tmp_path, stored, padding=padding, truncation=truncation)("a red car")["input_ids"]) > 4


@pytest.mark.parametrize("text", ["a" * 10**5, " " * 10**5, "\ufdfa" * 10**5, "a " * 10**5, "\u0301" * 10**5])
def test_long_texts_take_a_moment(text: str, tmp_path: Path, stored: dict[str, Any]) -> None:
    tokenizer = read(tmp_path, stored)
    start = time.monotonic()
    assert len(tokenizer(text, truncation=True, max_length=10)["input_ids"]) == 10
    assert time.monotonic() - start < 20


def test_added_tokens_beside_the_file_are_bounded_too(tmp_path: Path, stored: dict[str, Any]) -> None:
    decoder = {str(1000 + n): {"content": f"t{n}"} for n in range(20_000)}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": decoder}))
    with pytest.raises(ValueError, match="number of added tokens=20000 is not between 0 and 10,000"):
        read(tmp_path, stored)
