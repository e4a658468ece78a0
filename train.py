"""Train, evaluate and predict: `python -m paddle.distributed.launch train.py --config_name FILE.json ...`."""

from __future__ import annotations

import sys
from collections.abc import Callable

from bridgetower.runtime import exit_together, log_to_console, shorten_paddlenlp_log, tune_cpu
from bridgetower.training.flags import short_help


def prepare(argv: list[str]) -> Callable[[], None]:
    """Check and build all that a command line asks for; what is returned does the work.

    Raises:
        ValueError, KeyError, OSError: with a message for the user.
    """
    from paddlenlp.trainer import set_seed
    from tqdm.contrib.logging import logging_redirect_tqdm

    from bridgetower.inputs.tokenizer import BridgeTowerTokenizer
    from bridgetower.tasks import get_task
    from bridgetower.training.towers import load_towers
    from trainer_util import BridgeTowerTrainer, checkpoint_to_resume, parse_arguments, write_settings
    from utils import Weights, build_data, build_model, build_processor, check_run

    args, experiment = parse_arguments(argv)
    task = get_task(experiment.task)
    check_run(experiment, task, args)
    resume = checkpoint_to_resume(args)
    wanted = {"train": args.do_train, "val": args.do_eval, "test": args.do_predict}
    splits = [split for split, is_wanted in wanted.items() if is_wanted]
    tokenizer = BridgeTowerTokenizer.from_pretrained(experiment.data.tokenizer) if task.reads_text else None
    processor = build_processor(experiment, tokenizer)
    checkpoint = resume or args.checkpoint_path
    weights = Weights.read(checkpoint) if checkpoint else None
    data = build_data(experiment, splits, args.data_root, tokenizer, args.seed, weights)
    set_seed(args.seed)
    model = build_model(experiment, tokenizer, data, weights, new_heads=args.do_train and not resume)
    if weights is None:
        load_towers(model, args.image_tower, args.text_tower)
    trainer = BridgeTowerTrainer(
        model, args=args, task=task, experiment=experiment, data_collator=data.train_collator,
        eval_collator=data.eval_collator, train_dataset=data.datasets.get("train"),
        eval_dataset=data.datasets.get("val"), tokenizer=processor, answers=data.answers)

    def run() -> None:
        write_settings(args, experiment)
        with logging_redirect_tqdm():
            if args.do_train:
                result = trainer.train(resume_from_checkpoint=resume)
                trainer.save_model()
                trainer.save_metrics("train", result.metrics)
                trainer.save_state()
            if args.do_eval:
                trainer.save_metrics("eval", trainer.evaluate())
            if args.do_predict:
                trainer.save_metrics("test", trainer.predict(data.datasets["test"]))

    return run


def main(argv: list[str] | None = None) -> int:
    """Run the command line; 2 when it, its files or its data cannot be used."""
    argv = sys.argv[1:] if argv is None else argv
    if {"-h", "--help"} & {*argv}:
        print(short_help())
        return 0
    log_to_console()
    tune_cpu()
    shorten_paddlenlp_log()
    from bridgetower.datasets import UnreadableImageError

    try:
        run = prepare(argv)
    except (ValueError, KeyError, OSError) as error:
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f"train.py: error: {message}", file=sys.stderr)
        return 2
    try:
        run()
    except UnreadableImageError as error:
        # A loader process hands over its whole traceback; the message is what follows the name of the error.
        message = str(error).strip().rpartition(f"{UnreadableImageError.__name__}: ")[2]
        print(f"train.py: error: {message}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    exit_together(main())
