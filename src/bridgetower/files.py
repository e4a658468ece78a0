"""Files and folders that appear complete or not at all, and folders that one program at a time writes to."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

__all__ = ["FileSet", "FolderInUseError", "check_folder", "file_hash", "folder_beside", "locked_file", "locked_folder",
           "named_when_full", "write_beside", "write_json", "write_text"]


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LOCK = ".lock"
#: What `write_beside` and `folder_beside` call an unfinished file or folder: its name and the number of the process.
_UNFINISHED = re.compile(r"\.(?P<name>.+)\.(?P<process>\d+)\.(?P<kind>partial|old)")


class FolderInUseError(OSError):
    """Another program is writing to a folder or file; the message says which."""


def check_folder(folder: Path) -> None:
    """Refuse an output folder that cannot be made, because it or one above it is a file.

    Raises:
        FileExistsError: there is such a file.
    """
    for path in (folder, *folder.parents):
        if path.is_file():
            raise FileExistsError(f"{path} is a file; name a folder for the output")


@contextmanager
def locked_folder(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Keep other programs from writing to a folder, which is made when it does not exist.

    The lock ends with the process that holds it, however that ends, so there are no stale ones. What a killed program
    has left unfinished in the folder is removed.

    Raises:
        FolderInUseError: another program holds the lock.
        FileExistsError: there is a file where the folder should be.
    """
    folder = Path(folder)
    check_folder(folder)
    with _locked(folder / _LOCK, folder):
        _remove_unfinished(folder)
        yield


@contextmanager
def locked_file(path: str | os.PathLike[str]) -> Iterator[None]:
    """Like `locked_folder`, for one file, or for a folder that is replaced as a whole; the lock is beside it."""
    path = Path(path).absolute()
    with _locked(path.with_name(f".{path.name}{_LOCK}"), path):
        _remove_unfinished(path.parent, path.name)
        yield


@contextmanager
def _locked(lock: Path, output: Path) -> Iterator[None]:
    made = _make_folders(lock.parent)
    with _lock(lock, output) as stream:
        try:
            stream.write(f"process {os.getpid()} on {socket.gethostname()}")
            stream.flush()
            yield
        finally:
            lock.unlink(missing_ok=True)
            _remove_empty(made)


def _lock(path: Path, output: Path) -> TextIO:
    while True:
        stream = open(path, "a+", encoding="utf-8")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            holder = stream.read(200).strip() or "another process"
            stream.close()
            raise FolderInUseError(f"{output} is being written by {holder}; wait for it, or choose another "
                                   "output") from None
        # The holder before may have removed the file between opening and locking it.
        if path.exists() and os.path.samestat(os.fstat(stream.fileno()), path.stat()):
            stream.truncate(0)
            return stream
        stream.close()


def _remove_unfinished(folder: Path, name: str | None = None) -> None:
    """Remove what ended processes have left of one output, or of all; an old folder without a new one comes back."""
    for path in folder.iterdir():
        match = _UNFINISHED.fullmatch(path.name)
        if match is None or name not in (None, match["name"]) or _is_running(int(match["process"])):
            continue
        target = folder / match["name"]
        if match["kind"] == "old" and not target.exists():
            path.rename(target)
        elif path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    """Whether another process of this number exists."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return process != os.getpid()


@contextmanager
def write_beside(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a path beside `path` to write to; the file takes its place when the block ends without an exception.

    Parent folders are made as needed. On any exception, an interruption included, what was written is removed, and so
    are the folders that were made.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with named_when_full(path, "what was there before is kept; make room and run the same command again"):
        made = _make_folders(path.parent)
        try:
            yield beside
            os.replace(beside, path)
        except BaseException:
            beside.unlink(missing_ok=True)
            _remove_empty(made)
            raise


@contextmanager
def named_when_full(output: str | os.PathLike[str], hint: str) -> Iterator[None]:
    """Let an error about a full disk, quota or file size name the output, what is free, and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        folder = next(each for each in Path(output).absolute().parents if each.exists())
        free = shutil.disk_usage(folder).free / 1e9
        raise OSError(f"{output} could not be written ({error.strerror}; {free:.1f} GB free); {hint}") from error


@contextmanager
def folder_beside(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a new folder beside `folder`, which takes its place, or replaces it, at the end of the block.

    On any exception the new folder is removed and the old one stays. What a killed program has left is removed.

    Raises:
        FolderInUseError: another program does the same.
    """
    folder = Path(folder).resolve()
    with locked_file(folder):
        yield from _replaced(folder)


def _replaced(folder: Path) -> Iterator[Path]:
    beside, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{name}") for name in ("partial", "old"))
    made = _make_folders(folder.parent)
    beside.mkdir()
    try:
        yield beside
        if folder.exists():
            folder.rename(old)
        beside.rename(folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        if old.exists():
            old.rename(folder)
        _remove_empty(made)
        raise
    shutil.rmtree(old, ignore_errors=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 text file."""
    with write_beside(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], value: Any, indent: int | None = 2) -> None:
    """Write a value as JSON, with a newline at the end."""
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False) + "\n")


def file_hash(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class FileSet:
    """Several files that take their places together, at the end of a `with` block, or not at all."""

    def __init__(self) -> None:
        self._files = ExitStack()

    def write(self, path: Path, writer: Callable[[Path], object]) -> None:
        """Let `writer` write the file that will be `path`."""
        writer(self._files.enter_context(write_beside(path)))

    def copy(self, source: Path, path: Path) -> None:
        """Copy a file."""
        self.write(path, lambda beside: shutil.copyfile(source, beside))

    def text(self, path: Path, text: str) -> None:
        """Write a UTF-8 text file."""
        self.write(path, lambda beside: beside.write_text(text, encoding="utf-8"))

    def __enter__(self) -> FileSet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.__exit__(kind, error, trace)


def _make_folders(folder: Path) -> list[Path]:
    """Make a folder and its parents; those that were missing, innermost first."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
