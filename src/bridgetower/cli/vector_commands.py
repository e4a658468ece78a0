"""Commands that work with vectors: embed."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from itertools import chain, islice, tee
from pathlib import Path
from typing import Any

from .picture_commands import MODEL, PICTURES, add_model_options, open_pipeline
from .picture_lists import Row, read_rows, read_texts

__all__ = ["add_commands"]

EXAMPLE = """\
examples:
  bridgetower embed build/quickstart/pretrain photos --output photos.parquet
  bridgetower embed build/quickstart/pretrain photos --output part3.parquet --shard 3/16
      the third of 16 parts, for instance on one of 16 machines
  bridgetower embed build/quickstart/pretrain captions.txt --of texts --output captions.npy
"""


def add_commands(commands: Any) -> None:
    """Add the parsers of the commands."""
    parser = commands.add_parser("embed", help="write vectors of pictures, of texts, or of pairs", epilog=EXAMPLE,
                                 description="Write vectors of pictures, of texts, or of pairs of both.",
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help=MODEL)
    parser.add_argument("source", help=PICTURES.format(text="text") + "; of texts also a .txt with one text per line")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE",
                        help=".parquet, .jsonl or .npy; beside the last two a .json says what the rows are")
    parser.add_argument("--of", choices=("pictures", "texts", "pairs"), default="pictures", help="default: pictures")
    parser.add_argument("--shard", type=_shard, default=(1, 1), metavar="I/N", help="only part I of N equal parts")
    add_model_options(parser)
    parser.set_defaults(run=_embed)


def _shard(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is no part of a whole; write 3/16 for the third of 16 parts")
    return int(match[1]), int(match[2])


def _embed(options: argparse.Namespace) -> None:
    from ..search.identity import probe
    from ..search.vector_files import check_suffix, write_vectors

    check_suffix(options.output)
    part, parts = options.shard
    some = islice(_rows(options), part - 1, None, parts)
    first = next(some, None)
    if first is None:
        raise ValueError(f"{options.source} has no row for --shard {part}/{parts}")
    rows, again = tee(chain([first], some))
    pipe = open_pipeline("feature-extraction", options)
    found = ((row, vector) for row, vector in zip(rows, _vectors(pipe, again, options.of), strict=True)
             if vector is not None)
    count = write_vectors(options.output, found, pipe.engine.model_class, probe(pipe))
    print(f"{options.output}: {count} vectors")


def _rows(options: argparse.Namespace) -> Iterator[Row]:
    if options.of == "texts":
        return (Row("", text=text) for text in read_texts(options.source))
    return read_rows(options.source)


def _vectors(pipe: Any, rows: Iterator[Row], what: str) -> Iterator[Any]:
    if what == "texts":
        vectors: Iterator[Any] = pipe(text=(row.text or "" for row in rows))
        return vectors
    if what == "pictures":
        return pipe(row.image for row in rows)
    return pipe({"image": row.image, "text": row.text} for row in rows)
