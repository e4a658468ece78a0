"""Training stops after a number of evaluations without a new best one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import train
from tests.miniature import write_experiment, write_miniature


def test_a_model_that_does_not_learn_stops(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_miniature(tmp_path)
    config = write_experiment(
        tmp_path, "stop", {"name": "vqa"}, learning_rate=0, lr_scheduler_type="constant", num_train_epochs=9,
        evaluation_strategy="epoch", save_strategy="epoch", save_total_limit=1, load_best_model_at_end=True,
        early_stopping_patience=2, per_device_train_batch_size=36)
    assert train.main(["--config_name", str(config), "--data_root", str(tmp_path / "data"), "--output_dir",
                       str(tmp_path / "out"), "--do_train", "--do_predict", "--device", "cpu"]) == 0
    state = json.loads((tmp_path / "out/trainer_state.json").read_text())
    assert state["global_step"] == 3  # the first evaluation is the best one, two more are not better
    assert Path(state["best_model_checkpoint"]).name == "checkpoint-1"
    assert "early stopping" not in caplog.text  # predictions have no metric to stop by


def test_it_needs_the_best_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_experiment(tmp_path, "stop", {"name": "vqa"}, early_stopping_patience=2)
    assert train.main(["--config_name", str(config), "--output_dir", str(tmp_path / "out"), "--do_train",
                       "--device", "cpu"]) == 2
    assert "needs --load_best_model_at_end" in capsys.readouterr().err
