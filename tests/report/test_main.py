"""The command: prints the table, saves the pictures, and refuses bad input in one line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from bridgetower.datasets.arrow import ArrowTable
from bridgetower.report.__main__ import main


@pytest.fixture
def arguments(shapes: ArrowTable, submit: Callable[[dict[int, str]], Path], tmp_path: Path) -> dict[str, Path]:
    """Options of a run that works."""
    logs = {}
    for name in ("pretrain", "finetune"):
        logs[f"--{name}_log"] = tmp_path / f"{name}.jsonl"
        logs[f"--{name}_log"].write_text(json.dumps({"global_step": 1, "loss": 2.0}) + "\n")
    answers = submit({100: "red", 101: "no", 102: "circle", 103: "yes"})
    return {**logs, "--predictions": answers, "--data": shapes.path, "--output": tmp_path / "pictures"}


def _run(arguments: dict[str, Path]) -> int:
    return main([str(part) for option in arguments.items() for part in option])


def test_table_and_pictures(arguments: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines if not line.startswith("-")][:-1] == [
        ["question", "type", "questions", "accuracy"],
        ["color", "1", "100.00%"],
        ["presence", "2", "100.00%"],
        ["shape", "1", "0.00%"],
        ["all", "4", "75.00%"],
    ]
    for name in ("loss_curves.png", "predictions.png"):
        assert str(arguments["--output"] / name) in lines[-1]
        Image.open(arguments["--output"] / name).verify()


@pytest.mark.parametrize("option", ["--pretrain_log", "--finetune_log", "--predictions", "--data"])
def test_a_missing_file_is_named(option: str, arguments: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    arguments[option] = arguments[option].with_name("missing")
    assert _run(arguments) == 2
    assert capsys.readouterr().err.startswith(f"error: {arguments[option]} does not exist; ")
    assert not arguments["--output"].exists()


def test_a_file_of_another_kind_is_named(arguments: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    arguments["--data"] = arguments["--pretrain_log"]
    assert _run(arguments) == 2
    assert f"error: {arguments['--data']} is not an Arrow IPC file" in capsys.readouterr().err
