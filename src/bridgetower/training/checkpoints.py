"""Checkpoint folders of training: finding the newest complete one, and reading only what is safe to read."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path
from typing import Any

from ..experiment import SettingsError

__all__ = ["check_checkpoint", "checkpoint_to_resume", "newest_checkpoint", "training_step"]

_FOLDER = re.compile(r"checkpoint-(\d+)")
#: Written in this order, so that a folder with the last one is complete.
_FILES = ("model_state.pdparams", "trainer_state.json", "scheduler.pdparams")

#: All that the files of a checkpoint need to build: numbers, arrays and the states of random generators.
_ALLOWED = {(module, name) for package in ("numpy.core", "numpy._core") for module, name in (
    (f"{package}.multiarray", "_reconstruct"), (f"{package}.multiarray", "scalar"), (f"{package}.numeric",
                                                                                    "_frombuffer"))}
_ALLOWED |= {("numpy", "ndarray"), ("numpy", "dtype"), ("collections", "OrderedDict"), ("_codecs", "encode"),
             ("paddle.base.libpaddle", "GeneratorState")}


class _HarmlessUnpickler(pickle.Unpickler):
    """Refuses to build anything but what a checkpoint needs."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it calls {module}.{name}, which no checkpoint needs")
        return super().find_class(module, name)


def _optimizer_files(shards: int) -> tuple[str, ...]:
    """The states of the optimiser: one file, or with sharding one a shard."""
    return ("optimizer.pdopt",) if shards == 1 else tuple(f"optimizer.shard{i:02d}.pdopt" for i in range(shards))


def newest_checkpoint(folder: Path, shards: int | None = None) -> Path | None:
    """The complete checkpoint of an output folder with the most steps; None when there is none.

    Args:
        folder: where the checkpoints of a run are.
        shards: over how many devices its optimiser was sharded, 1 without sharding; None takes any.
    """
    found = {int(match[1]): path for path in folder.glob("checkpoint-*") if (match := _FOLDER.fullmatch(path.name))}

    def is_complete(path: Path) -> bool:
        optimizer = [file.name for file in path.glob("optimizer*.pdopt")]
        wanted = _optimizer_files(shards) if shards else optimizer[:1] or ("optimizer.pdopt",)
        return all((path / file).is_file() for file in (*_FILES, *wanted))

    complete = [step for step, path in found.items() if is_complete(path)]
    return found[max(complete)] if complete else None


def training_step(checkpoint: Path) -> int:
    """How many updates a checkpoint has seen.

    Raises:
        SettingsError: its trainer_state.json does not say.
    """
    file = checkpoint / "trainer_state.json"
    try:
        return int(json.loads(file.read_text(encoding="utf-8"))["global_step"])
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{file} has no global_step ({error}); resume from another checkpoint") from None


def check_checkpoint(checkpoint: Path, shards: int = 1) -> None:
    """Check that training can go on from a folder and that its files hold numbers only.

    PaddleNLP's Trainer unpickles them, which would run whatever a file of unknown origin tells it to.

    Args:
        checkpoint: the folder.
        shards: over how many devices the run shards its optimiser, 1 without sharding.

    Raises:
        FileNotFoundError: a file is missing.
        SettingsError: a file is broken, or calls what no checkpoint needs, or the optimiser was sharded otherwise.
    """
    wanted = _optimizer_files(shards)
    found = sorted(file.name for file in checkpoint.glob("optimizer*.pdopt"))
    missing = [file for file in (*_FILES, *wanted) if not (checkpoint / file).is_file()]
    if found and found != sorted(wanted):
        raise SettingsError(f"{checkpoint} holds {', '.join(found)}, but this run needs {', '.join(wanted)}: resume "
                            "with the --sharding and the number of devices that it was saved with, or start from its "
                            "weights with --checkpoint_path")
    if missing:
        raise FileNotFoundError(f"{checkpoint} lacks {', '.join(missing)}: training cannot go on from it; choose "
                                "another checkpoint, or start from its weights with --checkpoint_path")
    training_step(checkpoint)
    for file in sorted(checkpoint.iterdir()):
        if file.suffix not in (".pdparams", ".pdopt", ".pth"):
            continue
        try:
            with open(file, "rb") as stream:
                _HarmlessUnpickler(stream, encoding="latin1").load()
        except Exception as error:  # a broken pickle raises anything
            raise SettingsError(f"{file} cannot be read safely: {error}. Resume only from your own, complete "
                                "checkpoints") from None


def checkpoint_to_resume(args: Any) -> str | None:
    """The checkpoint that the run goes on from, checked.

    `--resume_from_checkpoint last` means the newest complete one in the output folder.

    Raises:
        FileNotFoundError: when it does not exist or lacks files.
        SettingsError: when its files are not to be trusted, or the output folder holds checkpoints of an earlier run,
            which a new run would rotate away.
    """
    folder = Path(args.output_dir)
    newest = newest_checkpoint(folder)
    if args.do_train and args.resume_from_checkpoint:
        shards = max(1, args.sharding_parallel_degree)
        path: Path | None = Path(args.resume_from_checkpoint)
        if args.resume_from_checkpoint == "last":
            path = newest_checkpoint(folder, shards) or newest
        if path is None or not path.is_dir():
            raise FileNotFoundError(f"--resume_from_checkpoint {args.resume_from_checkpoint}: there is no checkpoint "
                                    f"in {path or folder}; leave the flag out to start anew")
        check_checkpoint(path, shards)
        return str(path)
    if args.do_train and newest and not args.overwrite_output_dir:
        raise SettingsError(f"--output_dir {folder} holds {newest.name} of an earlier run; add "
                            "--resume_from_checkpoint last to go on, --overwrite_output_dir to start anew, or choose "
                            "another folder")
    return None
