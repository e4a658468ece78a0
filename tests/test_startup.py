"""What starting imports: a command that only prints its help needs no framework, training no other framework."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.miniature import write_experiment, write_miniature

ROOT = Path(__file__).resolve().parents[1]
#: Each takes a tenth of a second to several seconds.
HEAVY = {"paddle", "paddlenlp", "torch", "transformers", "datasets", "sklearn", "scipy", "pandas", "matplotlib",
         "visualdl", "cv2", "safetensors", "huggingface_hub", "aistudio_sdk"}
DATA = {"numpy", "PIL", "pyarrow", "tokenizers"}

#: Runs a program as `python PROGRAM ...` or `python -m PROGRAM ...` does, and prints the modules that this took.
RUN = """
import json, runpy, sys
how, name, *words = sys.argv[1:]
sys.argv = [name, *words]
status = 0
try:
    if how == "import":
        __import__(name)
    else:
        (runpy.run_module if how == "-m" else runpy.run_path)(name, run_name="__main__")
except SystemExit as error:
    status = error.code or 0
print(json.dumps({"status": status, "modules": sorted({name.partition(".")[0] for name in sys.modules})}))
"""


def modules_of(how: str, *words: str) -> set[str]:
    """The top-level modules in memory after a program has run."""
    run = subprocess.run([sys.executable, "-c", RUN, how, *words], cwd=ROOT, capture_output=True, text=True,
                         timeout=300, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert run.returncode == 0, run.stderr[-3000:]
    found = json.loads(run.stdout.splitlines()[-1])
    assert found["status"] == 0, run.stderr[-3000:]
    return set(found["modules"])


@pytest.mark.parametrize("words, needless", [
    (("import", "bridgetower"), HEAVY | DATA),
    (("import", "bridgetower.training.flags"), HEAVY | DATA),
    (("path", "train.py", "--help"), HEAVY | DATA),
    (("path", "torch2paddle.py", "--help"), HEAVY | DATA),
    (("-m", "bridgetower.preparation", "--help"), HEAVY),
], ids=lambda value: " ".join(value) if isinstance(value, tuple) else "")
def test_what_starting_imports(words: tuple[str, ...], needless: set[str]) -> None:
    assert modules_of(*words) & needless == set()


@pytest.mark.slow
def test_training_imports_no_other_framework(tmp_path: Path) -> None:
    """PaddleNLP itself takes in pandas, sklearn and datasets when it is imported: that is not ours to change."""
    folder = write_miniature(tmp_path)
    experiment = write_experiment(folder, "short", {"name": "vqa", "num_labels": 6}, max_steps=1)
    found = modules_of("path", "train.py", "--config_name", str(experiment), "--data_root", str(folder / "data"),
                       "--output_dir", str(folder / "run"), "--do_train", "--do_eval", "--device", "cpu")
    assert "paddle" in found
    assert found & {"torch", "transformers", "matplotlib", "tensorflow", "jax"} == set()
