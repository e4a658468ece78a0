"""Where the pictures and captions of a tar shard lie in it, as written by img2dataset and webdataset."""

from __future__ import annotations

import json
import logging
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..files import write_beside
from .soundness import reading_problem

__all__ = ["IMAGE_SUFFIXES", "ShardIndex", "caption_of", "grouped_members", "split_member_name"]

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = ("jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff")
#: Members that may hold the caption, the first of them that is there.
_TEXT_SUFFIXES = ("txt", "text", "caption", "json")
#: Fields of a .json member that may hold the caption.
_CAPTION_FIELDS = ("caption", "text", "txt", "title")
_MAX_NAMED = 10
_MAX_BYTES = 2**31 - 1
_BLOCK = 1 << 20
_SCHEMA = pa.schema([("image", pa.int64()), ("image_size", pa.int32()), ("text", pa.int64()),
                     ("text_size", pa.int32()), ("is_json", pa.int8())])
_KEY = b"bridgetower.shard"


class ShardIndex:
    """Offsets of the samples of one shard: 25 bytes each, in the file beside the shard where that can be written.

    Attributes:
        image, image_size, text, text_size: (number of samples,) first byte and size of the two members.
        is_json: (number of samples,) whether the text is a field of a .json member.
        broken: samples that were left out.
        named: the first of them, and what is wrong with them.
    """

    def __init__(self, batch: pa.RecordBatch) -> None:
        """Read what `_scan` found."""
        self.image, self.image_size, self.text, self.text_size, self.is_json = (
            column.to_numpy() for column in batch.columns)
        stored = json.loads((batch.schema.metadata or {})[_KEY])
        self.broken: int = stored["broken"]
        self.named: list[str] = stored["named"]

    def __len__(self) -> int:
        return len(self.image)

    @classmethod
    def of(cls, path: Path) -> ShardIndex:
        """The index beside a shard, `SHARD.tar.index`; it is made again if the shard has changed since.

        Raises:
            ValueError: the shard is cut off, compressed, no tar file, or holds no picture with a caption.
        """
        beside = path.with_name(f"{path.name}.index")
        state = [path.stat().st_size, path.stat().st_mtime_ns]
        with suppress(OSError, pa.ArrowInvalid, KeyError, ValueError):
            if beside.is_file() and (problem := reading_problem(beside)):
                raise ValueError(problem)
            with pa.ipc.open_file(pa.memory_map(str(beside))) as reader:
                if json.loads(reader.schema.metadata[_KEY])["state"] == state:
                    return cls(reader.get_batch(0))
        batch = _scan(path, state)
        try:
            with write_beside(beside) as temporary, pa.OSFile(str(temporary), "wb") as sink:
                with pa.ipc.new_file(sink, batch.schema) as writer:
                    writer.write_batch(batch)
        except OSError as error:
            logger.info("%s cannot be written (%s); the index is made anew in every run", beside, error.strerror)
        return cls(batch)


def caption_of(data: bytes, is_json: bool) -> str:
    """The caption in a member.

    Raises:
        ValueError: there is none, or not in UTF-8.
    """
    text: Any = data.decode("utf-8")
    if is_json:
        fields = json.loads(text)
        found = [fields[name] for name in _CAPTION_FIELDS if fields.get(name)] if isinstance(fields, dict) else []
        if not found or not isinstance(found[0], str):
            raise ValueError(f"its .json has no text in any of the fields {', '.join(_CAPTION_FIELDS)}")
        text = found[0]
        text.encode()  # half of a surrogate pair is valid JSON
    if not text.strip():
        raise ValueError("its caption is empty")
    return text.strip()


def grouped_members(file: tarfile.TarFile) -> Iterator[tuple[str, list[tarfile.TarInfo]]]:
    """The samples of a shard: their keys, and their members, which follow each other.

    Raises:
        tarfile.ReadError: a damaged header, at which `tarfile` ends as if the shard ended there.
    """
    members = (member for member in file if member.isfile())
    for key, group in groupby(members, lambda member: split_member_name(member.name)[0]):
        yield key, list(group)
        file.members = []  # type: ignore[attr-defined]  # or it would keep every header
    stream, end = file.fileobj, file.offset
    assert stream is not None
    stream.seek(end)
    while rest := stream.read(_BLOCK):
        if rest.strip(b"\0"):
            raise tarfile.ReadError(f"the header at byte {end} is damaged")


def split_member_name(name: str) -> tuple[str, str]:
    """Key and suffix of a member, which webdataset cuts at the first dot of the file name: `a/12` and `txt`."""
    folder, _, base = name.rpartition("/")
    stem, _, suffix = base.partition(".")
    return f"{folder}/{stem}".lstrip("/"), suffix.lower()


def _scan(path: Path, state: list[int]) -> pa.RecordBatch:
    """Read all headers and captions of a shard; its metadata say what was left out."""
    columns: dict[str, list[int]] = {name: [] for name in _SCHEMA.names}
    broken, named = 0, list[str]()
    try:
        with tarfile.open(path, "r:") as file:
            for key, members in grouped_members(file):
                try:
                    for name, value in zip(columns, _places(file, members), strict=True):
                        columns[name].append(value)
                except ValueError as error:
                    broken += 1
                    if len(named) < _MAX_NAMED:
                        named.append(f"{key} ({error})")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ValueError(f"{path}: cannot be read as an uncompressed tar file after sample {len(columns['image'])} "
                         f"({error}); download it again") from error
    if not columns["image"]:
        raise ValueError(f"{path}: holds no picture with a caption; its samples need members such as 0.jpg and 0.txt "
                         f"or 0.json{': ' * bool(named)}{', '.join(named)}")
    metadata = {_KEY: json.dumps({"state": state, "broken": broken, "named": named}).encode()}
    arrays = [pa.array(columns[field.name], field.type) for field in _SCHEMA]
    return pa.record_batch(arrays, schema=_SCHEMA.with_metadata(metadata))


def _places(file: tarfile.TarFile, members: list[tarfile.TarInfo]) -> tuple[int, int, int, int, int]:
    """A row of the index.

    Raises:
        ValueError: what the sample lacks.
    """
    by_suffix = {split_member_name(member.name)[1]: member for member in reversed(members)}
    image = next((by_suffix[suffix] for suffix in IMAGE_SUFFIXES if suffix in by_suffix), None)
    suffix = next((suffix for suffix in _TEXT_SUFFIXES if suffix in by_suffix), None)
    if image is None or suffix is None:
        raise ValueError("no picture" if image is None else "no caption")
    text = by_suffix[suffix]
    if not 0 < image.size <= _MAX_BYTES or image.sparse or text.sparse:
        raise ValueError(f"its picture has {image.size} bytes" if not image.sparse else "it is stored in pieces")
    stream = file.extractfile(text)
    data = stream.read() if stream is not None else b""
    if len(data) < text.size:
        raise tarfile.ReadError(f"{text.name} is cut off")
    caption_of(data, suffix == "json")
    return image.offset_data, image.size, text.offset_data, text.size, int(suffix == "json")
