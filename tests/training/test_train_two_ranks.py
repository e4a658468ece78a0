"""Two processes train, evaluate and predict what one does with the same total batch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from paddle.utils import unique_name

import train
from tests.miniature import NUM_TEST, write_experiment
from tests.two_ranks import ROOT, launch, rank_logs

#: Adam divides by the size of a gradient: without this, noise in one that is almost zero would be a full step.
ADAM = {"adam_epsilon": 1e-3}
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("untuned")]


def flags(config: Path, output: Path, per_device: int, *more: str) -> list[str]:
    return ["--config_name", str(config), "--data_root", str(config.parent / "data"), "--output_dir", str(output),
            "--device", "cpu", "--per_device_train_batch_size", str(per_device), "--batch_size", "8", *more]


def lines(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]


def assert_alike(one: Path, two: Path, keys: tuple[str, ...]) -> None:
    assert len(lines(one)) == len(lines(two))
    for left, right in zip(lines(one), lines(two), strict=True):
        assert {*left} == {*right}
        for key in {*keys} & {*left}:
            assert right[key] == pytest.approx(left[key], rel=2e-4), key
    theirs = paddle.load(str(two / "model_state.pdparams"), return_numpy=True)
    for name, value in paddle.load(str(one / "model_state.pdparams"), return_numpy=True).items():
        np.testing.assert_allclose(theirs[name], value, rtol=0, atol=2e-4, err_msg=name)


@pytest.mark.parametrize("per_device", [4, 2], ids=["whole", "accumulated"])
def test_question_answering(mini: Path, warm_python: Path, tmp_path: Path, per_device: int) -> None:
    config = write_experiment(mini, f"vqa{per_device}", {"name": "vqa"}, num_train_epochs=2, **ADAM)
    more = ("--do_train", "--do_eval", "--do_predict", "--evaluation_strategy", "epoch", "--save_strategy", "epoch",
            "--save_total_limit", "1")
    with unique_name.guard():
        assert train.main(flags(config, tmp_path / "one", 8, *more)) == 0
    done = launch(warm_python, tmp_path / "log", ROOT / "train.py", *flags(config, tmp_path / "two", per_device, *more))
    assert done.returncode == 0, rank_logs(tmp_path / "log")
    assert_alike(tmp_path / "one", tmp_path / "two", ("loss", "vqa_loss", "vqa_score", "eval_vqa_loss",
                                                      "eval_vqa_score", "learning_rate"))
    answers = [json.loads((tmp_path / run / "vqa_submit.json").read_text()) for run in ("one", "two")]
    assert answers[0] == answers[1]
    assert [row["question_id"] for row in answers[1]] == [10 * n + k for n in range(NUM_TEST) for k in range(3)]
    if per_device == 4:  # evaluation alone: one line in all; 14 samples in batches of 4 on two ranks
        done = launch(warm_python, tmp_path / "log2", ROOT / "train.py", *flags(
            config, tmp_path / "alone", per_device, "--do_eval", "--checkpoint_path", str(tmp_path / "two"), "--set",
            "data.debug_limit=7", "--per_device_eval_batch_size", "1"))
        assert done.returncode == 0, rank_logs(tmp_path / "log2")
        assert len(lines(tmp_path / "alone")) == 1


def test_contrastive_pretraining(mini: Path, warm_python: Path, tmp_path: Path) -> None:
    """The loss of each process reads the vectors of both."""
    config = write_experiment(mini, "itc", {"name": "pretrain", "objectives": ["itc"]}, num_train_epochs=2, **ADAM)
    with unique_name.guard():
        assert train.main(flags(config, tmp_path / "one", 8, "--do_train")) == 0
    done = launch(warm_python, tmp_path / "log", ROOT / "train.py", *flags(config, tmp_path / "two", 4, "--do_train"))
    assert done.returncode == 0, rank_logs(tmp_path / "log")
    assert_alike(tmp_path / "one", tmp_path / "two", ("loss", "itc_loss"))


def test_resuming_and_evaluating_all_objectives(mini: Path, warm_python: Path, tmp_path: Path) -> None:
    """Two processes go on where two have stopped; one has fewer samples to evaluate than the other."""
    config = write_experiment(mini, "all", {"name": "pretrain", "objectives": ["mlm", "itm_itc"]}, max_steps=4)
    more = ("--do_train", "--do_eval", "--evaluation_strategy", "steps", "--eval_steps", "2", "--save_strategy",
            "steps", "--save_steps", "2", "--set", "data.debug_limit=13", "--per_device_eval_batch_size", "2")
    done = launch(warm_python, tmp_path / "log", ROOT / "train.py", *flags(config, tmp_path / "out", 4, *more))
    assert done.returncode == 0, rank_logs(tmp_path / "log")
    whole = [line["loss"] for line in lines(tmp_path / "out") if "loss" in line]
    done = launch(warm_python, tmp_path / "log", ROOT / "train.py", *flags(config, tmp_path / "out", 4, *more),
                  "--resume_from_checkpoint", tmp_path / "out" / "checkpoint-2")
    assert done.returncode == 0, rank_logs(tmp_path / "log")
    np.testing.assert_allclose([line["loss"] for line in lines(tmp_path / "out") if "loss" in line], whole, rtol=1e-6)
