"""Text to token ids: RoBERTa byte-level BPE and BERT WordPiece with the interface of the port's fast tokenizers."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from tokenizers import Encoding as RowEncoding
from tokenizers import Tokenizer, pre_tokenizers

from ..exits import one_line
from ..files import write_json, write_text
from ..known import nearest
from ..setting_rules.ranges import shown
from .encoding import Encoding
from .hub_files import take_hub_options
from .special_tokens import SPECIAL_TOKEN_NAMES, described, token_text
from .text_options import Padding, TextOptions, check_side, rows_of
from .tokenizer_files import DEFAULT_TOKENS, Kind, frame, read_tokenizer, tokenizer_source
from .tokenizer_methods import TokenizerMethods

__all__ = ["BridgeTowerTokenizer", "EncodedTexts", "Padding"]

logger = logging.getLogger(__name__)

# Loader workers are forked after the tokenizer was used; the library's own thread pool does not survive that.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

_MODEL_MAX_LENGTH = 512
_SETTINGS = ("model_max_length", "padding_side", "truncation_side", "model_input_names",
             "clean_up_tokenization_spaces", "additional_special_tokens", "split_special_tokens")
#: Settings that the tokenizer of the library carries out; `from_pretrained` takes them.
_LIBRARY_SETTINGS = ("add_prefix_space", "trim_offsets", "errors", "do_lower_case", "strip_accents",
                     "tokenize_chinese_chars")


@dataclass(frozen=True)
class EncodedTexts:
    """Token ids of several texts, special tokens included, not padded.

    Attributes:
        ids: one list of token ids per text.
        special_tokens_mask: the same shape, 1 at the tokens that the tokenizer added.
    """

    ids: list[list[int]]
    special_tokens_mask: list[list[int]]


class BridgeTowerTokenizer(TokenizerMethods):
    """A RoBERTa or BERT tokenizer that behaves as the port's `RobertaTokenizerFast` or `BertTokenizerFast`.

    It is not a subclass of PaddleNLP's `PretrainedTokenizerFast`, whose import brings Paddle into data preparation, but
    PaddleNLP's data collators work with it.

    Attributes:
        kind: "roberta" or "bert".
        lowercase: whether texts are lower-cased.
        model_max_length: the longest text that the model takes, in tokens.
        padding_side, truncation_side: "right" or "left".
        model_input_names: the keys of what a call returns.
        clean_up_tokenization_spaces: whether `decode` removes the spaces before punctuation.
        split_special_tokens: whether special tokens in a text are treated as ordinary text.
    """

    is_fast = True

    def __init__(self, tokenizer: Tokenizer, kind: Kind, lowercase: bool = False, **settings: Any) -> None:
        """Wrap a `tokenizers.Tokenizer`.

        Args:
            tokenizer: a BPE tokenizer with RoBERTa's special tokens, or a WordPiece one with BERT's.
            kind: which of the two.
            lowercase: whether its normaliser lower-cases (recorded by `save_pretrained`).
            settings: attributes of this class, and special tokens by name.

        Raises:
            ValueError: a special token is missing from the vocabulary, or an unknown setting.
        """
        for name in settings:
            if name not in (*_SETTINGS, *SPECIAL_TOKEN_NAMES):
                raise ValueError(f"{name!r} is not a setting of the tokenizer"
                                 + nearest(name, [*_SETTINGS, *SPECIAL_TOKEN_NAMES]))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        given = {name: token_text(settings[name]) for name in SPECIAL_TOKEN_NAMES if settings.get(name)}
        super().__init__(tokenizer, kind, {**DEFAULT_TOKENS[kind], **given},
                         settings.get("additional_special_tokens") or ())
        missing = [text for text in self.all_special_tokens if tokenizer.token_to_id(text) is None]
        if missing:
            raise ValueError(f"the {kind} vocabulary has no {', '.join(missing)}; add these special tokens to it")
        if tokenizer.num_special_tokens_to_add(False) == 0:
            frame(tokenizer, kind, self._special)
        self._lock = threading.Lock()  # truncation is a state of the library's tokenizer
        self.lowercase = lowercase
        self.name_or_path = ""
        self.model_max_length = _length(settings.get("model_max_length"))
        self.padding_side: str = settings.get("padding_side") or "right"
        self.truncation_side: str = settings.get("truncation_side") or "right"
        check_side("padding_side", self.padding_side)
        check_side("truncation_side", self.truncation_side)
        self.clean_up_tokenization_spaces = bool(settings.get("clean_up_tokenization_spaces"))
        self.split_special_tokens = bool(settings.get("split_special_tokens"))
        names = ["input_ids", "attention_mask"] if kind == "roberta" else ["input_ids", "token_type_ids",
                                                                          "attention_mask"]
        self.model_input_names: list[str] = list(settings.get("model_input_names") or names)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str], **settings: Any
                        ) -> BridgeTowerTokenizer:
        """Read a folder with tokenizer.json, vocab.json and merges.txt, or vocab.txt; or fetch them from the hub.

        A vocab.txt is lower-cased when tokenizer_config.json has `do_lower_case`, or else when the name contains
        "uncased".

        Args:
            pretrained_model_name_or_path: a folder, a known name such as roberta-base, or `owner/name` on the Hugging
                Face hub.
            settings: settings of the constructor, `add_prefix_space`, `trim_offsets` (RoBERTa), `do_lower_case`,
                `strip_accents`, `tokenize_chinese_chars` (BERT) that replace those of the files; and options of the
                download (`revision`, `cache_dir`, `token`, `local_files_only`, `force_download`, `subfolder`).
                `errors` and options of other libraries (`use_fast`, ...) have no effect on fast tokenizers.

        Raises:
            FileNotFoundError: neither a folder nor a name, or files are missing.
            ValueError: a damaged file, or an unknown setting.
            ConnectionError: the download failed.
        """
        source = tokenizer_source(pretrained_model_name_or_path, take_hub_options(settings))
        known = (*_SETTINGS, *SPECIAL_TOKEN_NAMES, *_LIBRARY_SETTINGS)
        for name in settings:
            if name not in known:
                raise ValueError(f"{name!r} is not a setting of the tokenizer{nearest(name, known)}")
        try:
            stored = read_tokenizer(source, settings)
            chosen = {name: value for name, value in stored.settings.items()
                      if name in (*_SETTINGS, *SPECIAL_TOKEN_NAMES)}
            lowercase = stored.kind == "bert" and bool(getattr(stored.tokenizer.normalizer, "lowercase", False))
            tokenizer = cls(stored.tokenizer, stored.kind, lowercase, **chosen)
        except (OSError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # the library panics with an exception that is no Exception
            message = one_line(error)
            raise ValueError(message if str(source) in message else f"{source}: {message}") from error
        tokenizer.name_or_path = str(pretrained_model_name_or_path)
        return tokenizer

    def save_pretrained(self, save_directory: str | os.PathLike[str], *, filename_prefix: str | None = None
                        ) -> tuple[str, ...]:
        """Write the files that the tokenizers of the port read; their paths.

        tokenizer.json and tokenizer_config.json are for its fast tokenizers, vocab.json with merges.txt, or vocab.txt,
        for its slow ones. The latter are left out when a slow tokenizer would read other ids from them.

        Args:
            save_directory: a folder, which is made.
            filename_prefix: "mine" writes mine-tokenizer.json and so on.
        """
        target, prefix = Path(save_directory).expanduser(), f"{filename_prefix}-" if filename_prefix else ""
        config: dict[str, Any] = {name: text for name, text in self._special.items() if text}
        config["tokenizer_class"] = "RobertaTokenizer" if self.kind == "roberta" else "BertTokenizer"
        if self.kind == "roberta":
            config["add_prefix_space"] = self.add_prefix_space
        else:
            normalizer = self._tokenizer.normalizer
            config |= {"do_lower_case": self.lowercase, "strip_accents": getattr(normalizer, "strip_accents", None),
                       "tokenize_chinese_chars": getattr(normalizer, "handle_chinese_chars", True)}
        for name in _SETTINGS:
            config[name] = getattr(self, name)
        # Slow tokenizers know the tokens that were added from here alone.
        config["added_tokens_decoder"] = {str(index): described(token)
                                          for index, token in self.added_tokens_decoder.items()}
        paths = target / f"{prefix}tokenizer_config.json", target / f"{prefix}tokenizer.json"
        write_text(paths[1], self._tokenizer.to_str(pretty=True))
        write_json(paths[0], config)
        slow = self.save_vocabulary(target, filename_prefix) if self._suits_slow_tokenizers() else ()
        return (*map(str, paths), *slow)

    def _suits_slow_tokenizers(self) -> bool:
        """Whether a slow tokenizer of the port reads the same ids from the vocabulary files."""
        library = self._tokenizer
        if self.kind == "roberta":
            return isinstance(library.pre_tokenizer, pre_tokenizers.ByteLevel) and library.normalizer is None
        ids = library.get_vocab(with_added_tokens=False).values()  # a line of vocab.txt has the id of its number
        return isinstance(library.pre_tokenizer, pre_tokenizers.BertPreTokenizer) and max(ids) + 1 == len(ids)

    def save_vocabulary(self, save_directory: str | os.PathLike[str], filename_prefix: str | None = None
                        ) -> tuple[str, ...]:
        """Write vocab.json and merges.txt, or vocab.txt, without added tokens; their paths."""
        with TemporaryDirectory() as folder:
            names = [Path(path).name for path in self._tokenizer.model.save(folder, filename_prefix)]
            texts = [(Path(folder) / name).read_text(encoding="utf-8") for name in names]
        paths = [Path(save_directory).expanduser() / name for name in names]
        for path, text in zip(paths, texts, strict=True):
            write_text(path, text)
        return tuple(map(str, paths))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return (f"{type(self).__name__}(kind={self.kind!r}, size={len(self)}, model_max_length="
                f"{self.model_max_length}, special_tokens={self.special_tokens_map})")

    @property
    def vocab_size(self) -> int:
        """Number of ids of the vocabulary, without tokens that were added to it."""
        return self._tokenizer.get_vocab_size(with_added_tokens=False)

    @property
    def add_prefix_space(self) -> bool:
        """Whether the first word is encoded as if a space stood before it."""
        return bool(getattr(self._tokenizer.pre_tokenizer, "add_prefix_space", False))

    @property
    def max_len_single_sentence(self) -> int:
        """Room for a text, in tokens."""
        return self.model_max_length - self.num_special_tokens_to_add()

    @property
    def max_len_sentences_pair(self) -> int:
        """Room for the two texts of a pair, in tokens."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=True)

    def __call__(self, text: Any = None, text_pair: Any = None, text_target: Any = None, text_pair_target: Any = None,
                 **options: Any) -> Encoding:
        """Encode one text or several, or pairs of texts.

        Args:
            text: a text, a list of B texts, or a list of B pairs (tuples).
            text_pair: the second text of each.
            text_target, text_pair_target: texts whose ids become `labels`; without `text` they are encoded themselves.
            options: see `TextOptions`.

        Returns:
            `input_ids`, `attention_mask` and, for BERT, `token_type_ids`: (B, L) int64 with `return_tensors`; else
            lists, without the B for one text.

        Raises:
            ValueError: something that is no text, an unknown option, or rows of different lengths for a tensor.
        """
        if text is None and text_target is not None:
            return self._encoded(text_target, text_pair_target, options)
        encoding = self._encoded(text, text_pair, options)
        if text_target is not None:
            encoding["labels"] = self._encoded(text_target, text_pair_target, options)["input_ids"]
        return encoding

    def _encoded(self, text: Any, text_pair: Any, options: Mapping[str, Any]) -> Encoding:
        """One text or several, or pairs of texts, see `__call__`."""
        chosen = TextOptions.of(options, self.model_max_length)
        rows, is_batch = rows_of(text, text_pair, chosen.is_split_into_words)
        if chosen.is_split_into_words and self.kind == "roberta" and not self.add_prefix_space:
            raise ValueError("is_split_into_words=True needs a tokenizer with add_prefix_space=True; pass that to "
                             "from_pretrained")
        samples = self._encode(rows, chosen)
        self._pad_rows(samples, chosen)
        encodings = [each for sample in samples
                     for each in ([sample, *sample.overflowing] if chosen.return_overflowing_tokens else [sample])]
        data = self._columns(encodings, chosen)
        if chosen.return_overflowing_tokens:
            counts = [1 + len(sample.overflowing) for sample in samples]
            data["overflow_to_sample_mapping"] = np.repeat(np.arange(len(samples)), counts).tolist()
        self._warn_of_length(encodings, chosen)
        if not is_batch and chosen.return_tensors is None and not chosen.return_overflowing_tokens:
            data = {name: value[0] if isinstance(value[0], list) else value for name, value in data.items()}
        return Encoding(data, encodings, chosen.return_tensors)

    def _encode(self, rows: list[Any], options: TextOptions) -> list[RowEncoding]:
        """Rows as the library encodes them, truncated."""
        special = 0
        if options.add_special_tokens:
            special = self.num_special_tokens_to_add(any(isinstance(row, tuple) for row in rows))
        truncates, length = options.truncation != "do_not_truncate", options.max_length or 0
        if truncates and length < special:
            raise ValueError(f"max_length={length} leaves no room for the {special} special tokens; use {special + 1} "
                             "or more")
        with self._lock:
            try:
                if truncates:
                    self._tokenizer.enable_truncation(
                        length, stride=options.stride, strategy=options.truncation,
                        direction=options.truncation_side or self.truncation_side)
                splits = options.split_special_tokens
                self._tokenizer.encode_special_tokens = self.split_special_tokens if splits is None else splits
                return self._tokenizer.encode_batch(rows, options.is_split_into_words, options.add_special_tokens)
            except TypeError as error:
                raise ValueError(f"texts must be strings, or lists of words with is_split_into_words=True: {error}"
                                 ) from error
            except BaseException as error:  # the Rust side raises bare Exceptions, and panics that are not even those
                if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                    raise
                raise ValueError(f"the texts cannot be truncated by {options.truncation!r} to {length} tokens with "
                                 f"stride={options.stride}: {error}") from error
            finally:
                self._tokenizer.no_truncation()
                self._tokenizer.encode_special_tokens = False

    def _pad_rows(self, rows: list[RowEncoding], options: TextOptions) -> None:
        """Pad encoded rows in place."""
        if options.padding != "do_not_pad" and rows:
            width = options.width(max(len(row) for row in rows))
            for row in rows:
                row.pad(width, direction=options.padding_side or self.padding_side, pad_id=self._padding_id(),
                        pad_type_id=self.pad_token_type_id, pad_token=self._special["pad_token"])

    def _columns(self, rows: list[RowEncoding], options: TextOptions) -> dict[str, Any]:
        """The values of each row that were asked for, by name."""
        types, mask = options.return_token_type_ids, options.return_attention_mask
        wanted: dict[str, tuple[bool, Callable[[RowEncoding], Any]]] = {
            "input_ids": (True, lambda row: row.ids),
            "token_type_ids": ("token_type_ids" in self.model_input_names if types is None else types,
                               lambda row: row.type_ids),
            "attention_mask": ("attention_mask" in self.model_input_names if mask is None else mask,
                               lambda row: row.attention_mask),
            "special_tokens_mask": (options.return_special_tokens_mask, lambda row: row.special_tokens_mask),
            "offset_mapping": (options.return_offsets_mapping, lambda row: row.offsets),
            "length": (options.return_length, len),
        }
        return {name: [read(row) for row in rows] for name, (asked, read) in wanted.items() if asked}

    def _warn_of_length(self, rows: list[RowEncoding], options: TextOptions) -> None:
        longest = max((len(row) for row in rows), default=0)
        if options.verbose and options.max_length is None and longest > self.model_max_length:
            logger.warning("a text of %d tokens is longer than the %d that the model takes; pass truncation=True",
                           longest, self.model_max_length)

    def encode_texts(self, texts: Sequence[str | tuple[str, str]], max_length: int) -> EncodedTexts:
        """Token ids `bos ... eos` of each text, at most `max_length` of them: what the data collator needs, and fast.

        A pair of texts becomes `bos A eos eos B eos` (BERT: `bos A eos B eos`), the longer text being cut first.
        """
        if max_length < 2:
            raise ValueError(f"max_length={max_length} leaves no room for the first and last token; use 3 or more")
        is_pair = any(isinstance(text, tuple) for text in texts)
        special = self.num_special_tokens_to_add(is_pair)
        if is_pair and max_length < special + 2:
            raise ValueError(f"max_length={max_length} leaves no room for two texts; use {special + 2} or more")
        with self._lock:
            self._tokenizer.enable_truncation(max_length)
            try:
                encodings = self._tokenizer.encode_batch_fast(list(texts))
            finally:
                self._tokenizer.no_truncation()
        return EncodedTexts([each.ids for each in encodings], [each.special_tokens_mask for each in encodings])

    def pad_ids(self, rows: Sequence[Sequence[int]], width: int) -> dict[str, np.ndarray]:
        """Fill rows of ids with padding up to `width`: `input_ids` and `attention_mask`, (B, width) int64."""
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        attention_mask = np.arange(width) < lengths[:, None]
        input_ids = np.full(attention_mask.shape, self.pad_token_id, dtype=np.int64)
        if len(rows):
            input_ids[attention_mask] = np.concatenate([np.asarray(row, dtype=np.int64) for row in rows])
        return {"input_ids": input_ids, "attention_mask": attention_mask.astype(np.int64)}


def _length(value: Any) -> int:
    """The longest text that a model takes, in tokens."""
    if value is None:
        return _MODEL_MAX_LENGTH
    # What files write for "no limit" is larger than any other whole number.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value < 1e40:
        raise ValueError(f"model_max_length={shown(value)} must be a positive number of tokens")
    return int(value)
