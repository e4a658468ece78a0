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


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """The output folder of a classification with three classes."""
    folder = tmp_path / "mine"
    folder.mkdir()
    lines = [{"global_step": 1, "loss": 1.0, "classify_accuracy": 0.5}, {"global_step": 1, "eval_classify_auc": 0.75}]
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    counts = {"classes": ["a", "$b", "c" * 60], "counts": [[3, 1, 0], [0, 0, 0], [2, 0, 2]]}
    (folder / "test_confusion.json").write_text(json.dumps(counts))
    return folder


@pytest.mark.parametrize("other", [False, True])
def test_runs_of_any_task(run_folder: Path, tmp_path: Path, other: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """Pictures go into the folder of the run; with `--output` the curves go there."""
    assert main([str(run_folder), *(["--output", str(tmp_path / "elsewhere")] if other else [])]) == 0
    losses = (tmp_path / "elsewhere" if other else run_folder) / "loss_curves.png"
    pictures = [losses, run_folder / "test_confusion.png"]
    assert capsys.readouterr().out == f"saved {pictures[0]} and {pictures[1]}\n"
    for picture in pictures:
        Image.open(picture).verify()


@pytest.mark.parametrize(("content", "message"), [
    ("{", "holds no confusion matrix"), ('{"classes": ["a"]}', "holds no confusion matrix"),
    ('{"classes": ["a", "b"], "counts": [[1, 2]]}', "has 2 classes, but counts of shape (1, 2)")])
def test_a_damaged_matrix_is_named(run_folder: Path, content: str, message: str, capsys: pytest.CaptureFixture[str]
                                   ) -> None:
    (run_folder / "test_confusion.json").write_text(content)
    assert main([str(run_folder)]) == 2
    assert f"error: {run_folder / 'test_confusion.json'} {message}" in capsys.readouterr().err
    assert not list(run_folder.glob("*.png"))


@pytest.mark.parametrize("words", [[], ["run", "--data", "x"], ["--pretrain_log", "x"]])
def test_runs_or_the_files_of_vqa(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2 and "name the folders of runs, or all of --pretrain_log" in capsys.readouterr().err


def test_a_file_of_another_kind_is_named(arguments: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    arguments["--data"] = arguments["--pretrain_log"]
    assert _run(arguments) == 2
    assert f"error: {arguments['--data']}: not a complete arrow file" in capsys.readouterr().err
