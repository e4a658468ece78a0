"""Commands that work with vectors: embed, index, search."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator
from itertools import chain, islice, tee
from pathlib import Path
from typing import Annotated, Any

from ..setting_rules.ranges import Range, argument
from .output import print_json, print_table
from .picture_commands import MODEL, PICTURES, add_model_options, open_pipeline, positive
from .picture_lists import Row, read_rows, read_texts

__all__ = ["add_commands"]

EXAMPLE = """\
examples:
  bridgetower embed build/quickstart/pretrain photos --output photos.parquet
  bridgetower embed build/quickstart/pretrain photos --output part3.parquet --shard 3/16
      the third of 16 parts, for instance on one of 16 machines
  bridgetower embed build/quickstart/pretrain captions.txt --of texts --output captions.npy
"""


INDEX_EXAMPLE = """\
examples:
  bridgetower index build/quickstart/pretrain photos --output photos.index
      again, after pictures came, changed or went: only these are read
  bridgetower index build/quickstart/pretrain --vectors part1.parquet part2.parquet --output photos.index
"""
SEARCH_EXAMPLE = """\
examples:
  bridgetower search photos.index "a red circle" --top 5 --rerank 50
  bridgetower search photos.index --image query.png
"""


def add_commands(commands: Any) -> None:
    """Add the parsers of the commands."""
    _add_embed(commands)
    _add_index(commands)
    _add_search(commands)


def _add_index(commands: Any) -> None:
    parser = commands.add_parser("index", help="make an index of pictures to search, or bring it up to date",
                                 description="Make an index of pictures to search, or bring it up to date.",
                                 epilog=INDEX_EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help=f"{MODEL}, with contrastive heads")
    parser.add_argument("pictures", nargs="?", help="a folder (pictures that are gone leave the index), a quoted "
                                                    "pattern, a list, or one picture")
    parser.add_argument("--vectors", type=Path, nargs="+", default=[], metavar="FILE",
                        help="files that bridgetower embed wrote with the same model, instead of pictures")
    parser.add_argument("--output", type=Path, required=True, metavar="INDEX", help="folder of the index")
    add_model_options(parser)
    parser.set_defaults(run=_index)


def _add_search(commands: Any) -> None:
    parser = commands.add_parser("search", help="find pictures of an index by words, by a picture, or by both",
                                 description="Find pictures of an index by words, by a picture, or by both.",
                                 epilog=SEARCH_EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index", type=Path, help="folder that bridgetower index made")
    parser.add_argument("text", nargs="?", help="what the pictures should show")
    parser.add_argument("--image", metavar="FILE", help="a picture that they should resemble")
    parser.add_argument("--top", type=positive, default=10, metavar="N", help="pictures to print (10)")
    parser.add_argument("--rerank", type=argument(Annotated[int, Range(0, 1_000_000)]), default=0, metavar="N",
                        help="order the N nearest by how well they match the text (0: do not)")
    parser.add_argument("--model", help="where the model of the index is, if it was moved")
    parser.add_argument("--json", action="store_true", help="print JSON lines instead of a table")
    add_model_options(parser)
    parser.set_defaults(run=_search)


def _index(options: argparse.Namespace) -> None:
    from ..search.indexing import index_files, index_vectors
    from ..search.picture_index import PictureIndex

    if bool(options.pictures) == bool(options.vectors):
        raise ValueError("give pictures, or --vectors with files of bridgetower embed")
    files = [row.image for row in read_rows(options.pictures)] if options.pictures else []
    index = PictureIndex(options.output)
    with index.writing():
        pipe, made = _searchable(options)
        model = os.path.abspath(options.model) if os.path.exists(options.model) else options.model
        if options.vectors:
            changes = index_vectors(index, options.vectors, made, model)
        else:
            folder = Path(options.pictures) if Path(options.pictures).is_dir() else None
            changes = index_files(index, files, folder, pipe, made, model)
    print(f"{options.output}: {len(index)} pictures ({changes})")


def _searchable(options: argparse.Namespace) -> tuple[Any, Any]:
    """The pipeline of a model that makes comparable vectors, and what it is."""
    from ..search.identity import probe
    from ..search.vector_files import Made

    pipe = open_pipeline("feature-extraction", options)
    if not pipe.engine.has_vectors:
        raise ValueError(f"{options.model} has no contrastive heads, which make the vectors of pictures and texts "
                         "comparable; use a model of BridgeTowerForContrastiveLearning or "
                         "BridgeTowerForContrastiveRetrieval, or one that was pre-trained with itc or itm_itc")
    values = probe(pipe)
    return pipe, Made(pipe.engine.model_class, values, len(values) // 2)


def _search(options: argparse.Namespace) -> None:
    from ..pipelines.image_text_matching import matcher
    from ..search.picture_index import PictureIndex
    from ..search.searching import Query, search_many

    index = PictureIndex.existing(options.index)
    if not (options.text or "").strip() and options.image is None:
        raise ValueError("there is nothing to search for; give words, --image, or both")
    query = Query(options.text, options.image, options.top, options.rerank)
    options.model = options.model or index.model
    if not os.path.exists(options.model) and os.path.isabs(options.model):
        raise FileNotFoundError(f"{options.model}, the model of {options.index}, is not there; say with --model where "
                                "it is")
    pipe, made = _searchable(options)
    index.check_model(made, options.model)
    (found,) = search_many(index, pipe, [query], matcher(pipe.engine, pipe.batch_size))
    if options.json:
        print_json({"image": one.image, "similarity": one.similarity}
                   | ({} if one.score is None else {"score": one.score}) for one in found)
    elif options.rerank:
        print_table(("picture", "similarity", "score"), ((one.image, one.similarity, one.score) for one in found))
    else:
        print_table(("picture", "similarity"), ((one.image, one.similarity) for one in found))


def _add_embed(commands: Any) -> None:
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
