"""How programs end: one line and a status for known errors, a report for others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bridgetower.exits import guarded, one_line


def raising(error: BaseException) -> int:
    raise error


@pytest.mark.parametrize(("error", "status", "line"), [
    (ValueError("bad\n  value"), 2, "p: error: bad value"), (KeyError("no 'x'"), 2, "p: error: no 'x'"),
    (MemoryError(), 2, "p: error: MemoryError"), (KeyboardInterrupt(), 130, "p: interrupted"),
    (ValueError("a\x1b[2Jb\ud800"), 2, r"p: error: a\x1b[2Jb\ud800"),
    (ValueError("--flag 3 is wrong"), 2, "p: error: --flag 3 is wrong"),
])
def test_known_errors(error: BaseException, status: int, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded("p", lambda: raising(error)) == status
    assert capsys.readouterr().err == f"{line}\n"


class Panic(BaseException):
    """As the libraries in Rust raise it."""


@pytest.mark.parametrize("error", [RuntimeError("odd\nthing"), Panic("odd thing")])
def test_other_errors_leave_a_traceback_in_a_file(error: BaseException, capsys: pytest.CaptureFixture[str],
                                                  tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("BRIDGETOWER_TRACEBACK", raising=False)
    assert guarded("p", lambda: raising(error)) == 70
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"p: unexpected error: {type(error).__name__}: odd thing; its traceback is in ")
    (file,) = tmp_path.iterdir()
    assert str(file) in line and "in raising" in file.read_text()


def test_tracebacks_can_be_seen(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGETOWER_TRACEBACK", "1")
    assert guarded("p", lambda: raising(RuntimeError("odd"))) == 70
    assert "in raising" in capsys.readouterr().err


def test_other_ends_pass_through() -> None:
    assert guarded("p", lambda: 3) == 3
    with pytest.raises(SystemExit):
        guarded("p", lambda: raising(SystemExit(4)))
    with pytest.raises(RuntimeError):
        raising(RuntimeError(one_line(ValueError())))


def test_a_message_of_paddle_is_its_summary() -> None:
    text = "\n\n-----\nC++ Traceback\n-----\n0 a()\n\n-----\nError Message Summary:\n-----\nInvalidArgumentError: no\n"
    assert re.fullmatch("InvalidArgumentError: no", one_line(ValueError(text)))
