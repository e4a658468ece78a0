"""Opens text files: UTF-8 with or without a byte order mark, or the encoding that the user names."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, BinaryIO

from .tables import PreparationError

__all__ = ["encoded_as", "open_text", "read_lines"]

CHUNK = 1 << 16
_LEAST_TO_GUESS = 24  # bytes beyond ASCII
_DEFAULT = "utf-8-sig"
_encoding: ContextVar[str] = ContextVar("encoding", default=_DEFAULT)
#: The first bytes of files in other encodings of Unicode, the longer ones first.
_MARKS = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF16_LE: "utf-16",
          codecs.BOM_UTF16_BE: "utf-16"}


@contextmanager
def encoded_as(encoding: str | None) -> Iterator[None]:
    """Read text files in this encoding instead of UTF-8, until the end of the block.

    Raises:
        PreparationError: there is no such encoding.
    """
    try:
        "".encode(encoding or _DEFAULT)
    except (LookupError, ValueError):
        raise PreparationError(f"--encoding {encoding}: unknown; use the name that Python has for it, such as cp1252"
                               ) from None
    token = _encoding.set(encoding or _DEFAULT)
    try:
        yield
    finally:
        _encoding.reset(token)


def open_text(path: Path) -> BinaryIO:
    """The text of a file as bytes of UTF-8 without a byte order mark, whatever it is encoded in.

    Raises:
        PreparationError: the file cannot be opened, or (on reading) is in another encoding; names the option for it.
    """
    try:
        return io.BufferedReader(_Recoded(path, path.open("rb"), _encoding.get()), CHUNK)
    except OSError as error:
        raise PreparationError(f"{path}: {error.strerror or error}; check --source") from error


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Line numbers from 1 and the non-empty lines of a text file, stripped.

    Raises:
        PreparationError: see `open_text`.
    """
    with open_text(path) as file:
        for number, encoded in enumerate(file, start=1):
            if line := encoded.decode().strip():
                yield number, line


class _Recoded(io.RawIOBase):
    """Decodes a file and encodes its text as UTF-8."""

    def __init__(self, path: Path, file: BinaryIO, encoding: str) -> None:
        self._path, self._file, self._encoding = path, file, encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._ready = memoryview(b"")
        self._lines, self._ended = 0, False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and not self._ended:
            data = self._file.read(CHUNK)
            self._ended = not data
            self._ready = memoryview(self._decoded(data).encode())
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _decoded(self, data: bytes) -> str:
        try:
            text = self._decoder.decode(data, final=self._ended)
        except UnicodeError as error:
            before = error.object[: error.start] if isinstance(error, UnicodeDecodeError) else b""
            where = f"{self._path}, line {self._lines + before.count(10) + 1}"
            raise PreparationError(f"{where}: {self._refusal(data or before)}") from error
        self._lines += text.count("\n")
        return text

    def _refusal(self, sample: bytes) -> str:
        if self._encoding != _DEFAULT:
            return f"not {self._encoding}, as --encoding says; give another one"
        with self._path.open("rb") as file:
            first = file.read(4)
        name = next((name for mark, name in _MARKS.items() if first.startswith(mark)), None) or _guess(sample)
        hint = f"it looks like {name}: give --encoding {name} if that is right" if name else \
            "give its --encoding, such as cp1252"
        return f"not UTF-8; {hint}, or convert the file"

    def close(self) -> None:
        self._file.close()
        super().close()


def _guess(sample: bytes) -> str | None:
    if sum(byte > 127 for byte in sample) < _LEAST_TO_GUESS:
        return None
    from charset_normalizer import from_bytes  # takes a moment to import

    best = from_bytes(sample).best()
    return best.encoding.replace("_", "-") if best is not None else None
