"""Signals, kills and a second run in the same folder: nothing is lost, and the numbers stay those of one run."""

from __future__ import annotations

import json
import os
import pickle
import resource
import shutil
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from paddle.utils import unique_name

import train
from bridgetower.files import locked_folder
from bridgetower.training import checkpoints
from bridgetower.training.checkpoints import newest_checkpoint
from bridgetower.training.preemption import PREEMPTED, Preemption
from bridgetower.training.trainer import BridgeTowerTrainer
from tests.miniature import write_experiment
from tests.two_ranks import ROOT, launch, rank_logs
from tests.warm_python import STATUSES

VQA = {"name": "vqa"}
pytestmark = pytest.mark.usefixtures("untuned")


def trained(mini: Path, name: str, output: Path, *flags: str, **settings: Any) -> int:
    """Train in a folder; returns the exit status."""
    config = write_experiment(mini, name, VQA, **{"max_steps": 6, **settings})
    with unique_name.guard():
        return train.main(["--config_name", str(config), "--output_dir", str(output), "--data_root",
                           str(mini / "data"), "--device", "cpu", "--do_train", *flags])


@pytest.fixture
def run(mini: Path, tmp_path: Path) -> Callable[..., int]:
    """run(output, *flags, **settings): train in a folder; returns the exit status."""
    return partial(trained, mini, tmp_path.name)


@pytest.fixture(scope="module")
def whole(mini: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that nothing has interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRIDGETOWER_TUNE_CPU", "0")  # as the fixture `untuned`
        assert trained(mini, folder.name, folder / "out") == 0
    return folder / "out"


def weights(folder: Path) -> dict[str, np.ndarray]:
    return paddle.load(str(folder / "model_state.pdparams"), return_numpy=True)


def assert_same_weights(left: Path, right: Path) -> None:
    found = weights(right)
    for name, value in weights(left).items():
        np.testing.assert_allclose(value, found[name], rtol=0, atol=1e-6, err_msg=name)


def signal_at(monkeypatch: pytest.MonkeyPatch, steps: set[int], number: int = signal.SIGTERM) -> None:
    """Let this process get a signal while it does these steps."""
    plain = Preemption.on_step_end

    def on_step_end(self: Preemption, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step in steps:
            os.kill(os.getpid(), number)
        plain(self, args, state, control, **kwargs)

    monkeypatch.setattr(Preemption, "on_step_end", on_step_end)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_saves_and_the_same_command_goes_on(run: Any, whole: Path, tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    before = signal.getsignal(number)
    signal_at(monkeypatch, {2, 3, 5}, number)
    command = (tmp_path / "out", "--resume_from_checkpoint", "auto")
    for step in (2, 3, 5):
        assert run(*command) == PREEMPTED
        assert newest_checkpoint(tmp_path / "out") == tmp_path / "out" / f"checkpoint-{step}"
        assert not (tmp_path / "out" / "model_state.pdparams").exists()  # the training has not ended
        assert signal.getsignal(number) == before
    assert run(*command) == 0
    assert_same_weights(whole, tmp_path / "out")


def test_a_cut_file_is_passed_over(run: Any, whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert run(tmp_path / "out", "--save_strategy", "steps", "--save_steps", "2") == 0
    shutil.rmtree(tmp_path / "out" / "checkpoint-6")
    scheduler = tmp_path / "out" / "checkpoint-4" / "scheduler.pdparams"
    content = scheduler.read_bytes()
    scheduler.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))  # of the right size
    with open(tmp_path / "out" / "metrics.jsonl", "a") as file:
        file.write('{"global_step": 4, "lo')
    assert run(tmp_path / "out", "--resume_from_checkpoint", "last") == 0
    assert "checkpoint-4 is passed over" in caplog.text
    assert_same_weights(whole, tmp_path / "out")
    steps = [json.loads(line)["global_step"] for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps) and steps.count(3) == 1


def test_a_new_run_leaves_no_checkpoint_of_the_old_one(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                                       ) -> None:
    saving = ("--save_strategy", "steps", "--save_steps", "3")
    assert run(tmp_path / "out", *saving, max_steps=6) == 0
    with monkeypatch.context() as patch:
        signal_at(patch, {2})
        assert run(tmp_path / "out", *saving, "--overwrite_output_dir", "true", max_steps=6) == PREEMPTED
    assert [path.name for path in sorted((tmp_path / "out").glob("checkpoint-*"))] == ["checkpoint-2"]


def test_one_run_at_a_time(run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with locked_folder(tmp_path / "out"):
        assert run(tmp_path / "out") == 2
        assert [path.name for path in (tmp_path / "out").iterdir()] == [".lock"]
    assert f"train.py: error: {tmp_path / 'out'} is being written by process {os.getpid()}" in capsys.readouterr().err


@pytest.mark.slow
def test_another_total_batch_counts_samples(run: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """36 questions an epoch: 5 updates of 8, 9 of 4; step 6 is one epoch and 8 samples, which is step 11."""
    saving = ("--save_strategy", "steps", "--save_steps", "6")
    assert run(tmp_path / "out", *saving, max_steps=-1, num_train_epochs=3) == 0
    assert run(tmp_path / "out", *saving, "--per_device_train_batch_size", "4", "--resume_from_checkpoint",
               str(tmp_path / "out" / "checkpoint-6"), max_steps=-1, num_train_epochs=3) == 0
    assert "8 samples per update, this run takes 4: its step 6 counts as step 11" in caplog.text
    logged = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    rates = {line["global_step"]: line["learning_rate"] for line in logged if "learning_rate" in line}
    assert max(rates) == 27 and rates[12] == pytest.approx(0.003 * (27 - 12) / (27 - 2), rel=1e-2)


class Harmful:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("place", ["elsewhere", "planted"])
def test_the_best_checkpoint_runs_no_code(run: Any, tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str],
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one outside of the output folder nor one that was changed inside is unpickled unchecked, nor any file."""
    opened: list[str] = []
    looked_at: list[str] = []
    unpickle, check = pickle.load, checkpoints.check_pickle

    def load(file: Any, **settings: Any) -> Any:
        opened.append(str(getattr(file, "name", file)))
        assert opened[-1] in looked_at
        return unpickle(file, **settings)

    def check_pickle(file: Path) -> None:
        looked_at.append(str(file))
        check(file)

    flags = ("--do_eval", "--evaluation_strategy", "steps", "--eval_steps", "1", "--save_strategy", "steps",
             "--save_steps", "1", "--load_best_model_at_end", "true")
    assert run(tmp_path / "out", *flags, max_steps=2) == 0
    evil = tmp_path / ("evil/checkpoint-1" if place == "elsewhere" else "out/checkpoint-1")
    evil.mkdir(parents=True, exist_ok=True)
    (evil / "model_state.pdparams").write_bytes(pickle.dumps({"w": Harmful(tmp_path / "made")}))
    state = tmp_path / "out" / "checkpoint-2" / "trainer_state.json"
    from bridgetower.training.checkpoints import write_manifest

    state.write_text(json.dumps(json.loads(state.read_text()) | {"best_model_checkpoint": str(evil),
                                                                 "best_metric": 9.0}))
    write_manifest(state.parent, 8)
    with monkeypatch.context() as patch:
        patch.setattr(pickle, "load", load)
        patch.setattr(checkpoints, "check_pickle", check_pickle)
        status = run(tmp_path / "out", *flags, "--resume_from_checkpoint", str(state.parent), max_steps=3)
    assert not (tmp_path / "made").exists() and opened
    assert status == (0 if place == "elsewhere" else 2)
    if place == "planted":
        assert "model_state.pdparams cannot be read safely: it calls" in capsys.readouterr().err


def test_a_full_disk_ends_with_one_line(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                        capsys: pytest.CaptureFixture[str]) -> None:
    saving = ("--save_strategy", "steps", "--save_steps", "2")
    plain = BridgeTowerTrainer.save_model

    def save_model(self: BridgeTowerTrainer, output_dir: str | None = None, **settings: Any) -> None:
        plain(self, output_dir, **settings)
        if output_dir and output_dir.endswith("checkpoint-4"):
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(BridgeTowerTrainer, "save_model", save_model)
        assert run(tmp_path / "out", *saving) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert "checkpoint-4 could not be written (No space left on device; " in message and "GB free" in message
    assert newest_checkpoint(tmp_path / "out") == tmp_path / "out" / "checkpoint-2"
    assert run(tmp_path / "out", *saving, "--resume_from_checkpoint", "last") == 0


def test_no_room_for_the_trained_model(run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The limit is that of a file's size, which is refused as a full disk is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        assert run(tmp_path / "out", max_steps=1) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    message = capsys.readouterr().err.splitlines()[-1]
    assert f"{tmp_path / 'out'} could not be written (File too large; " in message and "GB free); complete" in message
    assert not (tmp_path / "out" / "model_state.pdparams").exists()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "out" / "metrics.jsonl").unlink()
    (tmp_path / "pipe").rename(tmp_path / "out" / "metrics.jsonl")
    assert run(tmp_path / "out", max_steps=1) == 2
    assert "metrics.jsonl is no regular file; remove it" in capsys.readouterr().err.splitlines()[-1]


#: Trains with the words after the first, which is the step at which the second of two processes gets a signal.
SIGNALLED = """
import os, signal, sys
from bridgetower.training.preemption import Preemption
from bridgetower.training.run import run_program

step, plain = int(sys.argv.pop(1)), Preemption.on_step_end

def on_step_end(self, args, state, control, **kwargs):
    if os.environ["PADDLE_TRAINER_ID"] == "1" and state.global_step == step:
        os.kill(os.getpid(), signal.SIGTERM)
    plain(self, args, state, control, **kwargs)

Preemption.on_step_end = on_step_end
run_program()
"""


@pytest.mark.slow
def test_two_processes_are_preempted_ten_times(mini: Path, warm_python: Path, tmp_path: Path) -> None:
    """One of two processes gets the signal, at another step each time; both save and end together."""
    config = write_experiment(mini, tmp_path.name, VQA, max_steps=11)
    (tmp_path / "signalled.py").write_text(SIGNALLED)

    def statuses(output: Path, step: int) -> list[int]:
        launch(warm_python, tmp_path / "log", tmp_path / "signalled.py", step, "--config_name", config, "--data_root",
               mini / "data", "--device", "cpu", "--do_train", "--batch_size", "8", "--per_device_train_batch_size",
               "4", "--resume_from_checkpoint", "auto", "--output_dir", output)
        return json.loads((tmp_path / "log" / STATUSES).read_text())

    assert statuses(tmp_path / "whole", 0) == [0, 0], rank_logs(tmp_path / "log")
    for step in range(1, 11):
        assert statuses(tmp_path / "out", step) == [PREEMPTED, PREEMPTED], rank_logs(tmp_path / "log")
    assert statuses(tmp_path / "out", 0) == [0, 0], rank_logs(tmp_path / "log")
    assert newest_checkpoint(tmp_path / "out") == tmp_path / "out" / "checkpoint-10"
    assert_same_weights(tmp_path / "whole", tmp_path / "out")


@pytest.mark.slow
def test_the_launcher_hands_the_status_on(mini: Path, tmp_path: Path) -> None:
    """A requeue sees what Paddle's launcher makes of the statuses of its processes."""
    config = write_experiment(mini, tmp_path.name, VQA, max_steps=2)
    script = tmp_path / "preempted.py"
    script.write_text(f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from bridgetower.training.preemption import Preemption
Preemption.on_step_begin = lambda self, args, state, control, **_: self._handle(15, None)
from bridgetower.training.run import run_program
run_program()
""")
    done = launch(sys.executable, tmp_path / "log", script, "--config_name", config, "--data_root", mini / "data",
                  "--device", "cpu", "--do_train", "--per_device_train_batch_size", "4", "--output_dir",
                  tmp_path / "out")
    assert done.returncode == PREEMPTED, rank_logs(tmp_path / "log")
    assert newest_checkpoint(tmp_path / "out") == tmp_path / "out" / "checkpoint-1"
