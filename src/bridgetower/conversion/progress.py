"""A progress bar for large files."""

from __future__ import annotations

import sys
from typing import TextIO

_LARGE = 100 << 20  # bytes; anything smaller is done before a bar could be read
_WIDTH = 30


class ProgressBar:
    """Counts bytes; draws a bar on a terminal, a line every tenth elsewhere, and nothing for small files.

    Args:
        total: bytes to expect.
        stream: where to draw; by default on standard error.
    """

    def __init__(self, total: int, stream: TextIO | None = None) -> None:
        stream = stream or sys.stderr
        self._total = max(total, 1)
        self._stream = stream
        self._done = 0
        self._shown = 0
        self._steps = 100 if stream.isatty() else 10
        self._is_large = total >= _LARGE

    def __call__(self, count: int) -> None:
        """Add `count` bytes."""
        self._done += count
        step = min(self._done * self._steps // self._total, self._steps)
        if not self._is_large or step == self._shown:
            return
        self._shown = step
        percent = step * 100 // self._steps
        gigabytes = f"{self._done / 1e9:.2f} of {self._total / 1e9:.2f} GB"
        if self._stream.isatty():
            bar = "#" * (percent * _WIDTH // 100)
            self._stream.write(f"\r[{bar:<{_WIDTH}}] {percent:3d}%  {gigabytes}" + ("\n" if percent == 100 else ""))
        else:
            self._stream.write(f"{percent:3d}%  {gigabytes}\n")
        self._stream.flush()
