"""Bring an index up to date and die on the way: python -m tests.search.killed_update FOLDER INDEX MOMENT."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from bridgetower.search import indexing
from bridgetower.search.picture_index import PictureIndex
from tests.search.test_picture_index import Colours, update


def die(*_: Any) -> None:
    """End at once, with nothing cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)


class DyingIndex(PictureIndex):
    """An index whose process dies after its third step was stored, or before all is tidied up."""

    def __init__(self, place: str, moment: str) -> None:
        super().__init__(place)
        self.moment, self.steps = moment, 0

    def upsert(self, *values: Any) -> None:
        super().upsert(*values)
        self.steps += 1
        if self.moment == "storing" and self.steps == 3:
            die()

    def finish(self, *_: Any) -> None:
        die()


class DyingColours(Colours):
    """Vectors of nine pictures."""

    def _of(self, path: str) -> Any:
        if len(self.seen) == 9:
            die()
        return super()._of(path)


if __name__ == "__main__":
    folder, place, moment = sys.argv[1:]
    indexing._STEP = 4
    update(DyingIndex(place, moment), Path(folder), DyingColours() if moment == "embedding" else Colours())
