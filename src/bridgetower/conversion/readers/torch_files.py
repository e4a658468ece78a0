"""The containers that torch writes: zip archives (since 1.6, TorchScript too) and the older stream of pickles."""

from __future__ import annotations

import struct
import zipfile
import zlib
from typing import Any

from ..errors import CheckpointError
from .pickle_machine import PickleMachine
from .tensor_pickle import BUILDERS, Storage, storage_of

ZIP_MAGIC = b"PK\x03\x04"
# A pickle of the number that opens every legacy file (torch/serialization.py, MAGIC_NUMBER).
LEGACY_MAGIC = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")


class ZipRecords:
    """The records of an uncompressed zip archive as views of the mapped file, their checksums verified once.

    Raises:
        CheckpointError: not a readable archive.
    """

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._checked: dict[str, memoryview] = {}
        try:
            with zipfile.ZipFile(_Buffer(data)) as archive:
                infos = archive.infolist()
        except (zipfile.BadZipFile, ValueError, struct.error, NotImplementedError, OverflowError, OSError) as error:
            raise CheckpointError("truncated or broken zip archive; copy or download the file again") from error
        self._infos = {info.filename: info for info in infos}
        if len(self._infos) != len(infos):
            raise CheckpointError("the zip archive has two records of one name; it is broken or hostile")

    def names(self) -> list[str]:
        """All record names."""
        return list(self._infos)

    def read(self, name: str) -> memoryview:
        """The bytes of a record.

        Raises:
            CheckpointError: it is missing, compressed, cut off or has a wrong checksum.
        """
        if name in self._checked:
            return self._checked[name]
        info = self._infos.get(name)
        if info is None:
            raise CheckpointError(f"record {name!r} is missing from the archive; download the file again")
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise CheckpointError(f"record {name!r} is compressed or encrypted; torch writes neither, save it again")
        start = self._start(info)
        view = self._data[start : start + info.file_size]
        if len(view) != info.file_size or info.compress_size != info.file_size:
            raise CheckpointError(f"record {name!r} is cut off; copy or download the file again")
        if zlib.crc32(view) != info.CRC:
            raise CheckpointError(f"record {name!r} has a wrong checksum; copy or download the file again")
        self._checked[name] = view
        return view

    def _start(self, info: zipfile.ZipInfo) -> int:
        header = self._data[info.header_offset : info.header_offset + _LOCAL_HEADER.size]
        if len(header) != _LOCAL_HEADER.size or bytes(header[:4]) != ZIP_MAGIC:
            raise CheckpointError(f"record {info.filename!r} has no header; copy or download the file again")
        fields = _LOCAL_HEADER.unpack(header)
        return info.header_offset + _LOCAL_HEADER.size + fields[-2] + fields[-1]


class _Buffer:
    """The minimal file interface that `zipfile` needs to find the directory at the end of a buffer."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._position = 0

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = 0) -> int:
        position = (0, self._position, len(self._data))[whence] + offset
        if position < 0:
            raise OSError("seek before the start")
        self._position = position
        return position

    def read(self, count: int = -1) -> bytes:
        end = len(self._data) if count < 0 else self._position + count
        piece = bytes(self._data[self._position : end])
        self._position += len(piece)
        return piece


def read_zip(data: memoryview) -> Any:
    """Read the object of a torch zip archive; its tensors read their records on demand.

    Raises:
        CheckpointError: the archive or its pickle is broken.
    """
    records = ZipRecords(data)
    pickles = [name for name in records.names() if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise CheckpointError("a zip archive that was not written by torch (no data.pkl); give the checkpoint itself")
    root = pickles[0].removesuffix("data.pkl")
    if f"{root}byteorder" in records.names() and bytes(records.read(f"{root}byteorder")) != b"little":
        raise CheckpointError("the file comes from a big-endian machine; save it on a little-endian one")
    storages: dict[str, Storage] = {}

    def persistent(persistent_id: Any) -> Storage:
        storage = storage_of(persistent_id)
        storage.load = lambda: records.read(f"{root}data/{storage.key}")
        return _same(storages, storage)

    return PickleMachine(records.read(pickles[0]), BUILDERS, persistent).run()


def _same(storages: dict[str, Storage], storage: Storage) -> Storage:
    known = storages.setdefault(storage.key, storage)
    if (known.dtype, known.is_bfloat16, known.numel) != (storage.dtype, storage.is_bfloat16, storage.numel):
        raise CheckpointError(f"storage {storage.key!r} is described in two ways; the file is broken")
    return known


def read_legacy(data: memoryview) -> Any:
    """Read the object of a legacy torch file: pickles of a magic number, version, system, object, keys; then numbers.

    Raises:
        CheckpointError: the stream is broken or ends early.
    """
    position = len(LEGACY_MAGIC) + 1
    header = []
    for _ in range(2):
        machine = PickleMachine(data, {}, start=position)
        header.append(machine.run())
        position = machine.position
    if header[0] != 1001 or not isinstance(header[1], dict) or header[1].get("little_endian") is not True:
        raise CheckpointError("a legacy torch file of an unknown version or of a big-endian machine; save it again")
    storages: dict[str, Storage] = {}
    machine = PickleMachine(data, BUILDERS, lambda pid: _same(storages, storage_of(pid)), start=position)
    result = machine.run()
    machine = PickleMachine(data, {}, start=machine.position)
    keys = machine.run()
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or len(set(keys)) != len(keys):
        raise CheckpointError("the list of storages is broken; copy or download the file again")
    _place_storages(data, machine.position, keys, storages)
    return result


def _place_storages(data: memoryview, position: int, keys: list[str], storages: dict[str, Storage]) -> None:
    for key in keys:
        if key not in storages:
            raise CheckpointError(f"storage {key!r} belongs to no tensor; the file is broken")
        storage = storages[key]
        prefix = data[position : position + 8]
        start = position + 8
        length = storage.numel * storage.dtype.itemsize
        if len(prefix) != 8 or int.from_bytes(prefix, "little") != storage.numel or start + length > len(data):
            raise CheckpointError(f"storage {key!r} is cut off at byte {position}; copy or download the file again")
        view = data[start : start + length]
        storage.load = lambda view=view: view
        position = start + length
    if position != len(data):
        raise CheckpointError(f"{len(data) - position} unexpected bytes at the end; the file is broken")


def read_plain_pickle(data: memoryview) -> Any:
    """Read the object of a plain pickle, such as Paddle's `.pdparams`.

    Raises:
        CheckpointError: it is broken, or more bytes follow its end.
    """
    machine = PickleMachine(data, BUILDERS)
    result = machine.run()
    if machine.position != len(data):
        raise CheckpointError(f"{len(data) - machine.position} unexpected bytes at the end; the file is broken")
    return result
