"""Checkpoint folders of training: complete with their manifest, and read only after they were checked."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..conversion.errors import CheckpointError
from ..conversion.readers.checked_pickle import check_pickle
from ..experiment import SettingsError
from ..files import file_hash, write_json
from .trainer_state import training_state

__all__ = ["MANIFEST", "check_checkpoint", "check_file", "checkpoints_by_step", "complete_checkpoints",
           "newest_checkpoint", "remove_checkpoints", "rotate_checkpoints", "samples_per_update", "write_manifest"]

logger = logging.getLogger(__name__)

#: Written last, with the size and hash of every other file: a folder without it is incomplete.
MANIFEST = "manifest.json"
_FOLDER = re.compile(r"checkpoint-(\d+)")
_FILES = ("model_state.pdparams", "trainer_state.json", "scheduler.pdparams")
_PICKLES = (".pdparams", ".pdopt", ".pth")


def _optimizer_files(shards: int) -> tuple[str, ...]:
    """The states of the optimiser: one file, or with sharding one per shard."""
    return ("optimizer.pdopt",) if shards == 1 else tuple(f"optimizer.shard{i:02d}.pdopt" for i in range(shards))


def write_manifest(checkpoint: Path, samples_per_update: int) -> None:
    """Complete a checkpoint.

    Args:
        checkpoint: the folder, with all other files.
        samples_per_update: total batch of the run.
    """
    files = {file.name: {"size": file.stat().st_size, "sha256": file_hash(file)}
             for file in sorted(checkpoint.iterdir()) if file.is_file() and file.name != MANIFEST}
    write_json(checkpoint / MANIFEST, {"samples_per_update": samples_per_update, "files": files})


def _manifest(checkpoint: Path) -> dict[str, Any]:
    """The manifest of a checkpoint.

    Raises:
        FileNotFoundError: there is none.
        SettingsError: it is damaged.
    """
    file = checkpoint / MANIFEST
    if not file.is_file():
        raise FileNotFoundError(f"{checkpoint} lacks {MANIFEST}, which is written last: the checkpoint is incomplete; "
                                "choose another one, or start from its weights with --checkpoint_path")
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        batch, files = manifest["samples_per_update"], manifest["files"]
        sound = isinstance(batch, int) and batch > 0 and all(
            Path(name).name == name and isinstance(entry["size"], int) and isinstance(entry["sha256"], str)
            for name, entry in files.items())
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OSError):
        sound = False
    if not sound:
        raise SettingsError(f"{file} is damaged; resume from another checkpoint")
    return dict(manifest)


def samples_per_update(checkpoint: Path) -> int:
    """Total batch of the run that wrote a checkpoint."""
    return int(_manifest(checkpoint)["samples_per_update"])


def _has_all_files(checkpoint: Path, shards: int | None) -> bool:
    """Whether the files of the manifest are there in their sizes, and those that a run with `shards` needs among them.
    """
    try:
        files = _manifest(checkpoint)["files"]
    except (OSError, SettingsError):
        return False
    optimizer = [name for name in files if name.startswith("optimizer")]
    wanted = _optimizer_files(shards) if shards else optimizer[:1] or _optimizer_files(1)
    return set(files) >= {*_FILES, *wanted} and all(
        (checkpoint / name).is_file() and (checkpoint / name).stat().st_size == entry["size"]
        for name, entry in files.items())


def checkpoints_by_step(folder: Path) -> dict[int, Path]:
    """All checkpoint folders by their step."""
    return {int(match[1]): path for path in folder.glob("checkpoint-*") if (match := _FOLDER.fullmatch(path.name))}


def newest_checkpoint(folder: Path, shards: int | None = None) -> Path | None:
    """The complete checkpoint of an output folder with the most steps; None when there is none.

    Args:
        folder: where the checkpoints of a run are.
        shards: over how many devices its optimiser was sharded, 1 without sharding; None takes any.
    """
    return next(complete_checkpoints(folder, shards), None)


def complete_checkpoints(folder: Path, shards: int | None = None) -> Iterator[Path]:
    """The complete checkpoints, most steps first; see `newest_checkpoint`."""
    for _, path in sorted(checkpoints_by_step(folder).items(), reverse=True):
        if _has_all_files(path, shards):
            yield path


def remove_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of an earlier run, which would be taken for those of the new one."""
    for path in checkpoints_by_step(folder).values():
        logger.info("removing %s of an earlier run", path)
        shutil.rmtree(path)


def rotate_checkpoints(folder: Path, limit: int, best: Path | None) -> None:
    """Remove the checkpoints with the fewest steps.

    Args:
        folder: where they are.
        limit: how many to keep, the best one among them; with 1, the best and the newest.
        best: is never removed.
    """
    newest = [path for _, path in sorted(checkpoints_by_step(folder).items(), reverse=True)]
    kept = newest[:limit]
    if best in newest and best not in kept:
        kept = [*kept[:max(1, limit - 1)], best]
    for path in newest:
        if path not in kept:
            logger.info("removing %s, as --save_total_limit is %d", path, limit)
            shutil.rmtree(path, ignore_errors=True)


def check_checkpoint(checkpoint: Path, shards: int = 1) -> None:
    """Check that training can go on from a folder: its files are whole and hold numbers only.

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
    missing = [file for file in (*_FILES, *wanted) if not (checkpoint / file).exists()]
    if found and found != sorted(wanted):
        raise SettingsError(f"{checkpoint} holds {', '.join(found)}, but this run needs {', '.join(wanted)}: resume "
                            "with the --sharding and the number of devices that it was saved with, or start from its "
                            "weights with --checkpoint_path")
    if missing:
        raise FileNotFoundError(f"{checkpoint} lacks {', '.join(missing)}: training cannot go on from it; choose "
                                "another checkpoint, or start from its weights with --checkpoint_path")
    training_state(checkpoint)
    for file in sorted(checkpoint.iterdir()):
        if file.suffix in _PICKLES:
            check_file(file)
    for name, entry in _manifest(checkpoint)["files"].items():
        file = checkpoint / name
        if not file.is_file():
            raise FileNotFoundError(f"{checkpoint} lacks {name}: training cannot go on from it; choose another "
                                    "checkpoint, or start from its weights with --checkpoint_path")
        if file.stat().st_size != entry["size"] or file_hash(file) != entry["sha256"]:
            raise SettingsError(f"{file} is not what the checkpoint was completed with; resume from another one")


def check_file(file: Path) -> None:
    """Check that a pickled file holds numbers only.

    Raises:
        SettingsError: it does not, or it is broken.
    """
    try:
        check_pickle(file)
    except (CheckpointError, OSError) as error:
        raise SettingsError(f"{file} cannot be read safely: {error}. Resume only from your own, complete "
                            "checkpoints") from None
