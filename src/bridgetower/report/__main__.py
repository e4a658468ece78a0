"""Command line: accuracy by question type, and the pictures of a training; see --help."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bridgetower.datasets.arrow import ArrowTable
from bridgetower.report.accuracy import TypeAccuracy, accuracy_by_type, read_answered_questions
from bridgetower.report.curves import read_curves
from bridgetower.report.loss_figure import plot_loss_curves
from bridgetower.report.prediction_figure import choose_examples, plot_predictions

UNUSABLE_INPUT = 2
PROGRAM = "python -m bridgetower.report"


def _path(text: str) -> Path:
    return Path(text).expanduser()


def build_parser() -> argparse.ArgumentParser:
    """The command-line parser."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Print accuracy by question type; draw loss_curves.png and predictions.png.",
        epilog=f"example:\n  {PROGRAM} --pretrain_log output/pretrain/metrics.jsonl "
        "--finetune_log output/vqa/metrics.jsonl \\\n"
        "      --predictions output/vqa/predictions.json --data data/easy_vqa/easy_vqa_test.arrow --output output",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--pretrain_log", type=_path, required=True, help="metrics.jsonl of the pre-training")
    parser.add_argument("--finetune_log", type=_path, required=True, help="metrics.jsonl of the VQA fine-tuning")
    parser.add_argument("--predictions", type=_path, required=True, help="VQA submission file")
    parser.add_argument("--data", type=_path, required=True, help="arrow file of the questions that were answered")
    parser.add_argument("--output", type=_path, default=Path(), help="folder of the pictures (the current one)")
    return parser


def format_table(rows: Sequence[TypeAccuracy]) -> str:
    """The accuracies as a text table, a ruled line above the last row, which is the total."""
    width = max(len("question type"), *(len(row.kind) for row in rows))
    lines = [f"{row.kind:{width}}  {row.count:9,}  {row.accuracy:8.2%}" for row in rows]
    rule = "-" * len(lines[0])
    return "\n".join([f"{'question type':{width}}  questions  accuracy", rule, *lines[:-1], rule, lines[-1]])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = build_parser().parse_args(arguments)
    try:
        runs = {"Pre-training": read_curves(options.pretrain_log), "VQA fine-tuning": read_curves(options.finetune_log)}
        if not options.data.is_file():
            raise FileNotFoundError(f"{options.data} does not exist; make it with python -m bridgetower.preparation")
        table = ArrowTable(options.data)
        questions = read_answered_questions(options.predictions, table)
        print(format_table(accuracy_by_type(questions)))
        losses, predictions = options.output / "loss_curves.png", options.output / "predictions.png"
        plot_loss_curves(runs, losses)
        plot_predictions(questions, choose_examples(questions), table, predictions)
    except (OSError, ValueError, KeyError) as error:
        # str() of a KeyError is the repr of its text.
        print(f"error: {error.args[0] if isinstance(error, KeyError) else error}", file=sys.stderr)
        return UNUSABLE_INPUT
    print(f"saved {losses} and {predictions}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
