"""Tokenizers in files: vocab.json with merges.txt, vocab.txt, or tokenizer.json, and the settings beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from ..known import TOKENIZERS
from ..setting_rules.json_files import read_json_object
from ..setting_rules.ranges import Vocabulary, checked, shown
from .hub_files import FileSource
from .special_tokens import SPECIAL_TOKEN_NAMES, token_text
from .tokenizer_parts import check_added, check_parts

__all__ = ["DEFAULT_TOKENS", "Kind", "StoredTokenizer", "frame", "read_tokenizer", "tokenizer_source"]

Kind = Literal["roberta", "bert"]

_BYTES = 256
_NEEDS = "tokenizer.json, vocab.json with merges.txt, or vocab.txt"
_FILES: dict[Kind, tuple[str, ...]] = {"roberta": ("vocab.json", "merges.txt"), "bert": ("vocab.txt",)}
#: The special tokens of each kind, by name.
DEFAULT_TOKENS: Mapping[Kind, Mapping[str, str]] = {
    "roberta": {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>",
                "mask_token": "<mask>", "cls_token": "<s>", "sep_token": "</s>"},
    "bert": {"cls_token": "[CLS]", "pad_token": "[PAD]", "sep_token": "[SEP]", "unk_token": "[UNK]",
             "mask_token": "[MASK]"},
}


#: What the settings in files may be; special tokens are strings or objects with one.
_HINTS: Mapping[str, Any] = {
    "additional_special_tokens": list[Any] | None, "model_input_names": list[str] | None,
    "added_tokens_decoder": Mapping | None, "clean_up_tokenization_spaces": bool | None,
    "add_prefix_space": bool | None, "do_lower_case": bool | None, "strip_accents": bool | None,
    "tokenize_chinese_chars": bool | None, "split_special_tokens": bool | None, "trim_offsets": bool | None,
}  # fmt: skip


@dataclass(frozen=True)
class StoredTokenizer:
    """What the files of a folder say.

    Attributes:
        tokenizer: the library's tokenizer.
        kind: how it splits words and frames texts.
        settings: those of tokenizer_config.json and special_tokens_map.json, special tokens as strings.
    """

    tokenizer: Tokenizer
    kind: Kind
    settings: dict[str, Any]


def tokenizer_source(name: Any, options: Mapping[str, Any]) -> FileSource:
    """The folder or hub repository of a tokenizer; known names stand for their repositories.

    Raises:
        FileNotFoundError: neither a folder nor a name on the hub.
    """
    if str(name) in TOKENIZERS and not Path(name).is_dir():
        tokenizer = TOKENIZERS[str(name)]
        return FileSource(name, " and ".join(_FILES[tokenizer.kind]), tokenizer.hub, options)
    try:
        return FileSource(name, _NEEDS, None, options)
    except FileNotFoundError:
        names = ", ".join(TOKENIZERS)
        raise FileNotFoundError(f"tokenizer {str(name)!r} is neither a folder nor one of {names}, nor a name on the "
                                f"Hugging Face hub (owner/name); pass a folder with {_NEEDS}") from None


def read_tokenizer(source: FileSource, changes: Mapping[str, Any]) -> StoredTokenizer:
    """Read a tokenizer and its settings.

    Args:
        source: where the files are.
        changes: settings that replace those of the files.

    Raises:
        FileNotFoundError: files are missing.
        ValueError: a damaged file, or another kind of tokenizer.
        ConnectionError: the download failed.
    """
    is_known = source.folder is None and source.name in TOKENIZERS
    settings = {**({} if is_known else _read_settings(source)), **changes}
    path = None if is_known else source.find("tokenizer.json")
    if path is not None:
        tokenizer, kind = _from_tokenizer_json(path)
    elif (vocabulary := source.find("vocab.json")) and (merges := source.find("merges.txt")):
        tokenizer, kind = _byte_level_bpe(vocabulary, merges, _tokens("roberta", settings)), "roberta"
    elif vocabulary_text := source.find("vocab.txt"):
        settings.setdefault("do_lower_case", "uncased" in source.name or (
            source.folder is not None and "uncased" in source.folder.resolve().name))
        tokenizer, kind = _word_piece(vocabulary_text, settings, _tokens("bert", settings)), "bert"
    else:
        raise FileNotFoundError(f"{source} holds no tokenizer: expected {_NEEDS}")
    # A tokenizer.json holds its added tokens; old folders have them in a file of their own.
    _add_tokens(tokenizer, kind, settings, {} if is_known or path else _read_object(source, "added_tokens.json"))
    _apply(tokenizer, kind, settings)
    _check_ids(tokenizer)
    return StoredTokenizer(tokenizer, kind, settings)


def _check_ids(tokenizer: Tokenizer) -> None:
    """Refuse a vocabulary with gaps, and a frame of ids that it does not have: no embedding table would hold them.

    Raises:
        ValueError: there are such ids, or too many.
    """
    ids = set(tokenizer.get_vocab(with_added_tokens=True).values())
    if not ids or max(ids) + 1 != len(ids):
        raise ValueError(f"the vocabulary is damaged: it has {len(ids)} ids, the largest is {max(ids, default=None)}; "
                         "they must be 0, 1, 2 and so on")
    checked(len(ids), Vocabulary, "number of tokens")
    strange = set(tokenizer.encode("").ids) - ids
    if strange:
        raise ValueError(f"the tokenizer is damaged: it frames texts with {sorted(strange)}, ids of no token")


def frame(tokenizer: Tokenizer, kind: Kind, tokens: Mapping[str, str | None]) -> None:
    """Give a tokenizer that adds no special tokens those of its kind: `bos A eos`, `bos A eos eos B eos` (RoBERTa)."""
    first, last = ((str(tokens[name]), tokenizer.token_to_id(str(tokens[name]))) for name in ("cls_token", "sep_token"))
    if kind == "roberta":
        tokenizer.post_processor = processors.RobertaProcessing(last, first, trim_offsets=True, add_prefix_space=False)
    else:
        tokenizer.post_processor = processors.BertProcessing(last, first)


def _read_settings(source: FileSource) -> dict[str, Any]:
    """The settings in all files, as transformers 4 and 5 write them; special tokens as strings."""
    settings = _read_object(source, "tokenizer_config.json")
    tokens = _read_object(source, "special_tokens_map.json")
    nested = _read_object(source, "processor_config.json").get("tokenizer") if not settings else None
    merged = {**(nested if isinstance(nested, dict) else {}), **settings}
    # The map of old files tells what was changed later; newer files have it all in the settings.
    merged = {**tokens, **merged} if "added_tokens_decoder" in settings else {**merged, **tokens}
    extra = merged.pop("extra_special_tokens", None) or []  # the name in transformers 5
    further = merged.get("additional_special_tokens") or (extra.values() if isinstance(extra, dict) else extra)
    for name, hint in _HINTS.items():
        if name in merged:
            checked(merged[name], hint, name)
    merged["additional_special_tokens"] = [token_text(token) for token in further]
    return {name: token_text(value) if name in SPECIAL_TOKEN_NAMES else value for name, value in merged.items()}


def _read_object(source: FileSource, file: str) -> dict[str, Any]:
    """The object in a JSON file; empty when there is no such file."""
    path = source.find(file)
    return {} if path is None else read_json_object(path)


def _tokens(kind: Kind, settings: Mapping[str, Any]) -> dict[str, str]:
    return {name: settings.get(name) or default for name, default in DEFAULT_TOKENS[kind].items()}


def _from_tokenizer_json(path: Path) -> tuple[Tokenizer, Kind]:
    stored = read_json_object(path)
    for token in checked(stored.get("added_tokens"), list[Any] | None, "added_tokens") or ():
        token_text(token)
    check_parts(stored)
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the Rust side raises bare Exceptions
        raise ValueError(f"{path} is not a tokenizer file: {error}") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if isinstance(tokenizer.model, models.BPE):
        return tokenizer, "roberta"
    if isinstance(tokenizer.model, models.WordPiece):
        return tokenizer, "bert"
    raise ValueError(f"{path} holds a {type(tokenizer.model).__name__} model; BridgeTower reads BPE or WordPiece")


def _byte_level_bpe(vocabulary: Path, merges: Path, tokens: Mapping[str, str]) -> Tokenizer:
    """RoBERTa's pipeline around a BPE model; a missing mask token becomes the last id."""
    ids = read_json_object(vocabulary)
    for token, index in ids.items():
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(ids):
            raise ValueError(f"{vocabulary} is damaged: the id of token {shown(token)} is {shown(index)}, not one of 0 "
                             f"to {len(ids) - 1}")
    if len(ids) > _BYTES + len(tokens) and not merges.read_bytes().strip():
        raise ValueError(f"{merges} is damaged: it is empty, but {vocabulary} has tokens of several bytes")
    try:
        model = models.BPE.from_file(str(vocabulary), str(merges))
    except Exception as error:  # see above; the vocabulary is in order
        raise ValueError(f"{merges} is damaged, or belongs to another vocab.json: {error}") from error
    tokenizer = Tokenizer(model)
    # Splitting does not strip: only `<mask>` swallows the space before it, as in the original tokenizer.
    plain = [tokens[name] for name in ("bos_token", "pad_token", "eos_token", "unk_token", "cls_token", "sep_token")]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in dict.fromkeys(plain)])
    tokenizer.add_special_tokens([AddedToken(tokens["mask_token"], lstrip=True, normalized=False)])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    frame(tokenizer, "roberta", tokens)
    return tokenizer


def _word_piece(vocabulary: Path, settings: Mapping[str, Any], tokens: Mapping[str, str]) -> Tokenizer:
    """BERT's pipeline around a vocab.txt."""
    try:
        words = vocabulary.read_text(encoding="utf-8").splitlines()
    except ValueError as error:
        raise ValueError(f"{vocabulary} is damaged: {error}") from error
    model = models.WordPiece({token: index for index, token in enumerate(words)}, unk_token=tokens["unk_token"],
                             max_input_chars_per_word=100)
    tokenizer = Tokenizer(model)
    known = [token for token in tokens.values() if tokenizer.token_to_id(token) is not None]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in known])
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=bool(settings["do_lower_case"]))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    if tokens["cls_token"] in known and tokens["sep_token"] in known:
        frame(tokenizer, "bert", tokens)
    return tokenizer


def _add_tokens(tokenizer: Tokenizer, kind: Kind, settings: Mapping[str, Any], added: Mapping[str, Any]) -> None:
    """Add the tokens that the settings have and the vocabulary has not, in the order of their ids."""
    decoder = settings.get("added_tokens_decoder") or {}
    stored = {int(index): token for index, token in decoder.items()} if isinstance(decoder, dict) else {}
    stored |= {int(index): {"content": text} for text, index in added.items() if int(index) not in stored}
    check_added(len(stored))
    options = ("single_word", "lstrip", "rstrip", "normalized", "special")
    for _, token in sorted(stored.items()):
        if tokenizer.token_to_id(str(token_text(token))) is None:
            flags = {name: token[name] for name in options if isinstance(token, Mapping) and name in token}
            wrapped = AddedToken(str(token_text(token)), **flags)
            (tokenizer.add_special_tokens if wrapped.special else tokenizer.add_tokens)([wrapped])
    named = [(name, settings.get(name)) for name in SPECIAL_TOKEN_NAMES]
    named += [("", text) for text in settings.get("additional_special_tokens") or ()]
    for name, text in named:
        if text and tokenizer.token_to_id(text) is None:
            swallows_space = kind == "roberta" and name == "mask_token"
            tokenizer.add_special_tokens([AddedToken(text, lstrip=swallows_space, normalized=False)])


def _apply(tokenizer: Tokenizer, kind: Kind, settings: Mapping[str, Any]) -> None:
    """Bring a tokenizer in line with settings that files state beside it; what they do not state stays."""
    if kind == "bert" and isinstance(tokenizer.normalizer, normalizers.BertNormalizer):
        names = {"do_lower_case": "lowercase", "strip_accents": "strip_accents",
                 "tokenize_chinese_chars": "handle_chinese_chars"}
        for name, attribute in names.items():
            if name in settings and (settings[name] is not None or name == "strip_accents"):
                setattr(tokenizer.normalizer, attribute, settings[name])
    if kind == "roberta" and isinstance(tokenizer.pre_tokenizer, pre_tokenizers.ByteLevel):
        if settings.get("add_prefix_space") is not None:
            tokenizer.pre_tokenizer.add_prefix_space = settings["add_prefix_space"]
            if isinstance(tokenizer.post_processor, processors.RobertaProcessing):
                tokenizer.post_processor.add_prefix_space = settings["add_prefix_space"]
        trims = settings.get("trim_offsets")
        if trims is not None and isinstance(tokenizer.post_processor, processors.RobertaProcessing):
            tokenizer.post_processor.trim_offsets = trims
