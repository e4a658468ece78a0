"""Conceptual Captions, CC12M and SBU: millions of images from the web with one caption each, in numbered files."""

from __future__ import annotations

import csv
import io
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import chain, islice, zip_longest
from pathlib import Path

import pyarrow as pa

from ..datasets.shard_table import ShardTable, open_shards
from . import splits
from .json_stream import stream_array
from .schemas import CAPTIONS
from .tables import (
    PreparationError,
    Row,
    Settings,
    Table,
    caption_rows,
    list_images,
    shuffled,
)
from .text_files import open_text, read_lines

logger = logging.getLogger(__name__)

_CC_TSV = {"train": "Train_GCC-training.tsv", "val": "Validation_GCC-1.1.0-Validation.tsv"}
_CAPTION_NAMES, _LINK_NAMES = ("caption", "captions", "text", "title"), ("url", "urls", "image_url", "link", "image")
_TEXTS_PER_ARRAY = 100_000
_MAX_FIELD = 1 << 30  # an unbalanced quote may make a field of many lines


class PackedTexts:
    """A list of texts that takes little more memory than their characters."""

    def __init__(self, texts: Iterable[str]) -> None:
        iterator = iter(texts)
        self._arrays: list[pa.Array] = []
        while chunk := list(islice(iterator, _TEXTS_PER_ARRAY)):
            self._arrays.append(pa.array(chunk, pa.string()))

    def __len__(self) -> int:
        return sum(map(len, self._arrays))

    def __getitem__(self, index: int) -> str:
        return self._arrays[index // _TEXTS_PER_ARRAY][index % _TEXTS_PER_ARRAY].as_py()


def read_tsv_captions(path: Path, raw: bool = False) -> PackedTexts:
    """The first column of a tab-separated file without a header, as text whatever it looks like.

    Args:
        path: the file.
        raw: every line is a row, split at its tabs. The default reads quotes as CSV does, so that an unbalanced one
            joins lines: the numbers of images that were downloaded by such row numbers depend on it.

    Raises:
        PreparationError: the file is missing, cannot be read as CSV, or begins with column names.
    """
    try:
        with io.TextIOWrapper(open_text(path), encoding="utf-8", newline="\n" if raw else "") as file:
            first = file.readline()
            _refuse_header(path, first)
            lines = chain([first] if first else [], file)
            if raw:
                return PackedTexts(line.rstrip("\r\n").partition("\t")[0] for line in lines)
            csv.field_size_limit(_MAX_FIELD)
            reader = csv.reader(lines, delimiter="\t")
            captions = PackedTexts(row[0] for row in reader if row and (len(row) > 1 or not row[0].isspace()))
            if len(captions) < reader.line_num:
                logger.warning(
                    "%s: quotes and empty lines make %d rows of %d lines; if your images are numbered by line, "
                    "give --raw_tsv",
                    path,
                    len(captions),
                    reader.line_num,
                )
            return captions
    except (OSError, csv.Error) as error:
        raise PreparationError(f"{path}: cannot be read as tab-separated text: {error}") from error


def _refuse_header(path: Path, line: str) -> None:
    """Refuse column names in the first line: every picture would get the caption of the row before its own."""
    names = [name.strip().strip("\"").lower() for name in line.split("\t")]
    if len(names) > 1 and names[0] in _CAPTION_NAMES and names[1] in _LINK_NAMES:
        raise PreparationError(
            f"{path}: line 1 holds column names ({line.strip()!r}), which would shift every caption by a row; "
            "remove the line"
        )


def cc_tables(settings: Settings) -> Iterator[Table]:
    """`conceptual_caption_{val,train}_N`, from the original's layout or, where there is one, from ViLT's."""
    for split in filter(settings.wants, splits.CC):
        name = f"conceptual_caption_{split}"
        pairs = settings.search(*(f"{folder}{split}_annot.json" for folder in ("cc/", "gcc/", "")))
        if pairs is not None:
            yield _pair_table(settings, name, split, pairs, f"images_{split}")
        else:
            yield _cc_table(settings, name, split)


def cc12m_tables(settings: Settings) -> Iterator[Table]:
    """`cc12m_N`, one file for each tar shard of img2dataset; broken samples are named and left out."""
    folder = settings.search("cc12m") or settings.find(".")
    paths = sorted(folder.glob("*.tar"))
    if not paths:
        raise PreparationError(
            f"{folder}: no .tar shards in it; cc12m.tsv holds links, download their images with img2dataset "
            "--output_format webdataset (docs/data.md)"
        )
    for number, path in enumerate(paths):
        try:
            (shard,) = open_shards([path], path.name)
        except ValueError as error:
            raise PreparationError(str(error)) from error
        samples = [str(sample) for sample in range(shard.num_rows)]
        yield Table(f"cc12m_{number}", CAPTIONS, samples, partial(_shard_row, shard), variant=path.name)


def _shard_row(shard: ShardTable, sample: str) -> Row:
    row = int(sample)
    values = {"caption": shard.value("caption", row), "image_id": shard.value("image_id", row), "split": "train"}
    return Row((shard.value("image", row),), values)


def sbu_tables(settings: Settings) -> Iterator[Table]:
    """`sbu_N`, from the original's layout or, where there is one, from ViLT's."""
    pairs = settings.search("sbu/annot.json", "annot.json")
    if pairs is not None:
        yield _pair_table(settings, "sbu", "train", pairs, "images_train")
        return
    path = settings.find("sbu/sbu-captions-all.json", "sbu-captions-all.json")
    known: dict[str, list[str]] = {}
    for url, caption in zip_longest(stream_array(path, "image_urls", str), stream_array(path, "captions", str)):
        if url is None or caption is None:
            raise PreparationError(f"{path}: captions and image_urls differ in number or have empty entries")
        known[url.rpartition("/")[2]] = [caption]
    images = list_images([settings.find("sbu/SBU", "SBU")])
    yield _known_table(settings, "sbu", "train", images, known)


def _cc_table(settings: Settings, name: str, split: str) -> Table:
    listing = settings.find(f"cc/{split}_image_exist.txt", f"{split}_image_exist.txt")
    available = {line.rpartition("/")[2] for _, line in read_lines(listing)}
    folder = settings.find(f"cc/{split}_image", f"{split}_image")
    paths = shuffled(list_images([folder]), settings.seed)
    items = [path for path in paths if os.path.basename(path) in available]
    available.difference_update(map(os.path.basename, items))
    missing = [str(folder / image) for image in sorted(available)]
    tsv = settings.find(f"cc/utils/{_CC_TSV[split]}", f"utils/{_CC_TSV[split]}")
    captions = read_tsv_captions(tsv, settings.raw_tsv)
    last = max(map(_row_number, items), default=-1)
    if last >= len(captions):
        raise PreparationError(
            f"{tsv}: {len(captions)} rows, but {listing.name} speaks of row {last}; the two belong to different "
            "versions, or the images are numbered by line (--raw_tsv)"
        )
    row = caption_rows(lambda image: [captions[_row_number(image)]], split)
    variant = "raw" if settings.raw_tsv else ""
    return Table(name, CAPTIONS, items, row, missing, settings.shard_size, variant)


def _row_number(image: str) -> int:
    digits = os.path.basename(image).partition(".")[0]
    if not digits.isdecimal():
        raise PreparationError(f"{image}: the name of a Conceptual Captions image must be its row number")
    return int(digits)


def _pair_table(settings: Settings, name: str, split: str, pairs: Path, folder: str) -> Table:
    """A table of ViLT's layout: pairs of path and caption beside a folder with folders of images."""
    captions: dict[str, list[str]] = {}
    for image, caption in stream_array(pairs, None, (str, str)):
        captions.setdefault(os.path.basename(image), []).append(caption)
    root = pairs.parent / folder
    images = list_images(sorted(filter(Path.is_dir, root.iterdir())) if root.is_dir() else [root])
    return _known_table(settings, name, split, images, captions)


def _known_table(
    settings: Settings, name: str, split: str, images: list[str], captions: Mapping[str, list[str]]
) -> Table:
    """A table of the images that have captions. Many links of these collections are dead, so no image is missed."""
    items = [image for image in shuffled(images, settings.seed) if os.path.basename(image) in captions]
    row = caption_rows(captions.__getitem__, split)
    return Table(name, CAPTIONS, items, row, shard_size=settings.shard_size)
