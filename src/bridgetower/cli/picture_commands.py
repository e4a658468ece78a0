"""Commands that say something of pictures and texts: ask, match, fill, classify."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import tee
from pathlib import Path
from typing import Annotated, Any, get_args

from ..known import Device, EngineName, Precision
from ..setting_rules.ranges import Range, argument
from .output import print_json, print_table
from .picture_lists import Row, read_rows

__all__ = ["add_commands", "add_engine_options", "add_model_options", "open_pipeline", "positive"]

MODEL = "folder of a training, a conversion, an export or Hugging Face, or a hub name"
PICTURES = ("a picture, a folder, a quoted pattern such as 'photos/*.jpg', or a list: CSV, TSV or JSON lines with the "
            "columns image and {text}")


@dataclass(frozen=True)
class Command:
    """A command over pictures and texts.

    Attributes:
        name: of the command.
        task: of the pipeline.
        summary: for the help.
        text: what a text is called.
        example: a command line.
        top: results shown per text; None where there is only one.
        result: what a result is called in the table.
    """

    name: str
    task: str
    summary: str
    text: str
    example: str
    top: int | None
    result: str


COMMANDS = (
    Command("ask", "visual-question-answering", "answer questions about pictures", "question",
            'bridgetower ask build/quickstart/vqa picture.png "what color is the circle?"', 1, "answer"),
    Command("match", "image-text-matching", "say whether pictures and texts belong together", "text",
            'bridgetower match build/quickstart/pretrain picture.png "a red circle"', None, "label"),
    Command("fill", "fill-mask", "fill in masked words of texts about pictures", "text",
            'bridgetower fill build/quickstart/pretrain picture.png "a <mask> circle"', 5, "token_str"),
    Command("classify", "image-text-classification", "sort pictures into classes, by the model's classes or by words",
            "text", "bridgetower classify build/quickstart/pretrain picture.png --labels circle square", 3, "label"),
)


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Add where and how a model runs."""
    parser.add_argument("--device", choices=get_args(Device), default="auto", help="a GPU if there is one (auto)")
    parser.add_argument("--engine", choices=get_args(EngineName), default="auto",
                        help="what runs an exported folder: the fastest that can (auto), or this one")
    parser.add_argument("--precision", choices=get_args(Precision), default="float32",
                        help="of an exported folder's matrix products (float32)")


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add what all commands that run a model have in common."""
    parser.add_argument("--batch_size", type=positive, default=16, metavar="N",
                        help="pictures and pairs that pass the model together (16)")
    add_engine_options(parser)
    parser.add_argument("--skip_bad", action="store_true", help="leave unreadable pictures out, with a warning")


def add_commands(commands: Any) -> None:
    """Add the parsers of the commands."""
    for command in COMMANDS:
        parser = commands.add_parser(
            command.name, help=command.summary, description=command.summary[0].upper() + command.summary[1:] + ".",
            epilog=f"example:\n  {command.example}", formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("model", help=MODEL)
        parser.add_argument("pictures", help=PICTURES.format(text=command.text))
        parser.add_argument("texts", nargs="*", metavar=command.text,
                            help=f"each {command.text} meets every picture; default: those of the list")
        if command.top is not None:
            parser.add_argument("--top", type=positive, default=command.top, metavar="N",
                                help=f"results per picture and {command.text}, best first ({command.top})")
        if command.name == "classify":
            parser.add_argument("--labels", nargs="+", metavar="CLASS", help="classes as words, instead of a text")
            parser.add_argument("--template", default="a photo of a {}.", metavar="TEXT",
                                help="sentence for --labels; {} is replaced by the class (%(default)s)")
            parser.add_argument("--second", metavar="PICTURE", help="the second picture, for models of two (NLVR2)")
        parser.add_argument("--json", action="store_true", help="print JSON lines instead of a table")
        add_model_options(parser)
        parser.set_defaults(run=lambda options, command=command: _run(command, options))


#: A number from the command line from 1 to 65,536.
positive = argument(Annotated[int, Range(1, 65_536)])


def open_pipeline(task: str, options: argparse.Namespace) -> Any:
    """The pipeline of a task with the model and the options of a command line."""
    from .command_line import quiet

    quiet()
    from ..pipelines import pipeline

    return pipeline(task, options.model, options.device, options.engine, options.precision,
                    batch_size=options.batch_size, on_error="skip" if options.skip_bad else "raise")


def _run(command: Command, options: argparse.Namespace) -> None:
    rows = _rows(command, options)  # before the model, which takes seconds to start
    results = _results(command, options, rows)
    if options.json:
        print_json({**_about(command, row), **_named(result)} for row, result in results if result is not None)
        return
    print_table(("picture", command.text, command.result, "score"),
                (line for row, result in results if result is not None for line in _lines(command, row, result)))


def _rows(command: Command, options: argparse.Namespace) -> Iterator[Row]:
    """Every picture with every text."""
    for text in options.texts:
        if os.path.isfile(text):  # unlike that of Path, it takes any text
            raise ValueError(f"{text} is a file, expected a {command.text}; give several pictures as a folder or as a "
                             "quoted pattern")
    texts: Sequence[str | None] = options.texts
    if command.name == "classify" and options.labels:
        if texts:
            raise ValueError(f"--labels and a text exclude each other; drop {texts[0]!r}")
        texts = [""]
    rows = read_rows(options.pictures)
    second = getattr(options, "second", None) or ""
    if second and not Path(second).is_file():
        raise FileNotFoundError(f"{second}: no such picture")
    return (Row(row.image, second or row.second, text) for row in rows for text in (texts or [row.text]))


def _results(command: Command, options: argparse.Namespace, rows: Iterator[Row]) -> Iterator[tuple[Row, Any]]:
    """Each row with what the model says."""
    rows, again = tee(rows)
    task = _task(command, options)
    pipe = open_pipeline(task, options)
    top = {} if command.top is None else {"top_k": options.top}
    if task == "zero-shot-image-classification":
        return zip(rows, pipe((row.image for row in again), options.labels, options.template, **top), strict=True)
    if task == "image-classification":
        return zip(rows, pipe((row.image for row in again), **top), strict=True)
    inputs = ({"image": (row.image, row.second) if row.second else row.image, pipe.text_key: row.text}
              for row in again)
    return zip(rows, pipe(inputs, **top), strict=True)


def _task(command: Command, options: argparse.Namespace) -> str:
    if command.name == "classify":
        if options.labels:
            return "zero-shot-image-classification"
        if not options.texts and not options.pictures.lower().endswith((".csv", ".tsv", ".jsonl")):
            return "image-classification"
    return command.task


def _about(command: Command, row: Row) -> dict[str, Any]:
    about = {"image": row.image, "image2": row.second, command.text: row.text}
    return {name: value for name, value in about.items() if value}


def _named(result: Any) -> dict[str, Any]:
    return result if isinstance(result, dict) else {"results": result}


def _lines(command: Command, row: Row, result: Any) -> Iterator[tuple[Any, ...]]:
    """The lines of one result; those after the first leave the picture and the text out."""
    groups = result if isinstance(result, list) and result and isinstance(result[0], list) else [result]
    about = (row.image, row.text or "")
    for group in groups:  # several masks
        for one in group if isinstance(group, list) else [group]:
            yield (*about, one.get(command.result, ""), one["score"])
            about = ("", "")
