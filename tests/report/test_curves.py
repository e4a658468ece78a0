"""The log of a training run becomes curves, whatever its lines lack."""

import json
from pathlib import Path

import pytest

from bridgetower.report import Curve, read_curves


def _write(path: Path, *records: object) -> Path:
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return path


def test_each_logged_number_becomes_a_curve(tmp_path: Path) -> None:
    log = _write(
        tmp_path / "metrics.jsonl",
        {"global_step": 10, "loss": 3.0, "mlm_loss": 2.0, "device": "cpu"},
        {"global_step": 20, "loss": 2.5},
        {"global_step": 20, "eval_vqa_score": 0.5},
        {"train_runtime": 12.5},
    )
    assert read_curves(log) == {
        "loss": Curve([10, 20], [3.0, 2.5]),
        "mlm_loss": Curve([10], [2.0]),
        "eval_vqa_score": Curve([20], [0.5]),
    }


def test_a_resumed_run_replaces_the_steps_it_repeats(tmp_path: Path) -> None:
    records = [
        {"global_step": step, "loss": loss} for step, loss in ((10, 3.0), (20, 9.0), (30, 9.0), (20, 2.0), (30, 1.0))
    ]
    assert read_curves(_write(tmp_path / "log", *records)) == {"loss": Curve([10, 20, 30], [3.0, 2.0, 1.0])}


def test_values_that_are_no_finite_numbers_are_left_out(tmp_path: Path) -> None:
    log = _write(
        tmp_path / "log",
        {"global_step": 1, "loss": float("nan"), "flag": True, "acc": None},
        {"global_step": 2, "loss": 1},
    )
    assert read_curves(log) == {"loss": Curve([2], [1.0])}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"global_step": 1, "loss": 2}\n{"global_st', "line 2 is not JSON"),
        ("[1, 2]\n", "line 1 is a list, not an object"),
        ('{"train_runtime": 3}\n', "no line with global_step"),
        ("", "no line with global_step"),
    ],
)
def test_a_bad_log_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    log = tmp_path / "metrics.jsonl"
    log.write_text(text)
    with pytest.raises(ValueError, match=message) as raised:
        read_curves(log)
    assert str(log) in str(raised.value)


def test_a_missing_log_is_an_error_that_says_who_writes_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none.jsonl does not exist; train.py writes"):
        read_curves(tmp_path / "none.jsonl")
