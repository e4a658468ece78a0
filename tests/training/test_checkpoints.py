"""Checkpoint folders: the newest complete one, and none that would run code."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import paddle
import pytest

from bridgetower.experiment import SettingsError
from bridgetower.training.checkpoints import check_checkpoint, newest_checkpoint, training_step


class Harmful:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple:
        import os

        return os.mkdir, (str(self.folder),)


def write_checkpoint(folder: Path, step: int) -> Path:
    """A checkpoint as PaddleNLP's Trainer writes it."""
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    paddle.save({"w": paddle.ones([2, 2])}, str(path / "model_state.pdparams"))
    paddle.save({"w_moment1_0": paddle.ones([2]), "LR_Scheduler": {"last_lr": np.float64(0.1)}},
                str(path / "optimizer.pdopt"))
    paddle.save({"last_epoch": 3, "last_lr": 0.1}, str(path / "scheduler.pdparams"))
    paddle.save({"numpy": np.random.get_state(), "cpu": paddle.framework.core.default_cpu_generator().get_state()},
                str(path / "rng_state.pth"))
    return path


def test_newest_is_the_last_complete_one(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path) is None and newest_checkpoint(tmp_path / "nowhere") is None
    for step in (9, 10, 100):
        write_checkpoint(tmp_path, step)
    (tmp_path / "checkpoint-100" / "scheduler.pdparams").unlink()  # stopped while it was written
    (tmp_path / "checkpoint-best").mkdir()
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-10"


def test_shards_of_the_optimiser(tmp_path: Path) -> None:
    """A sharded run writes one file a shard, and only a run with as many shards can read them."""
    for step in (3, 4):
        path = write_checkpoint(tmp_path, step)
        (path / "optimizer.pdopt").rename(path / "optimizer.shard00.pdopt")
    first = tmp_path / "checkpoint-3"
    paddle.save({"w_moment1_0": paddle.ones([2])}, str(first / "optimizer.shard01.pdopt"))
    assert newest_checkpoint(tmp_path, 2) == first and newest_checkpoint(tmp_path, 1) is None
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-4"  # a new run must not overwrite it either
    check_checkpoint(first, 2)
    for shards in (1, 4):
        with pytest.raises(SettingsError, match="shard01.pdopt, but this run needs optimizer.* --sharding"):
            check_checkpoint(first, shards)
    (first / "optimizer.shard01.pdopt").write_bytes(pickle.dumps({"w": [Harmful(tmp_path / "made")]}))
    with pytest.raises(SettingsError, match="shard01.pdopt cannot be read safely"):
        check_checkpoint(first, 2)


def test_a_checkpoint_of_training_is_accepted(tmp_path: Path) -> None:
    check_checkpoint(write_checkpoint(tmp_path, 5))
    assert training_step(tmp_path / "checkpoint-5") == 5


@pytest.mark.parametrize("file", ["model_state.pdparams", "optimizer.pdopt", "scheduler.pdparams", "rng_state.pth",
                                  "rng_state_2.pth", "scaler.pdparams"])
def test_nothing_harmful_is_built(tmp_path: Path, file: str) -> None:
    checkpoint = write_checkpoint(tmp_path, 1)
    (checkpoint / file).write_bytes(pickle.dumps({"w": [Harmful(tmp_path / "made")]}))
    with pytest.raises(SettingsError, match=f"{file} cannot be read safely: it calls .*mkdir"):
        check_checkpoint(checkpoint)
    assert not (tmp_path / "made").exists()


def test_broken_files(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path, 1)
    (checkpoint / "optimizer.pdopt").write_bytes((checkpoint / "optimizer.pdopt").read_bytes()[:40])
    with pytest.raises(SettingsError, match="optimizer.pdopt cannot be read"):
        check_checkpoint(checkpoint)
    (checkpoint / "optimizer.pdopt").unlink()
    with pytest.raises(FileNotFoundError, match="lacks optimizer.pdopt"):
        check_checkpoint(checkpoint)
