"""The mapping that processors return, with Paddle tensors and across frameworks."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bridgetower.inputs import BridgeTowerImageProcessor, BridgeTowerProcessor, BridgeTowerTokenizer, Encoding
from bridgetower.preparation.train_tokenizer import train_tokenizer

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def processor() -> BridgeTowerProcessor:
    tokenizer = BridgeTowerTokenizer(train_tokenizer(["a red car on a road", "what is this?"] * 5, 300), "roberta")
    return BridgeTowerProcessor(BridgeTowerImageProcessor(size=64), tokenizer)


def kinds(encoding: Encoding) -> dict[str, str]:
    return {name: str(value.dtype).rpartition(".")[2] for name, value in encoding.items()}


@pytest.mark.parametrize("kind", ["np", "pd", "pt"])
def test_tensors_move_and_only_floats_are_cast(processor: BridgeTowerProcessor, kind: str) -> None:
    framework: Any = pytest.importorskip({"np": "numpy", "pd": "paddle", "pt": "torch"}[kind])
    encoding = processor([PICTURE, PICTURE], ["a car", "a red car"], kind, padding=True)
    plain = processor([PICTURE, PICTURE], ["a car", "a red car"], "np", padding=True)
    for name, value in encoding.items():
        np.testing.assert_array_equal(np.asarray(value), plain[name])
    integers = {"input_ids": "int64", "attention_mask": "int64", "pixel_mask": "int64"}
    assert kinds(encoding) == {**integers, "pixel_values": "float32"}
    assert encoding.to("float16") is encoding and kinds(encoding) == {**integers, "pixel_values": "float16"}
    assert kinds(encoding.to(framework.float32)) == {**integers, "pixel_values": "float32"}
    assert kinds(encoding.to("cpu", framework.float64)) == {**integers, "pixel_values": "float64"}
    assert kinds(encoding.to(device="cpu", dtype="float32")) == {**integers, "pixel_values": "float32"}


def test_lists_stay_lists(processor: BridgeTowerProcessor) -> None:
    encoding = processor(PICTURE, "a car")
    assert isinstance(encoding["input_ids"][0], int) and isinstance(encoding.pixel_values, list)
    assert encoding.to("cpu") is encoding
    assert set(encoding.convert_to_tensors("np", prepend_batch_axis=False)) == set(encoding)


def test_a_mapping_with_attributes(processor: BridgeTowerProcessor) -> None:
    encoding = processor([PICTURE] * 2, ["a car", "cars"], "np", padding=True)
    assert isinstance(encoding, dict) and {**encoding}.keys() == dict(encoding).keys() == set(encoding.data)
    assert encoding.input_ids is encoding["input_ids"] and "pixel_mask" in encoding
    assert encoding[1].tokens == encoding.tokens(1) and len(encoding[:1]) == 1
    with pytest.raises(AttributeError, match="no 'labels'; it holds input_ids, attention_mask"):
        encoding.labels  # noqa: B018
    for again in (pickle.loads(pickle.dumps(encoding)), copy.deepcopy(encoding), copy.copy(encoding), encoding.copy()):
        assert type(again) is Encoding and again.tokens(1) == encoding.tokens(1)
        np.testing.assert_array_equal(again.input_ids, encoding.input_ids)


def test_pictures_alone_have_no_rows_of_text(processor: BridgeTowerProcessor) -> None:
    encoding = processor.image_processor([PICTURE] * 2, "np")
    assert encoding[1:]["pixel_values"].shape[0] == 1 and not encoding.is_fast
    with pytest.raises(KeyError, match="0 is no name of an input"):
        encoding[0]
    with pytest.raises(ValueError, match="no text was encoded"):
        encoding.tokens()


def test_ragged_rows_and_unknown_frameworks(processor: BridgeTowerProcessor) -> None:
    with pytest.raises(ValueError, match="input_ids has rows of different shapes.*padding=True"):
        processor.tokenizer(["a", "a red car"], return_tensors="np")
    with pytest.raises(ValueError, match="return_tensors='tf' is unknown; use 'np', 'pd', 'pt' or None"):
        processor.tokenizer("a", return_tensors="tf")


@pytest.mark.parametrize("texts, shape", [([], (0, 0)), ([""], (1, 0)), (["", ""], (2, 0))])
def test_no_tokens_are_still_ids(processor: BridgeTowerProcessor, texts: list[str], shape: tuple[int, int]) -> None:
    ids = processor.tokenizer(texts, add_special_tokens=False, return_tensors="np")["input_ids"]
    assert ids.shape == shape and ids.dtype == np.int64


def test_pytorch_that_is_not_installed(processor: BridgeTowerProcessor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(ValueError, match="needs PyTorch, which is not installed"):
        processor.tokenizer("a", return_tensors="pt")
    assert processor.tokenizer("a", return_tensors="np").input_ids.shape[0] == 1
