"""Programs write below the folders that they are given, and fetch nothing without a hub name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.miniature import write_experiment, write_miniature
from tests.preparation.raw_data import flickr_release

#: Runs command lines one after the other, and writes what they opened for writing, made, moved or connected to.
_PROGRAM = """
import json, os, sys
seen = {"written": [], "network": []}

def watch(event, args):
    if event == "open" and isinstance(args[0], (str, bytes)):
        if set(args[1] or "") & set("wax+") or args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            seen["written"].append(os.fsdecode(args[0]))
    elif event == "os.mkdir" and os.path.isdir(args[0]):
        pass  # it is there, and stays as it is
    elif event in ("os.mkdir", "os.rename", "os.remove") and args[-1] == -1:  # no path within an open folder
        seen["written"] += [os.fsdecode(each) for each in args[:1 + (event == "os.rename")]]
    elif event in ("socket.connect", "socket.getaddrinfo"):
        seen["network"].append(str(args[1:]) if event == "socket.connect" else str(args[:2]))

sys.addaudithook(watch)
import importlib
for module, *words in json.loads(sys.argv[1]):
    status = importlib.import_module(module).main(words)
    assert status == 0, (module, words, status)
print(json.dumps(seen))
"""


def outside(tmp_path: Path, *commands: list[str]) -> tuple[set[str], list[str]]:
    """What command lines, run where nothing is to be found, wrote outside of tmp_path / "out", and fetched."""
    for name in ("home", "cwd", "temporary"):
        (tmp_path / name).mkdir()
    environment = {**os.environ, "HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "temporary"),
                   "BRIDGETOWER_TUNE_CPU": "0", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        environment.pop(name, None)
    done = subprocess.run([sys.executable, "-c", _PROGRAM, json.dumps([[*map(str, each)] for each in commands])],
                          cwd=tmp_path / "cwd", capture_output=True, text=True, timeout=400, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert not any(path for name in ("cwd", "temporary") for path in (tmp_path / name).iterdir())
    seen = json.loads(done.stdout.splitlines()[-1])
    # Libraries make folders in the home of the user, in which Paddle keeps sources for a while.
    kept = {path.relative_to(tmp_path / "home") for path in (tmp_path / "home").rglob("*") if path.is_file()}
    assert kept <= {Path(".visualdl/conf/config.json")}
    allowed = (*(str(tmp_path / name) for name in ("home", "out", "temporary")), "/dev/", "/proc/")
    paths = {str(tmp_path / "cwd" / path) for path in seen["written"]}
    return {path for path in paths if not path.startswith(allowed)}, seen["network"]


def test_preparation(tmp_path: Path) -> None:
    flickr_release(tmp_path / "raw")
    (tmp_path / "raw" / "own.csv").write_text("image,text\n" + "".join(
        f"flickr30k-images/{number}.jpg,a text\n" for number in range(3)))
    program, out = "bridgetower.preparation.__main__", tmp_path / "out"
    written, fetched = outside(
        tmp_path,
        [program, "f30k", "--source", tmp_path / "raw", "--output", out / "tables", "--workers", "1"],
        [program, "table", "--source", tmp_path / "raw" / "own.csv", "--task", "caption", "--name", "own", "--output",
         out / "own", "--workers", "1", "--val_share", "0", "--test_share", "0"],
        [program, "check", "--source", out / "tables", "--workers", "1"],
        [program, "tokenizer", "--source", out / "tables", "--output", out / "tokenizer", "--vocab_size", "262"])
    assert not written and not fetched


@pytest.mark.slow
def test_training_export_and_conversion(tmp_path: Path) -> None:
    out = tmp_path / "out"
    config = write_experiment(write_miniature(tmp_path), "vqa", {"name": "vqa"}, max_steps=1, save_strategy="steps",
                              save_steps=1)
    written, fetched = outside(
        tmp_path,
        ["bridgetower.training.run", "--config_name", config, "--data_root", tmp_path / "data", "--device", "cpu",
         "--output_dir", out / "vqa", "--do_train", "--do_eval", "--do_predict"],
        ["bridgetower.export.__main__", out / "vqa", "--output", out / "static"],
        ["bridgetower.verification.converter", out / "vqa", "--reverse", "--format", "ckpt", "--output",
         out / "vqa.ckpt"])
    beside_tables = {path for path in written if path.startswith(str(tmp_path / "data"))}
    assert {Path(path).name.strip(".").split(".")[0] for path in beside_tables} == {"checked"}
    assert written == beside_tables and not fetched
