"""Text to token ids: RoBERTa byte-level BPE and BERT WordPiece behind one small interface."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from ..files import write_json, write_text
from ..known import TOKENIZERS

__all__ = ["BridgeTowerTokenizer", "EncodedTexts"]

Kind = Literal["roberta", "bert"]
Padding = Literal["longest", "max_length"]

# Loader workers are forked after the tokenizer was used; the library's own thread pool does not survive that.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

_FILES: dict[Kind, tuple[str, ...]] = {"roberta": ("vocab.json", "merges.txt"), "bert": ("vocab.txt",)}
#: bos, pad, eos, unk, mask of each kind. BERT names its first and last token [CLS] and [SEP].
_SPECIAL_TOKENS: dict[Kind, tuple[str, str, str, str, str]] = {
    "roberta": ("<s>", "<pad>", "</s>", "<unk>", "<mask>"),
    "bert": ("[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"),
}
_MODEL_MAX_LENGTH = 512
_WORD_START = "Ġ"  # how byte-level BPE writes a leading space


@dataclass(frozen=True)
class EncodedTexts:
    """Token ids of several texts, special tokens included, not padded.

    Attributes:
        ids: one list of token ids per text.
        special_tokens_mask: the same shape, 1 at the tokens that the tokenizer added.
    """

    ids: list[list[int]]
    special_tokens_mask: list[list[int]]


class BridgeTowerTokenizer:
    """A RoBERTa or BERT tokenizer with the ids that the model and the collator need.

    Attributes:
        kind: "roberta" or "bert".
        vocab_size: number of ids, special tokens included.
        bos_token_id, pad_token_id, eos_token_id, unk_token_id, mask_token_id: special ids.
    """

    def __init__(self, tokenizer: Tokenizer, kind: Kind, lowercase: bool = False) -> None:
        """Wrap a `tokenizers.Tokenizer`.

        Args:
            tokenizer: a BPE tokenizer with RoBERTa's special tokens, or a WordPiece one with BERT's.
            kind: which of the two.
            lowercase: whether its normaliser lower-cases (recorded by `save_pretrained`).

        Raises:
            ValueError: a special token is missing from the vocabulary.
        """
        tokenizer.no_padding()
        tokenizer.no_truncation()
        ids = {token: tokenizer.token_to_id(token) for token in _SPECIAL_TOKENS[kind]}
        missing = [token for token, index in ids.items() if index is None]
        if missing:
            raise ValueError(f"the {kind} vocabulary has no {', '.join(missing)}; add these special tokens to it")
        self._tokenizer = tokenizer
        self._continuations: np.ndarray | None = None
        self.kind: Kind = kind
        self.lowercase = lowercase
        self.vocab_size: int = tokenizer.get_vocab_size(with_added_tokens=True)
        self.bos_token_id, self.pad_token_id, self.eos_token_id, self.unk_token_id, self.mask_token_id = ids.values()

    @classmethod
    def from_pretrained(cls, name_or_folder: str | os.PathLike[str]) -> BridgeTowerTokenizer:
        """Read a folder with tokenizer.json, vocab.json and merges.txt, or vocab.txt; or fetch a known name.

        A vocab.txt is lower-cased when tokenizer_config.json has `do_lower_case`, or else when the folder's name
        contains "uncased".

        Raises:
            FileNotFoundError: neither a folder nor a known name, or the folder lacks the files.
            ConnectionError: a known name that could not be downloaded.
        """
        folder = Path(name_or_folder).expanduser()
        if not folder.is_dir():
            folder = _download(str(name_or_folder))
        if (folder / "tokenizer.json").is_file():
            return _from_tokenizer_json(folder / "tokenizer.json")
        if all((folder / file).is_file() for file in _FILES["roberta"]):
            return cls(_byte_level_bpe(models.BPE.from_file(*(str(folder / file) for file in _FILES["roberta"]))),
                       "roberta")
        if (folder / "vocab.txt").is_file():
            lowercase = _lowercases(folder, str(name_or_folder))
            return cls(_word_piece(folder / "vocab.txt", lowercase), "bert", lowercase)
        raise FileNotFoundError(
            f"{folder} holds no tokenizer: expected tokenizer.json, vocab.json with merges.txt, or vocab.txt"
        )

    def __len__(self) -> int:
        return self.vocab_size

    def encode(self, texts: Sequence[str | tuple[str, str]], max_length: int) -> EncodedTexts:
        """Token ids `bos ... eos` of each text, at most `max_length` of them (the end of the text is cut off).

        A pair of texts becomes `bos A eos eos B eos` (BERT: `bos A eos B eos`), the longer text being cut first.
        """
        if max_length < 2:
            raise ValueError(f"max_length={max_length} leaves no room for the first and last token; use 3 or more")
        is_pair = any(isinstance(text, tuple) for text in texts)
        special = self._tokenizer.num_special_tokens_to_add(is_pair)
        if is_pair and max_length < special + 2:
            raise ValueError(f"max_length={max_length} leaves no room for two texts; use {special + 2} or more")
        self._tokenizer.enable_truncation(max_length, strategy="longest_first")
        try:
            encodings = self._tokenizer.encode_batch_fast(list(texts))
        finally:
            self._tokenizer.no_truncation()
        return EncodedTexts([each.ids for each in encodings], [each.special_tokens_mask for each in encodings])

    def __call__(
        self,
        text: str | Sequence[str],
        padding: bool | Padding = False,
        truncation: bool = False,
        max_length: int | None = None,
    ) -> dict[str, np.ndarray]:
        """Encode one text or several as `input_ids` and `attention_mask`, both (B, L) int64.

        Args:
            text: one text (B = 1) or B texts.
            padding: True or "longest" pads to the longest text, "max_length" to `max_length`, False not at all.
            truncation: cut texts longer than `max_length`.
            max_length: in tokens, special tokens included; 512 by default.

        Raises:
            ValueError: texts of different length without padding, or an unknown kind of padding.
        """
        if padding not in (False, True, "longest", "max_length"):
            raise ValueError(f"padding={padding!r} is unknown; use False, True, 'longest' or 'max_length'")
        texts = [text] if isinstance(text, str) else list(text)
        limit = _MODEL_MAX_LENGTH if max_length is None else max_length
        rows = self.encode(texts, limit if truncation else np.iinfo(np.int32).max).ids
        lengths = {len(row) for row in rows}
        if padding is False and len(lengths) > 1:
            raise ValueError(f"texts of {len(lengths)} different lengths do not form an array; pass padding=True")
        width = max(lengths, default=0)
        if padding == "max_length":
            width = max(width, limit)
        return self.pad(rows, width)

    def pad(self, rows: Sequence[Sequence[int]], width: int) -> dict[str, np.ndarray]:
        """Fill rows of ids with padding up to `width`: `input_ids` and `attention_mask`, (B, width) int64."""
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        attention_mask = np.arange(width) < lengths[:, None]
        input_ids = np.full(attention_mask.shape, self.pad_token_id, dtype=np.int64)
        if len(rows):
            input_ids[attention_mask] = np.concatenate([np.asarray(row, dtype=np.int64) for row in rows])
        return {"input_ids": input_ids, "attention_mask": attention_mask.astype(np.int64)}

    def is_continuation(self, ids: np.ndarray) -> np.ndarray:
        """Whether each id continues the word of the id before it (any shape in, the same shape out, bool)."""
        if self._continuations is None:
            table = np.zeros(self.vocab_size, dtype=bool)
            for token, index in self._tokenizer.get_vocab(with_added_tokens=True).items():
                inside = token.startswith("##") if self.kind == "bert" else not token.startswith(_WORD_START)
                table[index] = inside and token not in _SPECIAL_TOKENS[self.kind]
            self._continuations = table
        return self._continuations[ids]

    def decode(self, ids: Sequence[int] | np.ndarray, skip_special_tokens: bool = False) -> str:
        """The text of one row of ids."""
        return self._tokenizer.decode([int(index) for index in ids], skip_special_tokens=skip_special_tokens)

    def batch_decode(
        self, rows: Sequence[Sequence[int]] | np.ndarray, skip_special_tokens: bool = False
    ) -> list[str]:
        """The texts of several rows of ids."""
        return [self.decode(row, skip_special_tokens) for row in rows]

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write tokenizer.json and tokenizer_config.json, which Hugging Face's fast tokenizers read as well."""
        target = Path(folder).expanduser()
        bos, pad, eos, unk, mask = _SPECIAL_TOKENS[self.kind]
        config: dict[str, object] = {"pad_token": pad, "unk_token": unk, "mask_token": mask}
        if self.kind == "roberta":
            config |= {"tokenizer_class": "RobertaTokenizer", "bos_token": bos, "eos_token": eos, "cls_token": bos,
                       "sep_token": eos, "add_prefix_space": False}
        else:
            config |= {"tokenizer_class": "BertTokenizer", "cls_token": bos, "sep_token": eos,
                       "do_lower_case": self.lowercase}
        config["model_max_length"] = _MODEL_MAX_LENGTH
        write_text(target / "tokenizer.json", self._tokenizer.to_str(pretty=True))
        write_json(target / "tokenizer_config.json", config)


def _from_tokenizer_json(path: Path) -> BridgeTowerTokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the Rust side raises bare Exceptions
        raise ValueError(f"{path} is not a tokenizer file: {error}") from error
    if isinstance(tokenizer.model, models.BPE):
        return BridgeTowerTokenizer(tokenizer, "roberta")
    if isinstance(tokenizer.model, models.WordPiece):
        return BridgeTowerTokenizer(tokenizer, "bert", bool(getattr(tokenizer.normalizer, "lowercase", False)))
    raise ValueError(f"{path} holds a {type(tokenizer.model).__name__} model; BridgeTower reads BPE or WordPiece")


def _byte_level_bpe(model: models.BPE) -> Tokenizer:
    """RoBERTa's pipeline around a BPE model; a missing mask token becomes the last id."""
    tokenizer = Tokenizer(model)
    bos, pad, eos, unk, mask = _SPECIAL_TOKENS["roberta"]
    # Splitting does not strip: only `<mask>` swallows the space before it, as in the original tokenizer.
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in (bos, pad, eos, unk)])
    tokenizer.add_special_tokens([AddedToken(mask, lstrip=True, normalized=False)])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(
        (eos, tokenizer.token_to_id(eos)), (bos, tokenizer.token_to_id(bos)), trim_offsets=True, add_prefix_space=False
    )
    return tokenizer


def _word_piece(vocabulary: Path, lowercase: bool) -> Tokenizer:
    """BERT's pipeline around a vocab.txt."""
    tokens = vocabulary.read_text(encoding="utf-8").splitlines()
    model = models.WordPiece({token: index for index, token in enumerate(tokens)}, unk_token="[UNK]",
                             max_input_chars_per_word=100)
    tokenizer = Tokenizer(model)
    known = [token for token in _SPECIAL_TOKENS["bert"] if token in tokens]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in known])
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    if "[SEP]" in known and "[CLS]" in known:
        tokenizer.post_processor = processors.BertProcessing(
            ("[SEP]", tokenizer.token_to_id("[SEP]")), ("[CLS]", tokenizer.token_to_id("[CLS]"))
        )
    return tokenizer


def _lowercases(folder: Path, name: str) -> bool:
    config = folder / "tokenizer_config.json"
    if config.is_file():
        setting = json.loads(config.read_text(encoding="utf-8")).get("do_lower_case")
        if setting is not None:
            return bool(setting)
    return "uncased" in name or "uncased" in folder.resolve().name


def _download(name: str) -> Path:
    """Fetch a known tokenizer into the hub's cache; the folder that holds its files."""
    if name not in TOKENIZERS:
        raise FileNotFoundError(
            f"tokenizer {name!r} is neither a folder nor one of {', '.join(TOKENIZERS)}; "
            "pass a folder with tokenizer.json, vocab.json with merges.txt, or vocab.txt"
        )
    repository, kind = TOKENIZERS[name].hub, TOKENIZERS[name].kind
    from huggingface_hub import hf_hub_download  # slow to import, and only needed here

    try:
        return Path([hf_hub_download(repository, file) for file in _FILES[kind]][0]).parent
    except Exception as error:  # the client raises a dozen unrelated types for "no network"
        raise ConnectionError(
            f"cannot download tokenizer {name!r} ({repository}): {error}; "
            f"without network pass a folder that holds {' and '.join(_FILES[kind])}"
        ) from error
