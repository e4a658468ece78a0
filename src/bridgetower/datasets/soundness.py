"""Whether arrow files are whole, found out before they are mapped: reading damaged ones can end the process.

Tables that are prepared here have their hash in `SHA256SUMS` of their folder, which `sha256sum --check` reads too.
Those from elsewhere are read all through by a process of its own. What was found sound is remembered in a hidden file
of the folder, by size and time of change.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import select
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..files import file_hash, write_json, write_text
from . import table_validator

__all__ = ["CHECKSUMS", "forget_checksums", "reading_problem", "record_checksums", "require_sound"]

logger = logging.getLogger(__name__)

CHECKSUMS = "SHA256SUMS"
_REMEMBERED = ".checked.json"
_LARGE = 1 << 30  # bytes: reading more takes long enough to be worth a message
#: Reading takes no longer than this and a part for the size.
_SECONDS, _BYTES_PER_SECOND = 120, 1 << 20
_HINT = "copy or make it again"


def require_sound(path: Path, afresh: bool = False) -> None:
    """Check a file, unless it is known and has not changed.

    Args:
        path: the file.
        afresh: check it in any case.

    Raises:
        ValueError: it is damaged; the message names it.
        OSError: it cannot be read.
    """
    facts = path.stat()
    # The time of the last change of its inode, unlike others, does not come with a file from elsewhere.
    stamp = [facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns]
    if not afresh and _remembered(path.parent).get(path.name) == stamp:
        return
    with _one_process_at_a_time(path):
        if not afresh and _remembered(path.parent).get(path.name) == stamp:  # another process has checked it meanwhile
            return
        if facts.st_size > _LARGE:
            logger.info("%s is new here or has changed: checking its %.1f GB once", path, facts.st_size / 1e9)
        recorded = _checksums(path.parent).get(path.name)
        if recorded is not None and recorded != file_hash(path):
            raise ValueError(f"{path}: is damaged, as its SHA-256 is not that in {CHECKSUMS}; {_HINT}")
        if recorded is None and (problem := _format_problem(path) or _validator.problem(path)):
            raise ValueError(f"{path}: not a complete arrow file ({problem}); {_HINT}")
        _remember(path, stamp)


def _format_problem(path: Path) -> str:
    with open(path, "rb") as stream:
        return "" if stream.read(6) == b"ARROW1" else "it does not begin as one"


def reading_problem(path: Path) -> str:
    """Why an Arrow file or stream cannot be read to its end; empty when it can. Nothing is remembered."""
    return _validator.problem(path)


def record_checksums(folder: Path, *names: str) -> None:
    """Add complete files to `SHA256SUMS`."""
    hashes = {name: file_hash(folder / name) for name in names}
    _write_checksums(folder, {**_checksums(folder), **hashes})


def forget_checksums(folder: Path, *names: str) -> None:
    """Remove files from `SHA256SUMS` before they are replaced."""
    checksums = _checksums(folder)
    if checksums.keys() & {*names}:
        _write_checksums(folder, {name: value for name, value in checksums.items() if name not in names})


def _checksums(folder: Path) -> dict[str, str]:
    if not (folder / CHECKSUMS).is_file():
        return {}
    try:
        text = (folder / CHECKSUMS).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{folder / CHECKSUMS} is damaged ({error.reason}); remove it, or {_HINT}") from None
    checksums = {}
    for number, line in enumerate(text.splitlines(), start=1):
        value, _, name = line.partition("  ")
        if not name:
            raise ValueError(f"{folder / CHECKSUMS} line {number} is no hash and file name; remove it, or {_HINT}")
        checksums[name] = value
    return checksums


def _write_checksums(folder: Path, checksums: Mapping[str, str]) -> None:
    if checksums:
        write_text(folder / CHECKSUMS, "".join(f"{value}  {name}\n" for name, value in sorted(checksums.items())))
    else:
        (folder / CHECKSUMS).unlink(missing_ok=True)


def _remembered(folder: Path) -> dict[str, Any]:
    if not (folder / _REMEMBERED).is_file():
        return {}
    try:
        found = json.loads((folder / _REMEMBERED).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _remember(path: Path, stamp: list[int]) -> None:
    try:
        known = {name: value for name, value in _remembered(path.parent).items() if (path.parent / name).exists()}
        write_json(path.parent / _REMEMBERED, {**known, path.name: stamp}, indent=None)
    except OSError as error:
        logger.debug("%s cannot be written (%s): its tables are checked at every start", path.parent, error)


@contextmanager
def _one_process_at_a_time(path: Path) -> Iterator[None]:
    """The processes of a training open the same tables: the first one checks them, and the others wait for it."""
    with open(path, "rb") as stream:
        with suppress(OSError):  # some network file systems lock for those only who may write
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


class _Validator:
    """The process that reads files; it starts when it is first needed, and anew after a file has ended it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._owner = 0
        self._lock = threading.Lock()

    def problem(self, path: Path) -> str:
        with self._lock:
            if self._process is None or self._owner != os.getpid():  # a forked process has none of its own yet
                self._process, self._owner = self._start(), os.getpid()
            process = self._process
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(json.dumps(str(path.absolute())) + "\n")
            process.stdin.flush()
            if not select.select([process.stdout], [], [], _SECONDS + path.stat().st_size / _BYTES_PER_SECOND)[0]:
                process.kill()
            answer = process.stdout.readline()
            if answer.endswith("\n"):
                return str(json.loads(answer))
            self._process = None
            return f"reading it ended a process with status {process.wait()}"

    @staticmethod
    def _start() -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, table_validator.__file__], stdin=subprocess.PIPE, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


_validator = _Validator()
