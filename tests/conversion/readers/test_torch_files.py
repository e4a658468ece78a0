"""torch's containers read without torch: equal to torch.load, and clean errors for damaged files."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bridgetower.conversion import CheckpointError
from bridgetower.conversion.readers.arrays import widen
from bridgetower.conversion.readers.mapped_file import map_file
from bridgetower.conversion.readers.state_dicts import state_dict
from bridgetower.conversion.readers.torch_files import ZipRecords, read_legacy, read_zip


def _tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    base = torch.randn(6, 8)
    kinds = [torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
             torch.uint8]  # fmt: skip
    return {
        "float": base,
        "same storage": base[1:3],
        "transposed": base.T,
        "strided": base[::2, 1::3],
        "scalar": torch.tensor(0.07),
        "empty": torch.zeros(0, 3),
        "flags": torch.tensor([True, False]),
        "deep": torch.randn(2, 3, 4, 5).permute(3, 0, 2, 1),
        "parameter": torch.nn.Parameter(torch.randn(3)),
        **{str(kind): (10 * torch.randn(5, 3)).to(kind) for kind in kinds},
    }


def _saved(content: Any, is_zip: bool) -> memoryview:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=is_zip)
    return memoryview(buffer.getvalue())


def _read(data: memoryview, is_zip: bool) -> Any:
    return read_zip(data) if is_zip else read_legacy(data)


both_containers = pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])


@both_containers
@pytest.mark.parametrize("name", list(_tensors()))
def test_every_kind_of_tensor_equals_torch_load(is_zip: bool, name: str) -> None:
    data = _saved(_tensors(), is_zip)
    expected = torch.load(io.BytesIO(data), weights_only=True)[name].detach()
    array = _read(data, is_zip)[name].array()
    assert array.shape == tuple(expected.shape)
    if expected.dtype == torch.bfloat16:
        array, expected = widen(array), expected.float()
    assert str(array.dtype) == str(expected.dtype).removeprefix("torch.")
    np.testing.assert_array_equal(array, expected.numpy())


@both_containers
def test_nothing_is_copied(is_zip: bool) -> None:
    data = _saved({"a": torch.randn(100)}, is_zip)
    assert np.may_share_memory(_read(data, is_zip)["a"].array(), np.frombuffer(data, np.uint8))


@both_containers
def test_optimizer_and_other_entries_do_not_matter(is_zip: bool) -> None:
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    content = {"state_dict": model.state_dict(), "optimizer_states": [optimizer.state_dict()], "when": Path("x")}
    result = _read(_saved(content, is_zip), is_zip)
    np.testing.assert_array_equal(result["state_dict"]["weight"].array(), model.weight.detach().numpy())


class _Visual(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ln_pre = torch.nn.LayerNorm(4)
        self.conv1 = torch.nn.Conv2d(3, 4, 2, bias=False)
        self.register_buffer("mean", torch.ones(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv1(x)


class _Clip(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.visual = _Visual()
        self.logit_scale = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.visual(x) * self.logit_scale


def test_torchscript_archive(tmp_path: Path) -> None:
    model = _Clip().half()
    torch.jit.script(model).save(str(tmp_path / "clip.pt"))
    result = state_dict(read_zip(map_file(tmp_path / "clip.pt")))
    assert set(result) == set(model.state_dict())
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(result[name].array(), tensor.numpy())


# ---------------------------------------------------------------------------------------------------------------------
# Damaged files


def _rewritten(data: memoryview, change: Any) -> memoryview:
    """The archive with `change(name, bytes)` applied to each record; None leaves it out."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for info in old.infolist():
            content = change(info.filename, old.read(info))
            if content is not None:
                new.writestr(info.filename, content)
    return memoryview(buffer.getvalue())


def _arrays(data: memoryview) -> list[np.ndarray]:
    return [tensor.array() for tensor in read_zip(data).values()]


@pytest.mark.parametrize("change, message", [
    (lambda name, data: None if name.endswith("data/0") else data, "missing"),
    (lambda name, data: data[:-4] if name.endswith("data/0") else data, "bytes instead of"),
    (lambda name, data: data + b"1234" if name.endswith("data/0") else data, "bytes instead of"),
    (lambda name, data: None if name.endswith("data.pkl") else data, "no data.pkl"),
    (lambda name, data: b"big" if name.endswith("byteorder") else data, "big-endian"),
    (lambda name, data: data.replace(b"FloatStorage", b"QuantStorage"), "QuantStorage"),
    (lambda name, data: data.replace(b"FloatStorage", b"DoubleStorage"), "bytes instead of"),
])  # fmt: skip
def test_broken_archives(change: Any, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        _arrays(_rewritten(_saved({"a": torch.randn(4, 3)}, True), change))


def test_wrong_checksum() -> None:
    tensor = torch.full((64,), 1.25)
    data = bytes(_saved({"a": tensor}, True))
    where = data.index(tensor.numpy().tobytes())
    with pytest.raises(CheckpointError, match="checksum"):
        _arrays(memoryview(data[:where] + b"\x00\x01" + data[where + 2 :]))


def test_compressed_records_are_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", b"N." * 100)
    with pytest.raises(CheckpointError, match="compressed"):
        read_zip(memoryview(buffer.getvalue()))


def test_two_records_of_one_name() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, pytest.warns(UserWarning):
        for _ in range(2):
            archive.writestr("x/data.pkl", b"N.")
    with pytest.raises(CheckpointError, match="two records"):
        ZipRecords(memoryview(buffer.getvalue()))


@both_containers
def test_every_truncation_is_a_clean_error(is_zip: bool) -> None:
    data = _saved({"a": torch.randn(4, 3), "b": torch.ones(2)}, is_zip)
    for length in range(20, len(data), 7):
        with pytest.raises(CheckpointError):
            _read(data[:length], is_zip)


def test_extra_bytes_after_a_legacy_file() -> None:
    data = bytes(_saved({"a": torch.ones(3)}, False))
    with pytest.raises(CheckpointError, match="4 unexpected bytes"):
        read_legacy(memoryview(data + b"0000"))


def _pickle_of_tensor(size: bytes, stride: bytes, offset: bytes = b"K\x00") -> bytes:
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x0ctQ"
    call = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + offset + size + stride
    return b"\x80\x02}X\x01\x00\x00\x00a" + call + b"\x89ccollections\nOrderedDict\n)RtRs."


@pytest.mark.parametrize("size, stride, offset, message", [
    (b"(K\x0dt", b"(K\x01t", b"K\x00", "outside its storage"),
    (b"(K\x0ct", b"(K\x01t", b"K\x01", "outside its storage"),
    (b"(K\x0ct", b"(J\xff\xff\xff\xfft", b"K\x00", "broken shape"),
    (b"(J\xff\xff\xff\xfft", b"(K\x01t", b"K\x00", "broken shape"),
    (b"(J\xff\xff\xff\x7fK\x01t", b"(K\x00K\x01t", b"K\x00", "outside its storage"),  # terabytes of one number
    (b"(K\x04K\x03t", b"(K\x03t", b"K\x00", "2 sizes and 1 strides"),
    (b"N", b"(K\x03t", b"K\x00", "broken shape"),
    (b"(G?\xf0\x00\x00\x00\x00\x00\x00t", b"(K\x01t", b"K\x00", "broken shape"),
])  # fmt: skip
def test_tensors_may_not_leave_their_storage(size: bytes, stride: bytes, offset: bytes, message: str) -> None:
    evil = _pickle_of_tensor(size, stride, offset)
    data = _rewritten(_saved({"a": torch.randn(4, 3)}, True), lambda n, d: evil if n.endswith("data.pkl") else d)
    with pytest.raises(CheckpointError, match=message):
        _arrays(data)
