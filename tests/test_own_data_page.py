"""The page about own data: its commands are real ones, both languages have the same, and the example of digits runs."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import train
from bridgetower.preparation.__main__ import build_parser
from bridgetower.preparation.__main__ import main as prepare
from bridgetower.report.__main__ import main as report
from trainer_util import parse_arguments

ROOT = Path(train.__file__).parent
PAGES = {name: (ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("own_data.md", "own_data.zh-CN.md")}


def blocks(page: str, language: str = "") -> list[str]:
    """The blocks of code in one language, programs or commands."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGES[page], re.DOTALL | re.MULTILINE)
    return [text for name, text in found if name == language]


def commands(page: str) -> list[str]:
    """Every command of a page, in one line."""
    text = "".join(blocks(page)).replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip()]


def test_both_languages_have_the_same_code() -> None:
    for language in ("", "python"):
        assert blocks("own_data.md", language) == blocks("own_data.zh-CN.md", language)
    assert PAGES["own_data.md"].count("\n## ") == PAGES["own_data.zh-CN.md"].count("\n## ")
    tables = [[line.count("|") for line in page.splitlines() if line.startswith("|")] for page in PAGES.values()]
    assert tables[0] == tables[1]


@pytest.mark.parametrize("command", [line for line in commands("own_data.md") if "bridgetower.preparation" in line])
def test_commands_are_understood(command: str) -> None:
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "bridgetower.preparation"]
    build_parser().parse_args(words[3:])


@pytest.mark.parametrize("program", blocks("own_data.md", "python"))
def test_programs_are_valid(program: str) -> None:
    compile(program, "own_data.md", "exec")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder from which the commands of the page work."""
    for name in ("configs", "scripts"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def arguments(command: str) -> list[str]:
    """The arguments of `train.py` that `scripts/finetune.sh` launches it with."""
    environment = f"DRY_RUN=1 DEVICES=cpu PYTHON={shlex.quote(sys.executable)}"
    line = subprocess.run(["bash", "-c", f"{environment} {command}"], capture_output=True, text=True, timeout=120,
                          check=True).stdout
    words = shlex.split(line)
    return words[words.index(str(ROOT / "train.py")) + 1:]


@pytest.mark.parametrize(("name", "kind"), [("digits", "classify"), ("easy", "vqa")])
def test_the_experiments_fit_the_tables(checkout: Path, name: str, kind: str) -> None:
    description = checkout / f"build/{name}/tables/{name}.json"
    description.parent.mkdir(parents=True)
    description.write_text(json.dumps({"kind": kind}))
    training, = (line for line in commands("own_data.md") if f"finetune.sh {name}" in line)
    args, experiment = parse_arguments(arguments(training))
    assert experiment.data.datasets == (name,) and experiment.task.name == kind
    assert args.output_dir == f"build/{name}/model"
    assert args.checkpoint_path == (None if name == "digits" else "build/quickstart/pretrain")


@pytest.mark.slow
@pytest.mark.usefixtures("untuned")
def test_digits_from_files_to_accuracy(checkout: Path) -> None:
    table, training, drawing = (line for line in commands("own_data.md") if "build/digits" in line)
    program, = (text for text in blocks("own_data.md", "python") if "load_digits" in text)
    exec(compile(program, "own_data.md", "exec"), {})
    assert prepare([*shlex.split(table)[3:], "--workers", "1"]) == 0
    assert train.main(arguments(training)) == 0
    accuracy = json.loads((checkout / "build/digits/model/test_results.json").read_text())["test_classify_accuracy"]
    print(f"test accuracy {accuracy:.4f}")
    assert accuracy > 0.9
    assert report(shlex.split(drawing)[3:]) == 0
    pictures = {path.name for path in checkout.glob("build/digits/model/*.png")}
    assert pictures >= {"loss_curves.png", "test_confusion.png"}
