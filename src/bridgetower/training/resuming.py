"""Going on from a checkpoint: which one, and reading nothing of it unchecked."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paddle
from paddlenlp.trainer.trainer_callback import TrainerState

from ..experiment import SettingsError
from ..files import check_folder
from .checkpoints import check_checkpoint, check_file, complete_checkpoints, newest_checkpoint
from .trainer_state import training_state

__all__ = ["checked_loads", "checkpoint_to_resume"]

logger = logging.getLogger(__name__)


@contextmanager
def checked_loads(first_step: int = 0) -> Iterator[None]:
    """Within the block, PaddleNLP's Trainer checks the files of a checkpoint before it reads them.

    It calls `paddle.load` and `TrainerState.load_from_json` by name wherever it does, and offers no other place.

    Args:
        first_step: updates that a resumed run has done, counted in its own total batch.
    """
    plain, plain_state = paddle.load, TrainerState.load_from_json

    def load(path: Any, *args: Any, **settings: Any) -> Any:
        check_file(Path(path))
        return plain(path, *args, **settings)

    def load_state(path: Any) -> TrainerState:
        return TrainerState(**(training_state(Path(path).parent) | {"global_step": first_step}))

    paddle.load, TrainerState.load_from_json = load, load_state
    try:
        yield
    finally:
        paddle.load, TrainerState.load_from_json = plain, plain_state


def checkpoint_to_resume(args: Any) -> str | None:
    """The checkpoint that the run goes on from, checked.

    `--resume_from_checkpoint last` means the newest complete one in the output folder; `auto` the same, or a new start
    when there is none.

    Raises:
        FileNotFoundError: when it does not exist or lacks files.
        SettingsError: when its files are not to be trusted, or the output folder holds checkpoints of an earlier run,
            which a new run would rotate away.
        FileExistsError: the output folder is a file.
    """
    folder, name = Path(args.output_dir), args.resume_from_checkpoint
    check_folder(folder)
    if name and not args.do_train:
        raise SettingsError(f"--resume_from_checkpoint {name} goes on with a training, and --do_train is missing; add "
                            "it, or evaluate a checkpoint with --checkpoint_path")
    if name in ("last", "auto"):
        path = _last_sound_checkpoint(folder, max(1, args.sharding_parallel_degree))
        if path is None and name == "last":
            raise FileNotFoundError(f"--resume_from_checkpoint last: there is no checkpoint in {folder} that is "
                                    "complete; leave the flag out to start anew")
        return None if path is None else str(path)
    if name:
        path = Path(name)
        if not path.is_dir():
            raise FileNotFoundError(f"--resume_from_checkpoint {name}: there is no checkpoint in {path}; leave the "
                                    "flag out to start anew")
        check_checkpoint(path, max(1, args.sharding_parallel_degree))
        return str(path)
    newest = newest_checkpoint(folder)
    if args.do_train and newest and not args.overwrite_output_dir:
        raise SettingsError(f"--output_dir {folder} holds {newest.name} of an earlier run; add "
                            "--resume_from_checkpoint last to go on, --overwrite_output_dir to start anew, or choose "
                            "another folder")
    return None


def _last_sound_checkpoint(folder: Path, shards: int) -> Path | None:
    """The newest complete checkpoint whose files are sound; damaged ones are named and passed over.

    Raises:
        SettingsError, FileNotFoundError: there are complete ones, but none can be used; says why of the newest.
    """
    failure: Exception | None = None
    fitting = list(complete_checkpoints(folder, shards))
    for path in fitting or complete_checkpoints(folder):  # of those that do not fit, the error says why
        try:
            check_checkpoint(path, shards)
            return path
        except (SettingsError, FileNotFoundError) as error:
            failure = failure or error
            logger.warning("%s is passed over: %s", path.name, error)
    if failure is not None:
        raise failure
    return None
