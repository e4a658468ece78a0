"""Checkpoint folders: the newest complete one, and none that would run code."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import numpy as np
import paddle
import pytest

from bridgetower.experiment import SettingsError
from bridgetower.training.checkpoints import (
    MANIFEST,
    check_checkpoint,
    newest_checkpoint,
    rotate_checkpoints,
    write_manifest,
)
from bridgetower.training.trainer_state import resumed_step, training_state, training_step


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
    write_manifest(path, 8)
    return path


def test_newest_is_the_last_complete_one(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path) is None and newest_checkpoint(tmp_path / "nowhere") is None
    for step in (9, 10, 100):
        write_checkpoint(tmp_path, step)
    (tmp_path / "checkpoint-100" / "scheduler.pdparams").unlink()  # stopped while it was written
    (tmp_path / "checkpoint-best").mkdir()
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-10"


def test_shards_of_the_optimiser(tmp_path: Path) -> None:
    """A sharded run writes one file per shard, and only a run with as many shards can read them."""
    for step in (3, 4):
        path = write_checkpoint(tmp_path, step)
        (path / "optimizer.pdopt").rename(path / "optimizer.shard00.pdopt")
        write_manifest(path, 8)
    first = tmp_path / "checkpoint-3"
    paddle.save({"w_moment1_0": paddle.ones([2])}, str(first / "optimizer.shard01.pdopt"))
    write_manifest(first, 8)
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


def billion_laughs() -> bytes:
    """A list of two references to a list of two references ... to a list: small to write, endless to walk through."""
    value: list = []
    for _ in range(60):
        value = [value, value]
    return pickle.dumps({"w": value})


def deep_list() -> bytes:
    return b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b"."


def tuple_key() -> bytes:
    """A dictionary whose key takes for ever to hash."""
    return b"\x80\x02}K\x01" + b"2\x86" * 60 + b"K\x01s."


@pytest.mark.parametrize("content", [
    billion_laughs(), deep_list(), tuple_key(), b"\x80\x02]r\xff\xff\xff\x7f.",
    b"\x80\x04\x8e" + b"\xff" * 7 + b"\x00.",
    b"\x80\x04\x8f.", pickle.dumps({"w": np.array([object()], dtype=object)}), pickle.dumps({"w": {1, 2}}), b"",
    b"\x80",
], ids=["laughs", "deep", "tuple_key", "memo", "length", "set", "objects", "set_of_numbers", "empty", "cut"])
def test_hostile_pickles_are_refused_at_once(tmp_path: Path, content: bytes) -> None:
    checkpoint = write_checkpoint(tmp_path, 1)
    (checkpoint / "rng_state.pth").write_bytes(content)
    with pytest.raises(SettingsError, match="rng_state.pth cannot be read safely"):
        check_checkpoint(checkpoint)


def test_what_is_not_a_file_is_refused(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path, 1)
    (checkpoint / "rng_state.pth").unlink()
    os.mkfifo(checkpoint / "rng_state.pth")
    with pytest.raises(SettingsError, match="rng_state.pth cannot be read safely: it is not a regular file"):
        check_checkpoint(checkpoint)


def test_a_file_that_changed_after_the_manifest(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path, 1)
    paddle.save({"last_epoch": 4, "last_lr": 0.1}, str(checkpoint / "scheduler.pdparams"))
    with pytest.raises(SettingsError, match="scheduler.pdparams is not what the checkpoint was completed with"):
        check_checkpoint(checkpoint)
    (checkpoint / MANIFEST).unlink()
    with pytest.raises(FileNotFoundError, match="lacks manifest.json, which is written last"):
        check_checkpoint(checkpoint)
    assert newest_checkpoint(tmp_path) is None


@pytest.mark.parametrize("content", ["", "[]", "{}", "{\"files\": 3, \"samples_per_update\": 1}", "[" * 100_000,
                                     "{\"files\": {\"../x\": {}}, \"samples_per_update\": 8}"])
def test_damaged_manifests(tmp_path: Path, content: str) -> None:
    checkpoint = write_checkpoint(tmp_path, 1)
    (checkpoint / MANIFEST).write_text(content)
    with pytest.raises(SettingsError, match="manifest.json is damaged"):
        check_checkpoint(checkpoint)


@pytest.mark.parametrize("changes", [
    {"global_step": -1}, {"global_step": 1.5}, {"global_step": True}, {"global_step": 1 << 60}, {"epoch": "x"},
    {"best_model_checkpoint": []}, {"log_history": {}}, {"log_history": [3]}, {"best_metric": "high"}, {"evil": 1}])
def test_odd_trainer_states(tmp_path: Path, changes: dict) -> None:
    checkpoint = write_checkpoint(tmp_path, 1)
    (checkpoint / "trainer_state.json").write_text(json.dumps({"global_step": 1} | changes))
    with pytest.raises(SettingsError, match="trainer_state.json"):
        training_state(checkpoint)


def test_rotation_goes_by_steps_and_keeps_the_best(tmp_path: Path) -> None:
    for step in (10, 9, 8, 7):  # the later a folder was written, the fewer steps it has
        write_checkpoint(tmp_path, step)

    def left() -> set[int]:
        return {int(path.name.split("-")[1]) for path in tmp_path.iterdir()}

    rotate_checkpoints(tmp_path, 3, tmp_path / "checkpoint-7")
    assert left() == {10, 9, 7}
    rotate_checkpoints(tmp_path, 1, tmp_path / "checkpoint-7")
    assert left() == {10, 7}
    rotate_checkpoints(tmp_path, 1, None)
    assert left() == {10}


@pytest.mark.parametrize(("step", "old", "new", "samples", "drop_last", "expected"), [
    (7, 8, 8, 36, False, 7), (5, 8, 4, 36, False, 9), (9, 4, 8, 36, False, 5), (2, 8, 4, 36, False, 4),
    (3, 4, 8, 36, False, 1), (4, 8, 4, 36, True, 9), (7, 8, 16, 36, False, 4)])
def test_another_total_batch_counts_samples(step: int, old: int, new: int, samples: int, drop_last: bool, expected: int
                                            ) -> None:
    assert resumed_step(step, old, new, samples, drop_last) == expected
