"""The command that is printed at the end runs as it is."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from bridgetower.preparation.own_data.conclusion import EXPERIMENTS, describe, next_command
from bridgetower.tasks import get_task
from bridgetower.training.arguments import parse_arguments

ROOT = Path(__file__).resolve().parents[3]


def description(kind: str, **changes: Any) -> dict[str, Any]:
    counts = {"train": {"rows": 3, "texts": 6, "classes": {f"class{n}": n for n in range(12)}}}
    return {"name": "mine", "kind": kind, "modality": "image+text", "answers": [], "tables": {"train": "mine_train"},
            "counts": counts, "left_out": {"bad_rows": 2, "bad_pictures": 0}, **changes}


@pytest.mark.parametrize("kind", EXPERIMENTS)
def test_the_next_command_trains(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    answers = ["yes", "no", "7"] if kind == "vqa" else []
    words = shlex.split(next_command(description(kind, answers=answers), Path("my data")))
    assert words[:2] == ["python", "train.py"]
    arguments, experiment = parse_arguments(words[2:])
    assert arguments.data_root == "my data" and arguments.do_train and experiment.data.datasets == ("mine",)
    assert get_task(experiment.task).data_kind == kind and (kind != "vqa" or experiment.task.num_labels == 3)


@pytest.mark.parametrize("changes", [{"kind": "classify"}, {"tables": {"test": "mine_test"}}])
def test_what_no_experiment_trains_on_is_checked(changes: dict[str, Any]) -> None:
    command = next_command({**description("caption"), **changes}, Path("out"))
    assert command == "python -m bridgetower.preparation check --source out"


def test_what_is_said() -> None:
    lines = describe(description("snli", answers=["yes"]), Path("out")).splitlines()
    assert lines[0] == f"{Path('out/mine.json')}: snli (image+text)"
    assert lines[1].startswith("  train: 3 rows, 6 texts (0 class0, 1 class1") and lines[1].endswith("9 class9, ...)")
    assert lines[2:4] == ["  answers: 1", "  left out: 2 bad rows"] and lines[4].startswith("next: ")
