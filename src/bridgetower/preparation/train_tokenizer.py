"""Trains a byte-level BPE tokenizer in the style of RoBERTa on the texts of arrow files."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from ..files import FileSet
from .arrow_input import arrow_files, open_arrow
from .schemas import TEXT_COLUMNS
from .tables import PreparationError

logger = logging.getLogger(__name__)

LEADING_TOKENS = ("<s>", "<pad>", "</s>", "<unk>")  # ids 0 to 3, as in RoBERTa
MASK_TOKEN = "<mask>"  # the last id, as in RoBERTa
BYTES = 256


def read_texts(files: Iterable[Path]) -> Iterator[str]:
    """Every caption, question or hypothesis of some arrow files, in file and row order.

    Raises:
        PreparationError: a file is not an arrow file or has no text column.
    """
    for path in files:
        with open_arrow(path) as file:
            column = next((name for name in TEXT_COLUMNS if name in file.schema.names), None)
            if column is None:
                raise PreparationError(f"{path}: none of the columns {', '.join(TEXT_COLUMNS)}")
            for index in range(file.num_record_batches):
                for texts in file.get_batch(index).column(column):
                    yield from (text if isinstance(text, str) else text[1] for text in texts.as_py())


def _has_texts(path: Path) -> bool:
    with open_arrow(path) as file:
        return not {*TEXT_COLUMNS}.isdisjoint(file.schema.names)


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Train a tokenizer whose sequences are `<s> ... </s>`; the same texts give the same tokenizer.

    Args:
        texts: what to learn the merges from.
        vocab_size: largest number of ids; there are fewer when the texts have no more pairs that occur twice.

    Raises:
        PreparationError: `vocab_size` has no room for the bytes and the special tokens.
    """
    special = (*LEADING_TOKENS, MASK_TOKEN)
    if vocab_size < BYTES + len(special):
        raise PreparationError(
            f"--vocab_size {vocab_size}: at least {BYTES + len(special)} are needed for the bytes and special tokens"
        )
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 1,  # the mask token comes last
        min_frequency=2,
        special_tokens=list(LEADING_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    trained.train_from_iterator(texts, trainer)
    model = json.loads(trained.to_str())["model"]
    vocabulary = {**model["vocab"], MASK_TOKEN: len(model["vocab"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [tuple(merge) for merge in model["merges"]]))
    tokenizer.pre_tokenizer = trained.pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(
        sep=("</s>", vocabulary["</s>"]), cls=("<s>", vocabulary["<s>"]), add_prefix_space=False
    )
    # A mask swallows the space before it, as that space belongs to the word which it hides.
    tokenizer.add_special_tokens([*LEADING_TOKENS, AddedToken(MASK_TOKEN, lstrip=True)])
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, output: Path) -> None:
    """Write `tokenizer.json`, `vocab.json`, `merges.txt` and `tokenizer_config.json`."""
    config = {
        "tokenizer_class": "RobertaTokenizer",
        "bos_token": "<s>",
        "cls_token": "<s>",
        "pad_token": "<pad>",
        "eos_token": "</s>",
        "sep_token": "</s>",
        "unk_token": "<unk>",
        "mask_token": MASK_TOKEN,
        "add_prefix_space": False,
        "model_max_length": 512,
    }
    with TemporaryDirectory() as folder, FileSet() as files:
        for path in map(Path, tokenizer.model.save(folder)):
            files.copy(path, output / path.name)
        files.text(output / "tokenizer.json", tokenizer.to_str(pretty=True))
        files.text(output / "tokenizer_config.json", json.dumps(config, ensure_ascii=False) + "\n")


def prepare_tokenizer(sources: Iterable[Path], output: Path, vocab_size: int) -> Tokenizer:
    """Train a tokenizer on arrow files and save it; in a folder, test splits and tables of pictures alone are left out.

    Raises:
        PreparationError: see `arrow_files`, `read_texts` and `train_tokenizer`.
    """
    sources = list(sources)
    files = [path for path in arrow_files(sources) if path in sources or "test" not in path.stem.split("_")]
    files = [path for path in files if path in sources or _has_texts(path)] or files
    logger.info("training the tokenizer on %s", ", ".join(path.name for path in files))
    tokenizer = train_tokenizer(read_texts(files), vocab_size)
    save_tokenizer(tokenizer, output)
    return tokenizer
