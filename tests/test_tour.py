"""The notebook of the tour runs from top to bottom on a miniature of what the quickstart leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from paddle.utils import unique_name
from PIL import Image

import train
from tests.miniature import write_experiment

NOTEBOOK = Path(__file__).resolve().parents[1] / "docs" / "tour.ipynb"
TASKS = {"pretrain": {"name": "pretrain", "objectives": ["mlm", "itm", "itc"]}, "vqa": {"name": "vqa"}}


def code_cells() -> list[str]:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


@pytest.fixture
def quickstart(mini: Path, tmp_path: Path) -> Path:
    """Data, a tokenizer and two trained models, where the quickstart would have put them."""
    folder = tmp_path / "quickstart"
    folder.mkdir()
    for name in ("data", "tokenizer"):
        (folder / name).symlink_to(mini / name)
    for name, task in TASKS.items():
        config = write_experiment(mini, f"tour_{name}", task, data={"max_text_len": 22}, max_steps=2)
        assert train.main(["--config_name", str(config), "--data_root", str(folder / "data"), "--output_dir",
                           str(folder / name), "--do_train", "--device", "cpu"]) == 0
    return folder


@pytest.mark.slow
@pytest.mark.usefixtures("untuned")
def test_the_tour(quickstart: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("QUICKSTART", str(quickstart))
    monkeypatch.chdir(NOTEBOOK.parent)
    found: dict[str, Any] = {}
    with unique_name.guard():
        for number, cell in enumerate(code_cells()):
            exec(compile(cell, f"{NOTEBOOK.name}, cell {number}", "exec"), found)
    assert len(found["found"]) == 5 and found["status"] == 0
    assert "similarity  score" in " ".join(capsys.readouterr().out.split("\n"))
    assert Image.open(quickstart / "tour" / "explained.png").width > 200
