"""Command line: `python -m bridgetower.preparation NAME --source DIR --output DIR [options]`.

A command imports what it needs when it runs, so that help is quick.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ..exits import guarded
from ..files import locked_folder
from ..known import SCALE_RULES
from ..runtime import interrupted_by_signals
from ..setting_rules.ranges import Range, argument
from .own_data.columns import TASKS
from .published import DATA_SETS, DataSet
from .tables import PreparationError, Settings
from .text_files import encoded_as

if TYPE_CHECKING:
    from .writer import Written

PROGRAM = "python -m bridgetower.preparation"
TABLE_EXAMPLE = f"{PROGRAM} table --source shop.csv --images photos --task classify --output data/own --name shop"


def _folder(text: str) -> Path:
    return Path(text).expanduser()


_positive = argument(Annotated[int, Range(1, 10**9)])
_share = argument(Annotated[float, Range(0, 0.999)])
_workers = argument(Annotated[int, Range(1, 256)])
_seed = argument(Annotated[int, Range(0, 2**63 - 1)])


_OPTIONS: dict[str, dict[str, Any]] = {
    "shard_size": {"type": _positive, "default": 100_000, "help": "images per numbered file (100000)"},
    "held_out": {"type": _positive, "help": "images of the split rest_val (1000)"},
    "raw_tsv": {"action": "store_true", "help": "split TSV lines at tabs only, without reading quotes as CSV does"},
}


@cache
def build_parser() -> argparse.ArgumentParser:
    """The command-line parser, one sub-command per data set."""
    tokenizer_example = f"{PROGRAM} tokenizer --source data/easy_vqa --output data/tokenizer --vocab_size 600"
    split_example = f"{PROGRAM} vgqa_split --source data --output data/vg/vgqa"
    check_example = f"{PROGRAM} check --source data/pre-train data/fine-tune"
    examples = [data_set.example for data_set in DATA_SETS.values()]
    examples += [TABLE_EXAMPLE, split_example, tokenizer_example, check_example]
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Turn raw data into arrow files.",
        epilog="examples:\n  " + "\n  ".join(examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="NAME", required=True)
    for data_set in DATA_SETS.values():
        _add_data_set(commands, data_set)
    split = _add_command(commands, "vgqa_split", "split the images of Visual Genome for vgqa", split_example)
    split.add_argument("--source", type=_folder, required=True, help="folder of the raw data")
    split.add_argument("--output", type=_folder, required=True, help="folder of the lists; vgqa expects vg/vgqa")
    split.add_argument("--seed", type=_seed, default=0, help="seed of the split (0, as the released models)")
    _add_encoding(split)
    split.add_argument("--held_out", type=_positive, help="images in each of val and test (5000)")
    split.set_defaults(run=_run_split)
    tokenizer = _add_command(
        commands, "tokenizer", "train a byte-level BPE tokenizer on arrow files", tokenizer_example
    )
    tokenizer.add_argument("--source", type=_folder, nargs="+", required=True, help="arrow files, or folders of them")
    tokenizer.add_argument("--output", type=_folder, required=True, help="folder of the tokenizer")
    tokenizer.add_argument("--vocab_size", type=_positive, default=50265, help="largest number of ids (50265)")
    tokenizer.set_defaults(run=_run_tokenizer)
    _add_table(commands)
    check = _add_command(commands, "check", "validate arrow files or tar shards and print a summary", check_example)
    check.add_argument("--source", type=_folder, nargs="+", required=True, help="arrow files, shards, or folders")
    check.add_argument("--num_labels", type=_positive, help="answer classes (those of NAME_answers.json, or 3129)")
    _add_workers(check)
    check.set_defaults(run=_run_check)
    return parser


def _add_table(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _add_command(
        commands, "table", "make tables of your own data, for fine-tuning or pre-training", TABLE_EXAMPLE
    )
    parser.add_argument(
        "--source",
        nargs="+",
        required=True,
        help="CSV, TSV, JSON, JSON lines, Parquet or Arrow files, "
        "folders of them, a folder of pictures per class, or .tar shards such as '{000..331}.tar'",
    )
    parser.add_argument("--task", choices=TASKS, required=True, help="what a row says of its picture or pictures")
    parser.add_argument("--output", type=_folder, required=True, help="folder of the tables")
    parser.add_argument("--name", required=True, help="name of the data set")
    _add_encoding(parser)
    parser.add_argument("--images", type=_folder, help="folder that paths of pictures start from (that of the source)")
    parser.add_argument(
        "--columns",
        nargs="+",
        type=_pair,
        default=[],
        metavar="FIELD=COLUMN",
        help="which column holds what, if its name is not a usual one: image, text, label, ...; 'text=' reads none",
    )
    parser.add_argument("--classes", nargs="+", help="the classes in the order of their numbers (those found, sorted)")
    parser.add_argument(
        "--min_answer_count",
        type=_positive,
        default=1,
        help="how often an answer must occur to be one that the model can give (1)",
    )
    parser.add_argument("--val_share", type=_share, default=0.1, help="share of validation if no split is named (0.1)")
    parser.add_argument("--test_share", type=_share, default=0.1, help="share of the test if no split is named (0.1)")
    parser.add_argument("--seed", type=_seed, default=0, help="seed of the division into splits (0)")
    parser.add_argument(
        "--shard_size",
        type=_positive,
        default=10_000,
        help="pictures per part (10000); an interrupted run goes on after the last complete one",
    )
    _add_picture_reading(parser)
    _add_workers(parser)
    parser.add_argument("--skip_bad", action="store_true", help="leave out rows that cannot be used, and name them")
    parser.add_argument("--overwrite", action="store_true", help="replace tables of other data")
    parser.set_defaults(run=_run_table)


def _add_picture_reading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--scale_16bit",
        choices=SCALE_RULES,
        default="full",
        help="how training and models read grey pictures of more than 8 bits: by their full range (the default), from "
        "their smallest to their largest value, or from their first to their 99th percentile",
    )
    parser.add_argument("--apply_exif", action="store_true", help="turn pictures as their EXIF orientation says")


def _pair(text: str) -> tuple[str, str]:
    field, separator, column = text.partition("=")
    if not (field and separator):
        raise argparse.ArgumentTypeError(f"{text!r} is not FIELD=COLUMN, such as image=file_name")
    return field, column


def _run_table(arguments: argparse.Namespace) -> None:
    from .images import ImageReader
    from .own_data.conclusion import describe
    from .own_data.own_tables import build_tables
    from .own_data.part_writer import Request

    options = {name: value for name, value in vars(arguments).items() if name in Request.__dataclass_fields__}
    for name in ("source", "columns", "classes"):
        options[name] = tuple(options[name]) if options[name] is not None else None
    with ImageReader(arguments.workers, strict=True) as reader:
        description = build_tables(Request(**options), reader, progress=True)
    print(describe(description, arguments.output))


def _add_encoding(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--encoding", metavar="NAME", help="encoding of the text files, such as cp1252 (UTF-8)")


def _add_workers(parser: argparse.ArgumentParser) -> None:
    default = min(8, os.cpu_count() or 1)
    parser.add_argument(
        "--workers", type=_workers, default=default, help="processes reading images (one per core, to 8)"
    )


def _add_command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, summary: str, example: str
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_data_set(commands: argparse._SubParsersAction[argparse.ArgumentParser], data_set: DataSet) -> None:
    parser = _add_command(commands, data_set.name, data_set.summary, data_set.example)
    parser.add_argument("--source", type=_folder, required=data_set.needs_source, help="folder of the raw data")
    parser.add_argument("--output", type=_folder, required=True, help="folder of the arrow files")
    parser.add_argument("--seed", type=_seed, default=0, help="seed of the row order (0)")
    _add_encoding(parser)
    parser.add_argument("--splits", nargs="+", choices=data_set.splits, help="make only these splits (all)")
    _add_workers(parser)
    parser.add_argument("--skip_bad", action="store_true", help="leave out missing or unreadable images")
    parser.add_argument("--overwrite", action="store_true", help="remake files that are complete already")
    for option in data_set.options:
        parser.add_argument(f"--{option}", **_OPTIONS[option])
    parser.set_defaults(run=lambda arguments: _run_data_set(data_set, arguments))


def _run_data_set(data_set: DataSet, arguments: argparse.Namespace) -> None:
    from .images import ImageReader
    from .writer import write_table

    options = {name: value for name, value in vars(arguments).items() if name in data_set.options}
    splits = tuple(arguments.splits) if arguments.splits else None
    settings = Settings(arguments.source, arguments.output, arguments.seed, splits, **options)
    count = 0
    with ImageReader(arguments.workers) as reader:
        for table in data_set.tables(settings):
            for written in write_table(
                table,
                settings.output,
                reader,
                skip_bad=arguments.skip_bad,
                overwrite=arguments.overwrite,
                progress=True,
            ):
                print(_describe(written), flush=True)
                count += 1
    if not count:
        raise PreparationError(f"{arguments.source}: none of the images is annotated; check --source and --splits")


def _describe(written: Written) -> str:
    size = written.path.stat().st_size / 1e6
    skipped = f", {written.skipped} left out for bad images" if written.skipped else ""
    kept = ", was complete already" if written.kept else ""
    return f"{written.path}: {written.rows} rows, {size:.1f} MB{skipped}{kept}"


def _run_split(arguments: argparse.Namespace) -> None:
    from .vgqa import split_images

    settings = Settings(arguments.source, arguments.output, arguments.seed, held_out=arguments.held_out)
    counts = ", ".join(f"{len(images)} {split}" for split, images in split_images(settings).items())
    print(f"{arguments.output}: {counts} images")


def _run_tokenizer(arguments: argparse.Namespace) -> None:
    from .train_tokenizer import prepare_tokenizer

    tokenizer = prepare_tokenizer(arguments.source, arguments.output, arguments.vocab_size)
    print(f"{arguments.output}: tokenizer of {tokenizer.get_vocab_size()} tokens")


def _run_check(arguments: argparse.Namespace) -> None:
    from .arrow_input import arrow_files
    from .check import check_file
    from .images import ImageReader

    files = arrow_files(arguments.source, shards=True)
    with ImageReader(arguments.workers) as reader:
        reports = [check_file(path, reader, arguments.num_labels, progress=True) for path in files]
    width = max(len(str(path)) for path in files)
    print(f"{'file':{width}}  {'columns':13}  {'rows':>9}  {'texts':>9}  problems")
    for report in reports:
        problems = report.count or "none"
        print(f"{report.path!s:{width}}  {report.family:13}  {report.rows:9}  {report.texts:9}  {problems}")
    lines = [line for report in reports for line in report.lines()]
    if lines:
        for line in lines[:-1]:
            print(f"error: {line}", file=sys.stderr)
        raise PreparationError(lines[-1])


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv[:1] == ["--check"]:
        argv[:1] = ["check", "--source"]
    arguments = build_parser().parse_args(argv)

    def prepare() -> int:
        from tqdm.contrib.logging import logging_redirect_tqdm

        # One program at a time writes to an output; checking has none.
        output = locked_folder(arguments.output) if "output" in arguments else nullcontext()
        encoding = encoded_as(getattr(arguments, "encoding", None))
        with logging_redirect_tqdm(), interrupted_by_signals(), encoding, output:
            arguments.run(arguments)
        return 0

    return guarded("", prepare, interrupted="interrupted; the same command goes on after the last complete file")


if __name__ == "__main__":
    sys.exit(main())
