"""The safetensors reader against the safetensors package, and damaged files."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save

from bridgetower.conversion import CheckpointError
from bridgetower.conversion.readers.arrays import widen
from bridgetower.conversion.readers.safetensors_file import looks_like_safetensors, read_safetensors


def _file(header: Any, body: bytes = b"\0" * 8) -> memoryview:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return memoryview(len(text).to_bytes(8, "little") + text + body)


def _entry(**changes: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64,
                                   torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool])  # fmt: skip
def test_every_type_equals_the_package(dtype: torch.dtype) -> None:
    tensors = {"b": torch.randn(3, 4) * 10, "a": torch.ones(2, 0), "c": torch.ones(())}
    tensors = {name: tensor.to(dtype) for name, tensor in tensors.items()}
    data = memoryview(save(tensors, {"format": "pt"}))
    assert looks_like_safetensors(data)
    result, metadata = read_safetensors(data)
    assert metadata == {"format": "pt"}
    for name, tensor in tensors.items():
        array, expected = result[name], tensor
        if dtype == torch.bfloat16:
            array, expected = widen(array), tensor.float()
        np.testing.assert_array_equal(array, expected.numpy())


@pytest.mark.parametrize("data, message", [
    (_file({"a": _entry()}, b"\0" * 7), "cut off"),
    (_file({"a": _entry()}, b"\0" * 9), "unexpected bytes"),
    (_file({"a": _entry(data_offsets=[4, 12])}, b"\0" * 12), "starts at byte 4"),
    (_file({"a": _entry(), "b": _entry()}), "starts at byte 0 instead of 8"),
    (_file({"a": _entry(dtype="F8_E4M3")}), "F8_E4M3"),
    (_file({"a": _entry(dtype=[1])}), "not supported"),
    (_file({"a": _entry(shape=[3])}), "broken"),
    (_file({"a": _entry(shape=[-2, -1])}), "broken"),
    (_file({"a": _entry(shape=[2.0])}), "broken"),
    (_file({"a": _entry(shape=[True, 2])}), "broken"),
    (_file({"a": _entry(data_offsets=[8, 0])}), "broken"),
    (_file({"a": _entry(data_offsets=[0])}), "broken"),
    (_file({"a": 3}), "broken"),
    (_file(b'{"a": 1, "a": 2}'), "broken"),
    (_file(b"{" * 100_000), "broken"),
    (_file(b"[]"), "not a JSON object"),
    (_file(b"{\xff}"), "broken"),
])  # fmt: skip
def test_damaged_files(data: memoryview, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_safetensors(data)


def test_every_truncation_is_a_clean_error() -> None:
    data = memoryview(save({"a": torch.randn(3, 4), "b": torch.ones(2)}))
    for length in range(8, len(data)):
        with pytest.raises(CheckpointError):
            read_safetensors(data[:length])


@pytest.mark.parametrize("data", [b"", b"{}", b"PK\x03\x04aaaaaaaaaa", b"\xff" * 20, b"text of some length"])
def test_other_files_do_not_look_like_it(data: bytes) -> None:
    assert not looks_like_safetensors(memoryview(data))
