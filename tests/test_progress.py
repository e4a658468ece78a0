"""Progress of long loops: a bar on a terminal, lines in a log file."""

from __future__ import annotations

import io
import logging

import pytest
from tqdm.contrib.logging import logging_redirect_tqdm

from bridgetower import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_file_gets_few_whole_lines() -> None:
    """However many steps there are, those of less than ten seconds give a first and a last line."""
    stream = io.StringIO()
    for _ in progress.progress_bar(range(500), desc="training", unit=" steps", file=stream):
        pass
    lines = [line for line in stream.getvalue().splitlines() if line]
    assert len(lines) == 2 and "\r" not in stream.getvalue() and "500/500" in lines[-1]


def test_log_messages_do_not_repeat_the_progress() -> None:
    """A training logs every few steps; on a terminal tqdm then draws the bar again below the message."""
    stream, logger = io.StringIO(), logging.Logger("training")
    logger.addHandler(logging.StreamHandler(stream))
    with logging_redirect_tqdm([logger]):
        for step in progress.progress_bar(range(100), file=stream):
            logger.info("step %d", step)
    lines = stream.getvalue().splitlines()
    assert lines[1:-1] == [f"step {step}" for step in range(100)] and "0/100" in lines[0] and "100/100" in lines[-1]


def test_lines_come_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_SECONDS", 0.0)
    stream = io.StringIO()
    for _ in progress.progress_bar(range(5), file=stream, miniters=1):
        pass
    assert len(stream.getvalue().splitlines()) >= 5


def test_a_terminal_gets_a_bar() -> None:
    stream = Terminal()
    for _ in progress.progress_bar(range(5), file=stream):
        pass
    assert stream.getvalue().startswith("\r") and "5/5" in stream.getvalue()
