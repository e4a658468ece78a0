"""Reads and validates the images of many rows, in order, in several processes and in bounded memory."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path
from types import TracebackType

from ..picture_files.picture_formats import open_picture_file
from ..picture_files.picture_reading import require_one_page, to_eight_bits
from ..runtime import die_with_parent
from .tables import PreparationError, Row

ROWS_PER_TASK = 8
TASKS_PER_WORKER = 3


def decode_problem(encoded: bytes, strict: bool = False) -> str | None:
    """Why encoded bytes are not a complete image, or None if they are.

    Args:
        encoded: the bytes.
        strict: refuse animations, several pages, and pictures without a number in them, too.
    """
    try:
        with open_picture_file(io.BytesIO(encoded)) as image:
            if strict:
                require_one_page(image)
            # A JPEG decodes to an eighth of its size at a fraction of the time; all of its data is read all the same.
            image.draft(None, (1, 1))
            image.load()
            if strict:
                to_eight_bits(image)
    except Exception as error:  # decoders of broken files raise nearly any class
        return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return None


def read_images(images: tuple[Path | bytes, ...], strict: bool = False) -> list[bytes] | str:
    """The encoded bytes of a row's images, or a text saying which of them cannot be used and why.

    Args:
        images: files, or encoded images.
        strict: see `decode_problem`.
    """
    result = []
    for image in images:
        where = "embedded image" if isinstance(image, bytes) else str(image)
        try:
            encoded = image if isinstance(image, bytes) else image.read_bytes()
        except OSError as error:
            return f"{where}: {error.strerror or error}"
        problem = decode_problem(encoded, strict)
        if problem is not None:
            return f"{where}: not a readable image ({problem})"
        result.append(encoded)
    return result


def _read_task(rows: list[tuple[Path | bytes, ...]], strict: bool) -> list[list[bytes] | str]:
    return [read_images(images, strict) for images in rows]


def _start_worker(parent: int) -> None:
    # Ctrl-C reaches every process of a terminal; the main one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(parent)


class ImageReader:
    """Reads rows' images with a pool of processes; use it in a `with` statement.

    At most `ROWS_PER_TASK * TASKS_PER_WORKER * workers` rows are under way, so memory does not grow with their number.

    Args:
        workers: processes; 1 reads in the calling process.
        strict: see `decode_problem`.
    """

    def __init__(self, workers: int = 1, strict: bool = False) -> None:
        self.workers, self.strict = workers, strict
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> ImageReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def read(self, rows: Iterable[Row]) -> Iterator[tuple[Row, list[bytes] | str]]:
        """Each row with its images' bytes, or with the text of `read_images` when they cannot be used.

        Raises:
            PreparationError: a process died, usually for lack of memory.
        """
        if self.workers <= 1:
            for row in rows:
                yield row, read_images(row.images, self.strict)
            return
        if self._pool is None:
            # Not forked: a fork beside the threads of Arrow and the progress bar may hang, and would share the plan.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.workers, context, _start_worker, (os.getpid(),))
        iterator = iter(rows)
        pending: deque[tuple[list[Row], Future[list[list[bytes] | str]]]] = deque()
        while True:
            while len(pending) < self.workers * TASKS_PER_WORKER and (task := list(islice(iterator, ROWS_PER_TASK))):
                images = [row.images for row in task]
                pending.append((task, self._pool.submit(_read_task, images, self.strict)))
            if not pending:
                return
            task, future = pending.popleft()
            try:
                results = future.result()
            except BrokenProcessPool as error:
                raise PreparationError("a process that reads images died; give fewer --workers") from error
            yield from zip(task, results, strict=True)
