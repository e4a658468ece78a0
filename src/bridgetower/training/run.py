"""The program `train.py`: train, evaluate and predict from a command line."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..exits import guarded
from ..files import locked_folder, named_when_full, write_json
from ..runtime import die_with_launcher, exit_together, import_paddle, log_to_console
from .flags import short_help

if TYPE_CHECKING:
    from ..experiment import Experiment
    from .arguments import BridgeTowerTrainingArguments
    from .trainer import BridgeTowerTrainer

__all__ = ["main", "prepare", "run_program", "write_settings"]

logger = logging.getLogger(__name__)

PROGRAM = "train.py"


def prepare(argv: list[str]) -> Callable[[], int]:
    """Check and build all that a command line asks for; what is returned does the work and gives the exit status.

    Raises:
        ValueError, KeyError, OSError: with a message for the user.
    """
    from paddlenlp.trainer import set_seed

    from ..inputs.tokenizer import BridgeTowerTokenizer
    from ..tasks import get_task
    from .arguments import parse_arguments, report_rates
    from .build import Weights, build_data, build_model, build_processor, check_run, folded_normalization
    from .checkpoint_settings import with_checkpoint_settings, with_table_settings
    from .model_config import with_model_channels
    from .resuming import checkpoint_to_resume
    from .towers import load_towers
    from .trainer import BridgeTowerTrainer

    args, experiment = parse_arguments(argv)
    experiment = with_table_settings(experiment, args.data_root)
    experiment = with_checkpoint_settings(experiment, args.checkpoint_path)
    report_rates(args, experiment)
    task = get_task(experiment.task)
    check_run(experiment, task, args)
    task = task.for_data(experiment, args.data_root)
    resume = checkpoint_to_resume(args)
    wanted = {"train": args.do_train, "val": args.do_eval, "test": args.do_predict}
    splits = [split for split, is_wanted in wanted.items() if is_wanted]
    tokenizer = BridgeTowerTokenizer.from_pretrained(experiment.data.tokenizer) if task.reads_text else None
    checkpoint = resume or args.checkpoint_path
    weights = Weights.read(checkpoint) if checkpoint else None
    experiment = with_model_channels(experiment, tokenizer, weights.config if weights else None)
    processor = build_processor(experiment, task, tokenizer)
    data = build_data(experiment, task, splits, args.data_root, tokenizer, args.seed, weights)
    set_seed(args.seed)
    model = build_model(experiment, task, tokenizer, data, weights, new_heads=args.do_train and not resume,
                        new_classifier=args.new_classifier and not resume, args=args)
    if weights is None:
        load_towers(model, args.image_tower, args.text_tower, folded_normalization(experiment))
    trainer = BridgeTowerTrainer(
        model, args=args, task=task, experiment=experiment, data_collator=data.train_collator,
        eval_collator=data.eval_collator, train_dataset=data.datasets.get("train"),
        eval_dataset=data.datasets.get("val"), tokenizer=processor, answers=data.labels.names)
    if args.do_train:
        trainer.check_data()
    return partial(_run, trainer, data.datasets, resume)


def _run(trainer: BridgeTowerTrainer, datasets: Mapping[str, Any], resume: str | None) -> int:
    """Train, evaluate and predict, as the only program that writes to the output folder; the exit status."""
    from tqdm.contrib.logging import logging_redirect_tqdm

    from .checkpoints import remove_checkpoints
    from .preemption import PREEMPTED

    args = trainer.args
    is_first = args.process_index == 0
    full = named_when_full(args.output_dir, "complete checkpoints are kept; make room and go on with "
                           "--resume_from_checkpoint last")
    with logging_redirect_tqdm(), locked_folder(args.output_dir) if is_first else nullcontext(), full:
        if args.do_train and not resume and is_first:
            remove_checkpoints(Path(args.output_dir))
        write_settings(args, trainer.experiment)
        if args.do_train:
            result = trainer.train(resume_from_checkpoint=resume)
            if trainer.preemption.saved:
                logger.warning("a signal came: checkpoint-%d is saved; the same command with --resume_from_checkpoint "
                               "auto goes on from it", trainer.state.global_step)
                return PREEMPTED
            _save_weights(trainer)
            trainer.save_metrics("train", result.metrics)
            trainer.save_state()
        if args.do_eval:
            trainer.save_metrics("eval", trainer.final_metrics())
        if args.do_predict:
            trainer.save_metrics("test", trainer.predict(datasets["test"]))
    return 0


def _save_weights(trainer: BridgeTowerTrainer) -> None:
    """Write the trained model; no half of its weights stays when that fails."""
    try:
        trainer.save_model()
    except OSError:
        (Path(trainer.args.output_dir) / "model_state.pdparams").unlink(missing_ok=True)
        raise


def main(argv: list[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0; 2 when the command line, its files or its data cannot be used; 70 after an error that nothing foresaw; 75
        after a signal and a saved checkpoint.
    """
    argv = sys.argv[1:] if argv is None else argv
    if {"-h", "--help"} & {*argv}:
        print(short_help())
        return 0
    log_to_console()
    import_paddle()
    from ..experiment import SettingsError

    runs: list[Callable[[], int]] = []
    status = guarded(PROGRAM, lambda: runs.append(prepare(argv)) or 0)  # type: ignore[func-returns-value]
    # Once it trains, a ValueError is no longer about what the user wrote.
    known = (SettingsError, OSError, MemoryError)
    return status or guarded(PROGRAM, lambda: _without_loader_traceback(runs[0]), known)


def _without_loader_traceback(run: Callable[[], int]) -> int:
    """Run, and of an error that a loader process hands over with its whole traceback keep the message alone."""
    from ..datasets import UnreadableImageError
    from ..experiment import SettingsError

    try:
        return run()
    except UnreadableImageError as error:
        raise SettingsError(str(error).strip().rpartition(f"{UnreadableImageError.__name__}: ")[2]) from error


def run_program() -> None:
    """Run the command line of this process and end it."""
    die_with_launcher()
    exit_together(main())


def write_settings(args: BridgeTowerTrainingArguments, experiment: Experiment) -> None:
    """Keep all settings of a run in `training_args.json` and `experiment.json` of its output folder."""
    if args.process_index == 0:
        folder = Path(args.output_dir)
        write_json(folder / "training_args.json", json.loads(json.dumps(args.to_dict(), default=str)))
        write_json(folder / "experiment.json", experiment.to_dict())
