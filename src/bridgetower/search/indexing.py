"""Bring an index up to date with a folder, or add files of vectors to it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, tee
from pathlib import Path

import numpy as np

from .identity import Embedder, same_model
from .picture_index import Entry, PictureIndex
from .vector_files import Made, VectorFile, content_hash

__all__ = ["Changes", "index_files", "index_vectors"]

#: Pictures that are stored in one step: what an interruption can lose.
_STEP = 256


@dataclass
class Changes:
    """What an update did: pictures added, embedded again, moved or touched only, removed, as they were, unreadable."""

    added: int = 0
    changed: int = 0
    same_content: int = 0
    removed: int = 0
    kept: int = 0
    unreadable: int = 0

    def __str__(self) -> str:
        parts = [f"{count} {name.replace('_', ' ')}" for name, count in vars(self).items() if count]
        return ", ".join(parts) or "nothing to do"


def index_files(index: PictureIndex, files: Sequence[str], folder: Path | None, embed: Embedder, made: Made, model: str
                ) -> Changes:
    """Bring an index up to date; what was stored before an interruption is not computed again.

    Args:
        index: held by `PictureIndex.writing`.
        files: the pictures that should be in the index.
        folder: pictures of the index that lie below it and are not among `files` are removed; None: none are.
        embed: makes vectors, and None for a picture that it leaves out.
        made, model: which model this is.

    Raises:
        ValueError: the index was made with another model, or no picture could be read.
    """
    index.check_model(made, model)
    changes = Changes()
    known = {entry.image: entry for entry in index.entries()}
    contents = {entry.sha256 for entry in known.values()}
    paths = [os.path.abspath(file) for file in files]
    copied: list[Entry] = []

    def fresh() -> Iterator[Entry]:
        for entry in _changed(paths, known, changes):
            if entry.sha256 in contents:
                copied.append(entry)
            else:
                yield entry

    def embed_and_store(entries: Iterator[Entry]) -> None:
        for some, vectors in _embedded(entries, embed, changes):
            index.upsert(some, vectors, made, model)
            changes.changed += sum(entry.image in known for entry in some)
            changes.added += sum(entry.image not in known for entry in some)

    embed_and_store(fresh())
    embed_and_store(iter(_copy_vectors(index, copied, made, model, changes)))
    if folder is not None:
        below = os.path.join(os.path.abspath(folder), "")
        gone = sorted(image for image in known.keys() - set(paths) if image.startswith(below))
        index.delete(gone)
        changes.removed = len(gone)
    if not len(index) and changes.unreadable:
        raise ValueError(f"none of {len(files)} pictures could be read; nothing is written")
    index.finish()
    return changes


def _changed(paths: Sequence[str], known: dict[str, Entry], changes: Changes) -> Iterator[Entry]:
    """The pictures that are new or not as they were; size and time decide whether the content is looked at."""
    for path in dict.fromkeys(paths):
        facts, old = os.stat(path), known.get(path)
        if old is not None and (old.size, old.modified) == (facts.st_size, facts.st_mtime_ns):
            changes.kept += 1
        else:
            yield Entry(path, content_hash(path), facts.st_size, facts.st_mtime_ns)


def _copy_vectors(index: PictureIndex, entries: list[Entry], made: Made, model: str, changes: Changes) -> list[Entry]:
    """Store pictures that were renamed, copied or touched with the vectors of their contents; those without one."""
    missing: list[Entry] = []
    for start in range(0, len(entries), _STEP):
        some = entries[start:start + _STEP]
        vectors = index.vectors_of(sorted({entry.sha256 for entry in some}))
        missing += [entry for entry in some if entry.sha256 not in vectors]
        some = [entry for entry in some if entry.sha256 in vectors]
        if some:
            index.upsert(some, np.stack([vectors[entry.sha256] for entry in some]), made, model)
            changes.same_content += len(some)
    return missing


def _embedded(entries: Iterator[Entry], embed: Embedder, changes: Changes) -> Iterator[tuple[list[Entry], np.ndarray]]:
    """Steps of pictures with their vectors (M, C), without those that cannot be read."""
    entries, again = tee(entries)
    pairs = zip(entries, embed(entry.image for entry in again), strict=True)
    while some := list(islice(pairs, _STEP)):
        readable = [(entry, vector) for entry, vector in some if vector is not None]
        changes.unreadable += len(some) - len(readable)
        if readable:
            yield [entry for entry, _ in readable], np.stack([vector for _, vector in readable])


def index_vectors(index: PictureIndex, files: Sequence[Path], made: Made | None, model: str) -> Changes:
    """Add files that `bridgetower embed` wrote; a picture that is in the index already is replaced.

    Args:
        index: held by `PictureIndex.writing`.
        files: see `VectorFile`.
        made: of the model that will answer queries; None leaves the files to agree with each other.
        model: where that model is.

    Raises:
        FileNotFoundError, ValueError: a file cannot be used, or is of another model; nothing was added then.
    """
    opened = [VectorFile(file) for file in files]
    made = made or opened[0].made
    index.check_model(made, model)
    for file in opened:
        if not same_model(made.probe, file.made.probe):
            raise ValueError(f"{file.path} has vectors of another model ({file.made.model_class}) than "
                             f"{model or opened[0].path}; embed its pictures again")
    known = {entry.image for entry in index.entries()}
    changes = Changes()
    for file in opened:
        for table in file.tables():
            images = [os.path.abspath(image) for image in table["image"].to_pylist()]
            entries = [Entry(image, digest) for image, digest in zip(images, table["sha256"].to_pylist(), strict=True)]
            index.upsert(entries, np.array(table["vector"].to_pylist(), np.float32), made, model)
            changes.changed += len(known & set(images))
            changes.added += len(set(images) - known)
    index.finish()
    return changes
