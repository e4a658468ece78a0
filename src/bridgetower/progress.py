"""Progress of long loops: a bar on a terminal, a line every ten seconds in a log file."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

__all__ = ["progress_bar"]

_SECONDS = 10.0


class _Lines(tqdm):
    """A bar that is written as a line of its own each time."""

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        self.fp.write(f"{self if msg is None else msg}\n")
        return True


def progress_bar(*args: Any, **settings: Any) -> tqdm:
    """A `tqdm` of these arguments, whose output suits where it goes."""
    settings.setdefault("file", sys.stderr)
    if settings["file"].isatty():
        return tqdm(*args, mininterval=0.5, **settings)
    return _Lines(*args, mininterval=_SECONDS, maxinterval=_SECONDS, ascii=True, ncols=80, **settings)
