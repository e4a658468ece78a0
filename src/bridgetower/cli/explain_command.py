"""The command `explain`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, get_args

from ..known import Device
from .output import print_json, print_table
from .picture_commands import MODEL, positive
from .picture_lists import read_rows

__all__ = ["add_commands"]

EXAMPLE = """\
examples:
  bridgetower explain build/quickstart/vqa picture.png --text "what color is the circle?"
  bridgetower explain --heads build/quickstart/pretrain build/quickstart/vqa --data questions.csv --output heads.png
  bridgetower explain --deletion build/quickstart/vqa --data build/quickstart/data/easy_vqa_test.arrow --limit 500
"""
DESCRIPTION = """\
Draw where a model looks: for each word of a text its attention over the picture, and what the answer rests on.
Or, with --heads, draw how much the attention heads of several models differ.
Or, with --deletion, print how an answer suffers when the patches that it rests on are removed.
"""
_USAGE = "give MODEL PICTURE --text TEXT, --heads MODEL ... --data LIST, or --deletion MODEL --data LIST"
_OF_ONE, _OF_MANY = ("model", "picture", "text", "answer", "layer", "head"), ("data", "limit")


def add_commands(commands: Any) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser("explain", help="draw where a model looks, and why it answers so", epilog=EXAMPLE,
                                 description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", help=MODEL + "; not an export")
    parser.add_argument("picture", nargs="?", help="a picture")
    parser.add_argument("--text", help="the question or sentence about it; <mask> asks for the head of masked words")
    parser.add_argument("--answer", help="the class or word to explain, instead of the model's own answer")
    parser.add_argument("--layer", type=positive, metavar="N", help="attention of this cross-modal layer (mean of all)")
    parser.add_argument("--head", type=positive, metavar="N", help="attention of this head (mean of all)")
    parser.add_argument("--heads", nargs="+", metavar="MODEL",
                        help="compare the attention heads within each of these models, instead of explaining one")
    parser.add_argument("--deletion", metavar="MODEL", help="check the explanations of this model, instead of one")
    parser.add_argument("--data", help="pictures with texts for --heads and --deletion: CSV, TSV or JSON lines, or an "
                        "arrow file of bridgetower prepare")
    parser.add_argument("--limit", type=positive, metavar="N", help="pairs of --data that are read (256)")
    parser.add_argument("--output", type=Path, metavar="PNG", help="the picture to write (explain.png or heads.png)")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON instead of a table")
    parser.add_argument("--device", choices=get_args(Device), default="auto", help="a GPU if there is one (auto)")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    mode = "--heads" if options.heads else "--deletion" if options.deletion else ""
    wanted, refused = (("data",), _OF_ONE) if mode else (("model", "picture", "text"), _OF_MANY)
    if options.heads and options.deletion:
        raise ValueError(f"--heads and --deletion exclude each other; {_USAGE}")
    missing = next((name for name in wanted if not getattr(options, name)), None)
    if missing:
        raise ValueError(f"{_shown(missing)} is missing; {_USAGE}")
    extra = next((name for name in refused if getattr(options, name) is not None), None)
    if extra:
        raise ValueError(f"{_shown(extra)} cannot be used {f'with {mode}' if mode else 'here'}; {_USAGE}")
    if options.deletion:
        _check_by_deletion(options)
    else:
        (_compare_heads if options.heads else _explain)(options)


def _shown(name: str) -> str:
    return name.upper() if name in ("model", "picture") else f"--{name}"


def _explain(options: argparse.Namespace) -> None:
    path = Path(options.picture).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{options.picture}: no such picture")
    engines = _engines(options.model, options.device)
    from ..explain import explain, plot_explanation
    from ..pipelines.explaining import explained_engine
    from ..pipelines.pictures import open_picture

    opened = explained_engine(engines, options.text, options.model)
    found = explain(opened, open_picture(path, options.picture), options.text, options.answer, options.layer,
                    options.head)
    output = options.output or Path("explain.png")
    plot_explanation(found, output)
    if options.json:
        print_json([{"image": options.picture, "output": str(output), **found.to_json()}])
        return
    print_table(("word", "relevance"), zip(found.words, map(float, found.word_relevance), strict=True))
    print(f"{found.answer} ({found.score:.4f}); saved {output}")


def _compare_heads(options: argparse.Namespace) -> None:
    pairs = list(islice(_pairs(options.data), options.limit or 256))  # before the models, which take seconds to start
    from ..explain import head_divergence, plot_head_divergence

    found = []
    for name, source in zip(_names(options.heads), options.heads, strict=True):
        opened = next(iter(_engines(source, options.device).values()))
        found.append(head_divergence(opened, pairs, name))
    output = options.output or Path("heads.png")
    plot_head_divergence(found, output)
    if options.json:
        print_json(model.to_json() for model in found)
        return
    print_table(("model", "attention", "layer", "KL divergence"),
                ((model.name, kind, layer, float(value)) for model in found
                 for kind, values in model.layers.items() for layer, value in enumerate(values, 1)))
    print(f"mean over {found[0].pairs} pairs; saved {output}")


def _check_by_deletion(options: argparse.Namespace) -> None:
    if options.output:
        raise ValueError("--output cannot be used with --deletion, which draws no picture")
    pairs = list(islice(_pairs(options.data), options.limit or 256))
    engines = _engines(options.deletion, options.device)
    from ..explain import check_by_deletion
    from ..pipelines.explaining import explained_engine
    from ..progress import progress_bar

    opened = explained_engine(engines, pairs[0][1] if pairs else "", options.deletion)
    found = check_by_deletion(opened, progress_bar(pairs, unit=" pairs"))
    rows = [(share, *(float(scores[place]) for scores in found.scores.values()))
            for place, share in enumerate(found.shares)]
    if options.json:
        print_json([{"model": options.deletion, "pairs": found.pairs, "removed": list(found.shares),
                     **{order: scores.round(4).tolist() for order, scores in found.scores.items()}}])
        return
    print_table(("removed", *found.scores), rows)
    print(f"mean score of the model's answers over {found.pairs} pairs")


def _engines(source: str, device: Any) -> dict[str, Any]:
    from .command_line import quiet

    quiet()
    from ..pipelines.engine import open_engines

    return open_engines(source, device)


def _names(sources: list[str]) -> list[str]:
    """The last parts of paths, as many as tell them apart."""
    parts = [Path(source).resolve().parts for source in sources]
    size = next((size for size in range(1, max(map(len, parts)) + 1)
                 if len({each[-size:] for each in parts}) == len(parts)), 1)
    return ["/".join(each[-size:]) for each in parts]


def _pairs(source: str) -> Iterator[tuple[Any, str]]:
    """Pictures and texts of a list or of an arrow file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a row has no text, or the file no column of texts.
    """
    if Path(source).suffix == ".arrow":
        yield from _arrow_pairs(Path(source).expanduser())
        return
    for row in read_rows(source):
        if not (row.text or "").strip():
            raise ValueError(f"{source} has a picture without a text: {row.image}; give a list with texts")
        yield row.image, row.text or ""


def _arrow_pairs(path: Path) -> Iterator[tuple[Any, str]]:
    from ..datasets.arrow import ArrowTable

    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such arrow file")
    table = ArrowTable(path)
    column = next((name for name in ("questions", "caption", "sentences") if table.has_column(name)), None)
    if column is None or not table.has_column("image"):
        raise ValueError(f"{path} has no pictures with questions or captions; it has {', '.join(table.schema.names)}")
    for row in range(table.num_rows):
        image = table.image_bytes("image", row)
        for text in table.value(column, row) or ():
            yield bytes(image or b""), text
