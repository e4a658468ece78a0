"""The command as a whole: light help with an example, delegated programs, interruption."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from bridgetower.cli import command_line, delegated, main

COMMANDS = ("ask", "match", "fill", "classify", "embed", "index", "search", "explain", "serve")
#: Each takes a tenth of a second or more.
HEAVY = {"numpy", "PIL", "pyarrow", "tokenizers", "tqdm", "paddle", "paddlenlp", "lancedb", "fastapi",
         "huggingface_hub", "matplotlib"}
_RUN = """
import json, sys
from bridgetower.cli import main
try:
    main(sys.argv[1:])
except SystemExit as error:
    print(json.dumps({"status": error.code, "modules": sorted({name.partition(".")[0] for name in sys.modules})}))
"""


def light_help(command: str) -> list[str]:
    """The lines of a help that loads nothing heavy."""
    words = [*command.split(), "--help"]
    done = subprocess.run([sys.executable, "-c", _RUN, *words], capture_output=True, text=True, check=True,
                          timeout=240)
    *text, facts = done.stdout.splitlines()
    assert json.loads(facts)["status"] == 0 and not HEAVY & set(json.loads(facts)["modules"])
    return text


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_is_light_and_has_an_example(command: str) -> None:
    text = light_help(command)
    assert any(line.startswith(f"  bridgetower {command or 'ask'} ") for line in text[text.index(next(
        line for line in text if line.startswith("example"))):])


@pytest.mark.parametrize("command", COMMANDS)
def test_the_example_parses(command: str) -> None:
    import shlex

    parser = command_line.build_parser()
    text = parser._subparsers._group_actions[0].choices[command].format_help()  # type: ignore[union-attr, index]
    examples = [line.strip() for line in text.splitlines() if line.startswith(f"  bridgetower {command} ")]
    assert examples
    for example in examples:
        assert parser.parse_args(shlex.split(example)[1:]).run


@pytest.mark.parametrize("command, words", [("prepare", "Turn raw data into arrow files"), ("prepare vqa", "VQAv2"),
                                            ("convert", "Convert PyTorch checkpoints")])
def test_help_of_delegated_programs_is_light(command: str, words: str) -> None:
    assert words in "\n".join(light_help(command))


def test_status_of_a_delegated_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "absent.ckpt"]) == 2
    assert "absent.ckpt" in capsys.readouterr().err
    assert set(delegated.PROGRAMS) == {"prepare", "convert"}


def test_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["aks"])
    assert left.value.code == 2 and "invalid choice: 'aks'" in capsys.readouterr().err


def test_interrupted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bridgetower.cli.picture_commands._run", interrupted)
    assert main(["ask", "model", "picture", "question"]) == 130
    assert capsys.readouterr().err == "bridgetower ask: interrupted\n"
