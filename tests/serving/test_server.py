"""The server as a process: it answers, ends cleanly on a signal, and says in one line what is wrong."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from bridgetower.cli import main
from tests.two_ranks import ended_after

Folders = Callable[[str], Path]


def test_port_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["serve", "model", "--port", str(taken.getsockname()[1])]) == 2
    error = capsys.readouterr().err
    assert "cannot be used (Address already in use); choose another with --port" in error and error.count("\n") == 1


@pytest.mark.parametrize("port", ["-1", "65536"])
def test_no_such_port(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["serve", "model", "--port", port])
    assert f"argument --port: '{port}' is not a whole number between 0 and 65,535" in capsys.readouterr().err


@pytest.mark.usefixtures("untuned")
@pytest.mark.parametrize("words, message", [(["absent"], "absent: no such file or folder"),
                                            (["{vqa}", "--index", "absent"], "absent is no index")])
def test_bad_input(words: list[str], message: str, saved: Folders, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", *(word.format(vqa=saved("vqa")) for word in words), "--port", "0"]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_serve_and_stop(saved: Folders) -> None:
    process = subprocess.Popen([sys.executable, "-m", "bridgetower", "serve", str(saved("vqa")), "--port", "0"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with ended_after(240, process):
        line = process.stdout.readline()
    assert "(ask, classify, explain) at http://127.0.0.1:" in line, process.communicate(timeout=60)[1]
    with urllib.request.urlopen(f"{line.split()[-1]}/health", timeout=60) as response:
        assert json.load(response)["status"] == "ok"
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0 and "Traceback" not in errors
