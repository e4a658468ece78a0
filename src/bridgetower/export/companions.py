"""What a checkpoint needs beside its programs: tokenizer, picture settings, names of its classes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..config import BridgeTowerConfig
from ..conversion.readers.checkpoint import read_json
from ..datasets import AnswerVocabulary
from ..datasets.arrow import ArrowTable
from ..experiment import DataSettings, parse_experiment
from ..inputs.processor import BridgeTowerImageProcessor
from ..inputs.tokenizer import BridgeTowerTokenizer
from ..inputs.transforms import build_transform
from ..inputs.transforms.geometry import MinMaxResize

__all__ = ["find_labels", "find_processor", "find_tokenizer", "trained_text_len"]

_TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "vocab.txt")
_CHECKPOINT_FOLDER = re.compile(r"checkpoint-\d+")


def _folders(source: Path) -> list[Path]:
    """The folder of a checkpoint, and for `checkpoint-N` of a training the one above it."""
    folder = source if source.is_dir() else source.parent
    return [folder, folder.parent] if _CHECKPOINT_FOLDER.fullmatch(folder.resolve().name) else [folder]


def trained_text_len(source: Path) -> int | None:
    """Tokens that the training of a checkpoint cut texts to; None where no `experiment.json` stands with it.

    Raises:
        ValueError: the file cannot be used.
    """
    for file in (folder / "experiment.json" for folder in _folders(source)):
        if file.is_file():
            data = read_json(file).get("data", {})
            return parse_experiment({"data": data}, str(file)).data.max_text_len
    return None


def find_tokenizer(source: Path, given: str | None, config: BridgeTowerConfig) -> BridgeTowerTokenizer:
    """The tokenizer of a checkpoint: the given one, or the one beside it.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it has another vocabulary than the text tower.
    """
    folder = _folders(source)[0]
    if given is None and not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise FileNotFoundError(f"{source} has no tokenizer beside it (tokenizer.json, vocab.json with merges.txt, or "
                                "vocab.txt); give --tokenizer with a folder or a name such as roberta-base")
    name = given or str(folder)
    tokenizer = BridgeTowerTokenizer.from_pretrained(name)
    text = config.text_config
    if tokenizer.vocab_size != text.vocab_size or tokenizer.pad_token_id != text.pad_token_id:
        raise ValueError(f"the tokenizer {name} has {tokenizer.vocab_size} words and padding id "
                         f"{tokenizer.pad_token_id}, the text tower of {source} {text.vocab_size} and "
                         f"{text.pad_token_id}; give --tokenizer with the one that it was trained with")
    return tokenizer


def find_processor(source: Path, given: str | None, image_size: int, num_channels: int = 3
                   ) -> BridgeTowerImageProcessor:
    """What makes pixel values of pictures: the given transform, the processor beside a checkpoint, or `clip`.

    Args:
        source: the checkpoint.
        given: name of a transform.
        image_size, num_channels: what the model reads.

    Raises:
        KeyError: an unknown transform.
        ValueError: a transform that is random, or makes no square of `image_size`.
    """
    folder = _folders(source)[0]
    stored = None
    if (folder / "preprocessor_config.json").is_file():
        stored = BridgeTowerImageProcessor.from_pretrained(folder)
    if given is None and stored is not None:
        if stored.num_channels < num_channels:
            raise ValueError(f"{folder}/preprocessor_config.json makes {stored.num_channels} channel, the model of "
                             f"{source} reads {num_channels}; put the file of the model there")
        processor = replace(stored, size=image_size, crop_size=image_size, do_center_crop=True,
                            num_channels=num_channels)
    else:  # how pictures are read before the transform stays what it was in training
        reading = {} if stored is None else {"scale_16bit": stored.scale_16bit, "apply_exif": stored.apply_exif}
        processor = BridgeTowerImageProcessor.for_transform(given or DataSettings.eval_transform, image_size,
                                                            num_channels=num_channels, **reading)
    name = processor.transform
    if name is not None and any(isinstance(step, MinMaxResize) for step in build_transform(name, image_size).steps):
        raise ValueError(f"the transform {name!r} keeps the shape of a picture, the model of {source} reads squares of "
                         f"{image_size} pixels; give --image_transform clip, vit, imagenet or blip")
    return processor


def find_labels(files: Sequence[Path], known: Mapping[int, str], num_labels: int) -> list[str] | None:
    """Names of the classes, by their ids.

    Args:
        files: a JSON file with a list of names, an object {name: id} or {id: name}; or arrow files of VQA.
        known: names that the task or the checkpoint gives.
        num_labels: classes of the model.

    Returns:
        The names, or None when nobody gives any.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file holds something else, or more names than the model has classes.
    """
    if not files:
        return _by_id(known, num_labels) if known else None
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"--labels {file} does not exist")
    if all(file.suffix == ".arrow" for file in files):
        names = AnswerVocabulary.from_tables(ArrowTable(file) for file in files).answers
    elif len(files) == 1:
        names = _names_of_json(files[0])
    else:
        raise ValueError(f"--labels {' '.join(map(str, files))}: give one JSON file, or arrow files only")
    if not names or max(names) >= num_labels or min(names) < 0:
        raise ValueError(f"--labels {files[0]} has {len(names)} names with ids up to {max(names, default=0)}, the "
                         f"model {num_labels} classes; give the labels that it was trained with")
    return _by_id(names, num_labels)


def _by_id(names: Mapping[int, str], count: int) -> list[str]:
    return [names.get(index, "unknown") for index in range(count)]


def _names_of_json(file: Path) -> dict[int, str]:
    problem = f"--labels {file} holds neither a list of names nor an object of names and ids"
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"--labels {file} is not JSON: {error}") from None
    if isinstance(values, list) and all(isinstance(name, str) for name in values):
        return dict(enumerate(values))
    if not isinstance(values, dict):
        raise ValueError(problem)
    if all(isinstance(index, int) for index in values.values()):
        return {index: name for name, index in values.items()}
    if all(key.isdecimal() and isinstance(name, str) for key, name in values.items()):
        return {int(key): name for key, name in values.items()}
    raise ValueError(problem)
