"""The progress bar of the converter: silent for small files and without a terminal, else a bar that ends at 100%."""

from __future__ import annotations

import io

import pytest

from bridgetower.verification.converter import progress_bar


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _drawn(stream: io.StringIO, total: int, step: int) -> str:
    with progress_bar(total, stream) as bar:
        for start in range(0, total, step):
            bar.update(min(step, total - start))
    return stream.getvalue()


@pytest.mark.parametrize("stream, total", [(_Terminal(), 1000), (io.StringIO(), 1000), (io.StringIO(), 10**9)])
def test_silent(stream: io.StringIO, total: int) -> None:
    assert _drawn(stream, total, total // 100) == ""


def test_a_large_file_on_a_terminal() -> None:
    text = _drawn(_Terminal(), 10**9, 10**7)
    assert text.startswith("\rwriting:") and "100%|" in text and "1.00G/1.00G" in text and text.endswith("\n")


def test_more_bytes_than_expected_is_no_error() -> None:
    stream = _Terminal()
    with progress_bar(10**9, stream) as bar:
        for _ in range(3):
            bar.update(10**9)
    assert "3.00G" in stream.getvalue()
