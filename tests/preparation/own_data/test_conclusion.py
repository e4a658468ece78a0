"""The command that is printed at the end runs as it is."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bridgetower.preparation.own_data.conclusion import describe, next_command
from bridgetower.tasks import get_task
from bridgetower.tasks.own_classes import OwnClasses
from bridgetower.training.arguments import parse_arguments

ROOT = Path(__file__).resolve().parents[3]


def description(kind: str, **changes: Any) -> dict[str, Any]:
    counts = {"train": {"rows": 3, "texts": 6, "classes": {f"class{n}": n for n in range(12)}}}
    return {"name": "mine", "kind": kind, "modality": "image+text", "answers": [],
            "tables": {"train": "mine_train", "val": "mine_val"},
            "counts": counts, "left_out": {"bad_rows": 2, "bad_pictures": 0}, **changes}


@pytest.mark.parametrize(("kind", "name"), [
    ("caption", "irtr_itm_itc"), ("vqa", "vqa"), ("snli", "classify"), ("nlvr2", "pair_classify"),
    ("classify", "classify"), ("pair_classify", "pair_classify")])
def test_the_next_command_trains(kind: str, name: str, tmp_path: Path) -> None:
    output = tmp_path / "my data"
    output.mkdir()
    (output / "mine.json").write_text(json.dumps(description(kind)))
    result = subprocess.run(["bash", "-c", next_command(description(kind), output)], cwd=ROOT, text=True, check=True,
                            capture_output=True, timeout=240, env={**os.environ, "DRY_RUN": "1",
                                                                       "PYTHON": sys.executable})
    words = shlex.split(result.stdout)
    arguments, experiment = parse_arguments(words[words.index(str(ROOT / "train.py")) + 1:])
    assert arguments.data_root == str(output) and arguments.do_train and experiment.data.datasets == ("mine",)
    task = get_task(experiment.task)
    assert task.name == name and kind in (task.kinds if isinstance(task, OwnClasses) else (task.data_kind,))
    assert experiment.task.num_labels is None  # as many answers as the tables have


def test_the_folder_that_the_script_expects_is_not_named() -> None:
    assert next_command(description("vqa"), Path("data/own")) == "bash scripts/finetune.sh mine"


def test_tables_without_training_are_checked() -> None:
    command = next_command({**description("caption"), "tables": {"test": "mine_test"}}, Path("out"))
    assert command == "python -m bridgetower.preparation check --source out"


def test_tables_without_validation_are_no_end() -> None:
    few = {**description("classify"), "tables": {"train": "mine_train"}}
    assert "val: no row, and fine-tuning needs some; give more, a larger --val_share" in describe(few, Path("out"))
    assert next_command(few, Path("out")).startswith("python -m bridgetower.preparation check ")


def test_what_is_said() -> None:
    lines = describe(description("snli", answers=["yes"]), Path("out")).splitlines()
    assert lines[0] == f"{Path('out/mine.json')}: snli (image+text)"
    assert lines[1].startswith("  train: 3 rows, 6 texts (0 class0, 1 class1") and lines[1].endswith("9 class9, ...)")
    assert lines[2:4] == ["  answers: 1", "  left out: 2 bad rows"] and lines[4].startswith("next: ")
