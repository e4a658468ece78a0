"""Command line: the pictures of trainings, and the accuracy by question type of VQA; see --help."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ..datasets.arrow import ArrowTable
from ..exits import guarded
from .accuracy import TypeAccuracy, accuracy_by_type, read_answered_questions
from .confusion_figure import plot_confusion, read_confusion
from .curves import read_curves
from .loss_figure import plot_loss_curves
from .prediction_figure import choose_examples, plot_predictions

PROGRAM = "python -m bridgetower.report"
_VQA_OPTIONS = ("pretrain_log", "finetune_log", "predictions", "data")


def _path(text: str) -> Path:
    return Path(text).expanduser()


def build_parser() -> argparse.ArgumentParser:
    """The command-line parser."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Draw the curves and confusion matrices of runs of any task. Or, for a pre-training followed by "
        "VQA, print accuracy by question type and draw loss_curves.png and predictions.png.",
        epilog=f"examples:\n  {PROGRAM} output/mine\n  {PROGRAM} --pretrain_log output/pretrain/metrics.jsonl "
        "--finetune_log output/vqa/metrics.jsonl \\\n"
        "      --predictions output/vqa/predictions.json --data data/easy_vqa/easy_vqa_test.arrow --output output",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", type=_path, nargs="*", help="output folders of train.py")
    parser.add_argument("--pretrain_log", type=_path, help="metrics.jsonl of the pre-training")
    parser.add_argument("--finetune_log", type=_path, help="metrics.jsonl of the VQA fine-tuning")
    parser.add_argument("--predictions", type=_path, help="VQA submission file")
    parser.add_argument("--data", type=_path, help="arrow file of the questions that were answered")
    parser.add_argument("--output", type=_path, help="folder of the pictures (that of the first run, else the current "
                        "one); confusion matrices are drawn into the folders of their runs")
    return parser


def format_table(rows: Sequence[TypeAccuracy]) -> str:
    """The accuracies as a text table, a ruled line above the last row, which is the total."""
    width = max(len("question type"), *(len(row.kind) for row in rows))
    lines = [f"{row.kind:{width}}  {row.count:9,}  {row.accuracy:8.2%}" for row in rows]
    rule = "-" * len(lines[0])
    return "\n".join([f"{'question type':{width}}  questions  accuracy", rule, *lines[:-1], rule, lines[-1]])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    given = [name for name in _VQA_OPTIONS if getattr(options, name) is not None]
    if bool(options.runs) == bool(given) or (given and len(given) < len(_VQA_OPTIONS)):
        parser.error(f"name the folders of runs, or all of {', '.join(f'--{name}' for name in _VQA_OPTIONS)}")

    def report() -> int:
        written = _report_runs(options.runs, options.output) if options.runs else _report_vqa(options)
        print(f"saved {' and '.join(map(str, written))}")
        return 0

    return guarded("", report)


def _report_runs(runs: Sequence[Path], output: Path | None) -> list[Path]:
    """Draw the curves of some runs side by side, and their confusion matrices; returns the pictures."""
    curves = {str(run): read_curves(run / "metrics.jsonl") for run in runs}
    confusions = {path: read_confusion(path) for run in runs for path in sorted(run.glob("*_confusion.json"))}
    losses = (output or runs[0]) / "loss_curves.png"
    plot_loss_curves(curves, losses)
    for path, confusion in confusions.items():
        plot_confusion(confusion, path.stem.removesuffix("_confusion"), path.with_suffix(".png"))
    return [losses, *(path.with_suffix(".png") for path in confusions)]


def _report_vqa(options: argparse.Namespace) -> list[Path]:
    """Print the accuracies of a pre-training and VQA fine-tuning and draw both; returns the pictures."""
    runs = {"Pre-training": read_curves(options.pretrain_log), "VQA fine-tuning": read_curves(options.finetune_log)}
    if not options.data.is_file():
        raise FileNotFoundError(f"{options.data} does not exist; make it with python -m bridgetower.preparation")
    table = ArrowTable(options.data)
    questions = read_answered_questions(options.predictions, table)
    print(format_table(accuracy_by_type(questions)))
    output = options.output or Path()
    losses, predictions = output / "loss_curves.png", output / "predictions.png"
    plot_loss_curves(runs, losses)
    plot_predictions(questions, choose_examples(questions), table, predictions)
    return [losses, predictions]


if __name__ == "__main__":
    sys.exit(main())
