"""The command line: what its flags mean, and which of file and flag wins."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paddle.utils import unique_name

import train
from bridgetower.experiment import SettingsError
from bridgetower.training.flags import EXAMPLE, OWN_FLAGS
from bridgetower.training.optimization import learning_rate_schedule
from tests.miniature import MODEL, write_experiment, write_miniature
from trainer_util import BridgeTowerTrainingArguments, WholeUpdates, parse_arguments

ROOT = Path(train.__file__).parent
CONFIGS = sorted((ROOT / "configs").glob("*.json"))

PRE_TRAINING = """--output_dir {0} --do_train --do_eval --evaluation_strategy epoch --learning_rate 1.0
    --eval_steps 1000 --warmup_ratio 0.1 --save_steps 1000 --dataloader_num_workers 8 --logging_steps 50
    --num_nodes 1 --num_gpus 8 --per_device_train_batch_size 16 --per_device_eval_batch_size 128
    --batch_size 128 --num_train_epochs 10
    --weight_decay 0.01 --save_total_limit 50 --adam_epsilon 1e-8 --adam_beta1 0.9 --adam_beta2 0.98
    --lr_scheduler_type polynomial --lr_end 0 --power 1 --seed 1 --max_grad_norm -1 --max_steps 100000
    --label_names text_labels --data_root pre-train --config_name {1}"""
ENTAILMENT = """--output_dir {0} --do_eval --do_train --learning_rate 1.0 --warmup_ratio 0.06 --logging_steps 50
    --eval_steps 100 --evaluation_strategy epoch --num_nodes 1 --num_gpus 8 --per_device_train_batch_size 8
    --per_device_eval_batch_size 64 --batch_size 64 --dataloader_num_workers 8 --save_steps 8000 --num_train_epochs 5
    --weight_decay 0.01 --save_total_limit 50 --adam_epsilon 1e-8 --adam_beta1 0.9 --adam_beta2 0.98 --seed 1
    --data_root fine-tune --lr_scheduler_type polynomial --checkpoint_path ./model_state.pdparams --lr_end 0 --power 1
    --max_grad_norm -1 --config_name {1}"""


def parsed(line: str, tmp_path: Path, config: str = "{}") -> BridgeTowerTrainingArguments:
    (tmp_path / "experiment.json").write_text(config)
    return parse_arguments(line.format(tmp_path / "out", tmp_path / "experiment.json").split())[0]


def test_command_line_of_pre_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        args = parsed(PRE_TRAINING, tmp_path)
    assert args.gradient_accumulation_steps == 8  # of 128 samples, 16 pass at once on the one device of this process
    assert "--num_nodes 1 x --num_gpus 8 is 8 devices, but the launcher started 1" in caplog.text
    assert (args.evaluation_strategy.value, args.save_strategy.value, args.save_steps) == ("epoch", "steps", 1000)
    assert (args.max_steps, args.save_total_limit, args.logging_steps, args.seed) == (100000, 50, 50, 1)
    assert args.label_names == ["text_labels"] and args.max_grad_norm == -1 and args.data_root == "pre-train"
    assert (args.adam_beta1, args.adam_beta2, args.adam_epsilon, args.weight_decay) == (0.9, 0.98, 1e-8, 0.01)
    assert args.report_to == ["visualdl"] and args.metric_for_best_model == "the_metric" and args.greater_is_better
    schedule = learning_rate_schedule(args.lr_scheduler_type, 1e-5 * args.learning_rate, args.max_steps,
                                      args.warmup_ratio, args.lr_end, args.power)
    for step, rate in ((0, 0), (5000, 0.5e-5), (10000, 1e-5), (55000, 0.5e-5), (100000, 0)):
        schedule.step(step)
        assert schedule() == pytest.approx(rate, abs=1e-12)


def test_command_line_of_visual_entailment(tmp_path: Path) -> None:
    args = parsed(ENTAILMENT, tmp_path)
    assert args.gradient_accumulation_steps == 8 and args.warmup_ratio == 0.06 and args.num_train_epochs == 5
    assert args.checkpoint_path == "./model_state.pdparams" and args.do_eval and not args.do_predict


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    config = '{"training": {"seed": 7, "save_steps": 9, "do_train": true, "label_names": ["a", "b"], "bf16": false}}'
    args = parsed("--output_dir {0} --config_name {1} --seed 8", tmp_path, config)
    assert (args.seed, args.save_steps, args.do_train, args.label_names) == (8, 9, True, ["a", "b"])
    assert args.learning_rate == 1.0  # a factor on the file's rates


def test_an_evaluation_strategy_does_not_ask_for_evaluation_alone(tmp_path: Path) -> None:
    config = '{"training": {"evaluation_strategy": "epoch"}}'
    line = "--output_dir {0} --config_name {1} --checkpoint_path x"
    assert not parsed(f"{line} --do_predict", tmp_path, config).do_eval
    assert parsed(f"{line} --do_train", tmp_path, config).do_eval


def test_no_evaluation_strategy_measures_at_the_end_only(tmp_path: Path) -> None:
    args = parsed("--output_dir {0} --config_name {1} --do_train --do_eval --evaluation_strategy no", tmp_path, "{}")
    assert args.do_eval and args.evaluation_strategy.value == "no"


@pytest.mark.parametrize("more", ["", "--output_di x", "--set data.image_size", "--fp16 --bf16"])
def test_errors_are_for_the_reader(tmp_path: Path, more: str) -> None:
    line = "--config_name {1} --do_train " + ("" if more in ("", "--output_di x") else "--output_dir {0} ") + more
    with pytest.raises(ValueError) as error:
        parsed(line, tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_experiment_file_is_valid(config: Path, tmp_path: Path) -> None:
    from bridgetower.tasks import get_task

    args, experiment = parse_arguments(["--config_name", str(config), "--output_dir", str(tmp_path), "--do_train"])
    # Files for one's own data leave the data set to the command line.
    is_own_data = config.stem.startswith(("finetune_", "quickstart_digits"))
    assert get_task(experiment.task) and bool(experiment.data.datasets) != is_own_data
    assert experiment.training.keys() <= vars(args).keys()


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert EXAMPLE in text and all(f"--{name}" in text for name in OWN_FLAGS)
    named = {word.strip(",") for line in text.splitlines() if line.startswith("  --") for word in line.split()}
    known = {f"--{name}" for name in BridgeTowerTrainingArguments.__dataclass_fields__}
    assert named <= known
    with pytest.raises(SystemExit) as end:
        parse_arguments(["--help_all"])
    assert end.value.code == 0 and "--sharding" in capsys.readouterr().out


@pytest.mark.parametrize("samples, batch, replicas, steps, drop", [
    (36, 8, 1, 1, False), (17, 4, 1, 2, False), (17, 2, 2, 2, False), (17, 1, 1, 8, True), (3, 2, 2, 2, False)])
def test_whole_updates(samples: int, batch: int, replicas: int, steps: int, drop: bool) -> None:
    """All batches of an update together are the batch of one device without accumulation."""
    common = dict(shuffle=True, drop_last=drop, seed=4)
    ranks = [list(WholeUpdates(range(samples), batch, steps, num_replicas=replicas, rank=rank, **common))
             for rank in range(replicas)]
    total = batch * replicas * steps
    whole = list(WholeUpdates(range(samples), total, 1, num_replicas=1, rank=0, **common))
    assert all(len(batches) == len(whole) * steps for batches in ranks)
    for number, expected in enumerate(whole):
        parts = [ranks[rank][number * steps + step] for step in range(steps) for rank in range(replicas)]
        np.testing.assert_array_equal(np.concatenate(parts), expected)


def test_dropping_everything_is_an_error(tmp_path: Path) -> None:
    assert len(WholeUpdates(range(7), 4, 2, drop_last=True, num_replicas=1, rank=0)) == 0
    with pytest.raises(SettingsError, match="--batch_size 30 is not a multiple"):
        parsed("--config_name {1} --output_dir {0} --do_train --batch_size 30 --per_device_train_batch_size 4",
               tmp_path)


@pytest.mark.usefixtures("untuned")
def test_recompute_reaches_both_towers_and_the_cross_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In training only, and with dropout: a layer that is computed again draws the same numbers."""
    import paddle.distributed.fleet.utils as fleet_utils

    again: list[str] = []
    original = fleet_utils.recompute

    def recompute(layer: Any, *inputs: Any) -> Any:
        again.append(type(layer).__name__)
        return original(layer, *inputs)

    monkeypatch.setattr(fleet_utils, "recompute", recompute)
    text = {**MODEL["text_config"], "hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.2}
    config = write_experiment(write_miniature(tmp_path), "vqa", {"name": "vqa"}, max_steps=2, model={
        **MODEL, "hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.2, "text_config": text})
    losses = {}
    for name, more in (("plain", []), ("recomputed", ["--recompute"])):
        with unique_name.guard():
            assert train.main(["--config_name", str(config), "--data_root", str(tmp_path / "data"), "--output_dir",
                               str(tmp_path / name), "--device", "cpu", "--do_train", "--do_eval", *more]) == 0
        lines = map(json.loads, (tmp_path / name / "metrics.jsonl").read_text().splitlines())
        losses[name] = [value for line in lines for key, value in line.items() if key in ("loss", "eval_vqa_loss")]
        assert bool(again) is bool(more)
    # Two updates, two layers in each tower and in each cross-modal stack.
    assert {kind: again.count(kind) for kind in set(again)} == {"BertLayer": 4, "ImageBlock": 4, "BertCrossLayer": 8}
    np.testing.assert_allclose(losses["recomputed"], losses["plain"], rtol=1e-5)
