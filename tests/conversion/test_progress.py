"""The progress bar: silent for small files, a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import io

import pytest

from bridgetower.conversion import ProgressBar


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _drawn(stream: io.StringIO, total: int, step: int) -> str:
    bar = ProgressBar(total, stream)
    for start in range(0, total, step):
        bar(min(step, total - start))
    return stream.getvalue()


@pytest.mark.parametrize("stream", [_Terminal(), io.StringIO()])
def test_small_files_are_silent(stream: io.StringIO) -> None:
    assert _drawn(stream, 1000, 10) == ""


def test_terminal() -> None:
    text = _drawn(_Terminal(), 10**9, 10**7)
    assert text.count("\r") == 100 and text.endswith("100%  1.00 of 1.00 GB\n") and "[###############" in text


def test_elsewhere_ten_lines() -> None:
    lines = _drawn(io.StringIO(), 10**9, 10**7).splitlines()
    assert len(lines) == 10 and lines[0].strip() == "10%  0.10 of 1.00 GB" and lines[-1].startswith("100%")


def test_more_than_expected_stays_at_the_end() -> None:
    stream = io.StringIO()
    bar = ProgressBar(10**9, stream)
    for _ in range(3):
        bar(10**9)
    assert stream.getvalue().splitlines() == ["100%  1.00 of 1.00 GB"]
