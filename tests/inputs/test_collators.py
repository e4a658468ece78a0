"""PaddleNLP's data collators with our tokenizer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bridgetower.inputs import BridgeTowerTokenizer
from bridgetower.preparation.train_tokenizer import train_tokenizer

data = pytest.importorskip("paddlenlp.data")
TEXTS = ["a red car", "what is this on a road?", "cars"]


@pytest.fixture(scope="module")
def tokenizer() -> BridgeTowerTokenizer:
    return BridgeTowerTokenizer(train_tokenizer(["a red car on a road", "what is this?"] * 5, 300), "roberta")


@pytest.mark.parametrize("kind", ["pd", "np"])
def test_padding(tokenizer: BridgeTowerTokenizer, kind: str) -> None:
    rows = [tokenizer(text) for text in TEXTS]
    batch = data.DataCollatorWithPadding(tokenizer, pad_to_multiple_of=8, return_tensors=kind)(rows)
    expected = tokenizer(TEXTS, padding=True, pad_to_multiple_of=8, return_tensors="np")
    assert set(batch) == set(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(np.asarray(batch[name]), value)


def test_padding_with_labels(tokenizer: BridgeTowerTokenizer) -> None:
    rows = [{**tokenizer(text), "label": label} for label, text in enumerate(TEXTS)]
    batch = data.DataCollatorWithPadding(tokenizer)(rows)
    assert batch["labels"].tolist() == [0, 1, 2] and str(batch["labels"].dtype) == "paddle.int64"


def _mappings(tokenizer: BridgeTowerTokenizer) -> list[Any]:
    return [tokenizer(text) for text in TEXTS]


def _with_masks(tokenizer: BridgeTowerTokenizer) -> list[Any]:
    return [tokenizer(text, return_special_tokens_mask=True) for text in TEXTS]


def _ids(tokenizer: BridgeTowerTokenizer) -> list[Any]:
    return [tokenizer.encode(text) for text in TEXTS]


@pytest.mark.parametrize("kind", ["pd", "np"])
@pytest.mark.parametrize("rows", [_mappings, _with_masks, _ids])
def test_masked_language_modelling(tokenizer: BridgeTowerTokenizer, rows: Any, kind: str) -> None:
    collate = data.DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.5, return_tensors=kind)
    expected = tokenizer(TEXTS, padding=True, return_tensors="np")["input_ids"]
    special = np.isin(expected, tokenizer.all_special_ids)
    for _ in range(5):
        batch = collate(rows(tokenizer))
        ids, labels = np.asarray(batch["input_ids"]), np.asarray(batch["labels"])
        hidden = labels != -100
        assert ids.shape == labels.shape == expected.shape and not (hidden & special).any()
        np.testing.assert_array_equal(ids[~hidden], expected[~hidden])
        np.testing.assert_array_equal(labels[hidden], expected[hidden])


def test_rows_of_equal_length_are_stacked(tokenizer: BridgeTowerTokenizer) -> None:
    rows = [tokenizer(text, padding="max_length", max_length=20) for text in TEXTS]
    assert data.DefaultDataCollator()(rows)["input_ids"].shape == [3, 20]
