"""Sharding the optimiser changes no number where Paddle can do it, and is refused where it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle.utils import unique_name

import train
from bridgetower.experiment import SettingsError
from bridgetower.training.sharding import check_parallelism, check_sharding
from tests.miniature import write_experiment, write_miniature
from tests.two_ranks import ROOT, has_traceback, launch, rank_logs


@pytest.mark.parametrize(("sharding", "config", "world_size", "device", "expected"), [
    ("", "", 2, "cpu", False),
    ("stage1", "", 1, "cpu", False),
    ("stage1", "", 2, "cpu", True),
    ("stage2", "enable_stage2_overlap", 2, "gpu:0", True),
    ("stage2", "", 2, "cpu", "GPUs only"),
    ("stage3", "", 2, "gpu", "none of stage1 and stage2"),
    ("stage2 offload", "", 2, "gpu", "none of stage1 and stage2"),
    ("stage1", "split_param", 2, "gpu", "split_param joins parameters"),
    ("stage1", "enable_stage1_tensor_fusion", 2, "gpu", "enable_stage1_tensor_fusion joins parameters"),
])
def test_what_can_be_sharded(sharding: str, config: str, world_size: int, device: str, expected: bool | str) -> None:
    if isinstance(expected, bool):
        assert check_sharding(sharding, config, world_size, device) is expected
        return
    with pytest.raises(SettingsError, match=expected):
        check_sharding(sharding, config, world_size, device)


def test_the_model_is_not_split() -> None:
    check_parallelism({"tensor_parallel_degree": -1, "pipeline_parallel_degree": 1})
    with pytest.raises(SettingsError, match="--pipeline_parallel_degree 2"):
        check_parallelism({"tensor_parallel_degree": -1, "pipeline_parallel_degree": 2})


def flags(config: Path, output: Path, *more: str) -> list[str]:
    return ["--config_name", str(config), "--data_root", str(config.parent / "data"), "--output_dir", str(output),
            "--device", "cpu", "--do_train", "--batch_size", "8", *more]


def losses(output: Path) -> list[float]:
    lines = map(json.loads, (output / "metrics.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if "loss" in line]


def weights(folder: Path) -> dict[str, np.ndarray]:
    return paddle.load(str(folder / "model_state.pdparams"), return_numpy=True)


def test_one_line_at_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                      caplog: pytest.LogCaptureFixture) -> None:
    config = write_experiment(write_miniature(tmp_path), "vqa", {"name": "vqa"}, max_steps=1)
    assert train.main(flags(config, tmp_path / "out", "--sharding", "stage3")) == 2
    assert capsys.readouterr().err.startswith("train.py: error: --sharding 'stage3'")
    assert train.main(flags(config, tmp_path / "out", "--sharding", "stage1")) == 0
    assert "--sharding stage1 has no effect on one device" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("per_device", [4, 2], ids=["whole", "accumulated"])
@pytest.mark.usefixtures("untuned")
def test_stage_1_gives_what_one_process_gives(warm_python: Path, tmp_path: Path, per_device: int) -> None:
    """With three rates, decay and clipping, so that a lost group, or a norm of a part only, would show."""
    rates = {"learning_rate": 0.003, "lr_mult_head": 3, "lr_mult_cross_modal": 2}
    # Adam divides by the size of a gradient: with a small epsilon, noise in one that is almost zero would be a step.
    config = write_experiment(write_miniature(tmp_path), "vqa", {"name": "vqa"}, num_train_epochs=2, adam_epsilon=1e-3,
                              weight_decay=0.1, max_grad_norm=1.0, save_strategy="steps", save_steps=5)
    settings = json.loads(config.read_text()) | {"optimization": rates}
    config.write_text(json.dumps(settings))
    with unique_name.guard():
        assert train.main(flags(config, tmp_path / "one", "--per_device_train_batch_size", "8")) == 0
    sharded = flags(config, tmp_path / "two", "--per_device_train_batch_size", str(per_device), "--sharding", "stage1")
    done = launch(warm_python, tmp_path / "log", ROOT / "train.py", *sharded)
    assert done.returncode == 0, rank_logs(tmp_path / "log")
    whole = losses(tmp_path / "two")
    np.testing.assert_allclose(whole, losses(tmp_path / "one"), rtol=2e-4)
    expected = weights(tmp_path / "one")
    for name, value in weights(tmp_path / "two").items():
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=2e-4, err_msg=name)

    checkpoint = tmp_path / "two" / "checkpoint-5"
    states = [paddle.load(str(checkpoint / f"optimizer.shard0{rank}.pdopt")) for rank in range(2)]
    moments = [{name for name in state if "_moment1_" in name} for state in states]
    assert moments[0] and moments[1] and not moments[0] & moments[1]  # each state is kept once
    assert len(moments[0] | moments[1]) == len(expected)

    if per_device == 4:
        done = launch(warm_python, tmp_path / "log", ROOT / "train.py", *sharded, "--resume_from_checkpoint",
                      checkpoint)
        assert done.returncode == 0, rank_logs(tmp_path / "log")
        np.testing.assert_allclose(losses(tmp_path / "two"), whole, rtol=1e-6)


@pytest.mark.slow
def test_what_cannot_be_sharded_ends_all_processes_with_one_line(warm_python: Path, tmp_path: Path) -> None:
    config = write_experiment(write_miniature(tmp_path), "vqa", {"name": "vqa"}, max_steps=1)
    arguments = flags(config, tmp_path / "out", "--per_device_train_batch_size", "4")
    for more, message in ((("--sharding", "stage2"), "--sharding stage2: Paddle shards gradients on GPUs only"),
                          (("--sharding", "stage1", "--sharding_parallel_degree", "3"),
                           "--sharding_parallel_degree 3 does not divide the 2 devices")):
        done = launch(warm_python, tmp_path / "log", ROOT / "train.py", *arguments, *more)
        log = rank_logs(tmp_path / "log")
        assert done.returncode != 0 and f"train.py: error: {message}" in log and not has_traceback(log)
        assert not (tmp_path / "out").exists()
