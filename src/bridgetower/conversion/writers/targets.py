"""Output files that appear complete or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import TracebackType


class Output:
    """Files written beside their destination and renamed together when all of them are complete.

    Used as a context: on any exception, interruption included, everything written is removed.
    """

    def __init__(self) -> None:
        self._files: list[tuple[Path, Path]] = []
        self._created: list[Path] = []

    def write(self, path: Path, writer: Callable[[Path], object]) -> None:
        """Let `writer` write a file that will be `path`."""
        for folder in [path.parent, *path.parent.parents]:
            if folder.exists():
                break
            self._created.append(folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}.part")
        self._files.append((beside, path))
        writer(beside)

    def copy(self, source: Path, path: Path) -> None:
        """Copy a file."""
        self.write(path, lambda beside: shutil.copyfile(source, beside))

    def text(self, path: Path, text: str) -> None:
        """Write a text file."""
        self.write(path, lambda beside: beside.write_text(text, encoding="utf-8"))

    def __enter__(self) -> Output:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            for beside, path in self._files:
                os.replace(beside, path)
            return
        for beside, _ in self._files:
            beside.unlink(missing_ok=True)
        for folder in self._created:  # the innermost first
            if folder.exists() and not any(folder.iterdir()):
                folder.rmdir()
