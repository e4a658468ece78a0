"""The wheel holds all that training needs: the programs, the experiment files, the marker of typed packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.miniature import MODEL, write_miniature

ROOT = Path(__file__).resolve().parents[1]


def pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_an_installed_wheel_trains_in_an_empty_folder(tmp_path: Path) -> None:
    pip("wheel", ROOT, "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path)
    wheel, = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {path.name for path in (ROOT / "configs").glob("*.json")} <= {Path(name).name for name in names}
    assert "bridgetower/py.typed" in names and not any(name.startswith("tests") for name in names)
    pip("install", wheel, "--no-deps", "--target", tmp_path / "site")
    data, empty = write_miniature(tmp_path / "miniature"), tmp_path / "empty"
    empty.mkdir()
    small = {f"model.{name}": value for name, value in MODEL.items()}
    small |= {"data.tokenizer": str(data / "tokenizer"), "data.max_text_len": 12}
    settings = [f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in small.items()]
    done = subprocess.run(
        [sys.executable, "-m", "bridgetower.training", "--config_name", "configs/quickstart_vqa.json", "--data_root",
         str(data / "data"), "--output_dir", "vqa", "--do_train", "--do_predict", "--max_steps", "1", "--device", "cpu",
         "--batch_size", "4", "--per_device_train_batch_size", "4", "--set", *settings],
        cwd=empty, capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")})
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads((empty / "vqa" / "vqa_submit.json").read_text())
    assert [path.name for path in empty.iterdir()] == ["vqa"]
