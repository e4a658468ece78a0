"""Progress of long loops: a bar on a terminal, a line every ten seconds in a log file."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

__all__ = ["progress_bar"]

_SECONDS = 10.0


class _Lines(tqdm):
    """A bar that is written as a line of its own each time, at most every `mininterval` seconds."""

    disable: bool
    _written = float("-inf")

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Write a line if one is due: tqdm also asks each time that a log message passes the bar."""
        if self._time() - self._written >= self.mininterval:
            self._write()
        return True

    def clear(self, nolock: bool = False) -> None:
        """Nothing: what is written stays."""

    def close(self) -> None:
        """Write the last state."""
        if not self.disable:
            self.disable = True
            self._decr_instances(self)
            self._write()

    def _write(self) -> None:
        self._written = self._time()
        self.fp.write(f"{self}\n")


def progress_bar(*args: Any, **settings: Any) -> tqdm:
    """A `tqdm` of these arguments, whose output suits where it goes."""
    settings.setdefault("file", sys.stderr)
    if settings["file"].isatty():
        return tqdm(*args, mininterval=0.5, **settings)
    return _Lines(*args, mininterval=_SECONDS, maxinterval=_SECONDS, ascii=True, ncols=80, **settings)
