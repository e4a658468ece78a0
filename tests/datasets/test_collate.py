"""Batches: keys, types, padding, masking, matching labels, answers and shared images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridgetower.datasets import SKIPPED, Collator, DatasetOptions, ImageTextDataset, build_dataset
from bridgetower.inputs.tokenizer import BridgeTowerTokenizer


def options(**changes: Any) -> DatasetOptions:
    return DatasetOptions(**{"image_size": 8, "transform": "clip", "training": True, **changes})


CAPTIONS = ["a red car", "two dogs and a cat on a road", "a", "dogs", "what color is the car?", "a cat", "road"]


@pytest.fixture
def vg(captions, tmp_path: Path) -> Path:  # type: ignore[no-untyped-def]
    captions("vg", [[text] for text in CAPTIONS])
    return tmp_path


def take(dataset: ImageTextDataset, count: int) -> list:
    return [dataset[index] for index in range(count)]


def kinds(batch: dict[str, np.ndarray]) -> dict[str, tuple]:
    return {name: (array.shape, array.dtype.name) for name, array in batch.items()}


def test_captions_with_everything(vg: Path, tokenizer: BridgeTowerTokenizer) -> None:
    dataset = build_dataset(["vg"], "train", vg, options(draw_false_image=1, draw_false_text=2))
    batch = Collator(tokenizer, 12, padding="max_length", mlm=True, itm=True)(take(dataset, 5))
    assert kinds(batch) == {
        "sample_index": ((5,), "int64"),
        "image_index": ((5,), "int64"),
        "table_index": ((5,), "int64"),
        "input_ids": ((5, 3, 12), "int64"),
        "attention_mask": ((5, 3, 12), "int64"),
        "mlm_input_ids": ((5, 12), "int64"),
        "mlm_labels": ((5, 12), "int64"),
        "pixel_values": ((5, 3, 8, 8), "float32"),
        "itm_labels": ((5,), "int64"),
        "false_pixel_values": ((3, 3, 8, 8), "float32"),
    }


def test_true_caption_stands_first(vg: Path, tokenizer: BridgeTowerTokenizer) -> None:
    dataset = build_dataset(["vg"], "train", vg, options(draw_false_text=3))
    samples = take(dataset, 4)
    batch = Collator(tokenizer, 30)(samples)
    for ids, sample in zip(batch["input_ids"], samples, strict=True):
        decoded = tokenizer.batch_decode(ids, skip_special_tokens=True)
        assert decoded == [sample.text, *sample.false_texts]


def test_padding(vg: Path, tokenizer: BridgeTowerTokenizer) -> None:
    samples = take(build_dataset(["vg"], "train", vg, options()), 3)
    longest = Collator(tokenizer, 40)(samples)
    whole = Collator(tokenizer, 40, padding="max_length")(samples)
    width = longest["input_ids"].shape[1]
    assert width == longest["attention_mask"].sum(1).max() < 40 == whole["input_ids"].shape[1]
    for name in ("input_ids", "attention_mask"):
        assert (whole[name][:, :width] == longest[name]).all()
    assert (whole["input_ids"][whole["attention_mask"] == 0] == tokenizer.pad_token_id).all()
    assert Collator(tokenizer, 6)(samples)["input_ids"].shape == (3, 6)


@pytest.mark.parametrize("whole_words", [False, True])
def test_masking_changes_only_labelled_ordinary_tokens(
    whole_words: bool, vg: Path, tokenizer: BridgeTowerTokenizer
) -> None:
    dataset = build_dataset(["vg"], "train", vg, options())
    labelled = 0
    for epoch in range(20):
        dataset.set_epoch(epoch)
        batch = Collator(tokenizer, 40, mlm=True, whole_word_masking=whole_words, mlm_probability=0.3)(take(dataset, 7))
        ids, masked, labels = batch["input_ids"], batch["mlm_input_ids"], batch["mlm_labels"]
        chosen = labels != -100
        assert (masked[~chosen] == ids[~chosen]).all() and (labels[chosen] == ids[chosen]).all()
        assert not np.isin(ids[chosen], [tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id]).any()
        labelled += chosen.sum()
    assert labelled > 50


@pytest.mark.parametrize("whole_words", [False, True])
def test_masking_does_not_depend_on_batch_or_padding(
    whole_words: bool, vg: Path, tokenizer: BridgeTowerTokenizer
) -> None:
    samples = take(build_dataset(["vg"], "train", vg, options()), 7)
    arguments = {"mlm": True, "whole_word_masking": whole_words}
    whole = Collator(tokenizer, 40, padding="max_length", **arguments)(samples)  # type: ignore[arg-type]
    for row, sample in enumerate(samples):
        alone = Collator(tokenizer, 40, **arguments)([sample])  # type: ignore[arg-type]
        width = alone["mlm_labels"].shape[1]
        for name in ("mlm_input_ids", "mlm_labels"):
            assert (alone[name][0] == whole[name][row, :width]).all()
        assert (whole["mlm_labels"][row, width:] == -100).all()


def test_masking_changes_with_the_epoch(vg: Path, tokenizer: BridgeTowerTokenizer) -> None:
    dataset = build_dataset(["vg"], "train", vg, options())
    labels = []
    for epoch in (0, 1, 0):
        dataset.set_epoch(epoch)
        labels.append(Collator(tokenizer, 40, mlm=True)(take(dataset, 7))["mlm_labels"])
    assert (labels[0] == labels[2]).all() and (labels[0] != labels[1]).any()


@pytest.mark.parametrize("rows", [1, 2, 5, 6])
def test_matching_labels_and_their_images(rows: int, vg: Path, tokenizer: BridgeTowerTokenizer, numbers) -> None:  # type: ignore[no-untyped-def]
    dataset = build_dataset(["vg"], "train", vg, options(draw_false_image=1))
    seen = set()
    for epoch in range(30):
        dataset.set_epoch(epoch)
        samples = take(dataset, rows)
        batch = Collator(tokenizer, 20, itm=True)(samples)
        labels = batch["itm_labels"]
        assert labels.sum() == rows // 2 and set(labels.tolist()) <= {0, 1}
        drawn = [int(numbers(sample.false_image())) for sample, label in zip(samples, labels, strict=True) if not label]
        assert numbers(batch["false_pixel_values"]).tolist() == drawn
        assert (Collator(tokenizer, 20, itm=True)(samples)["itm_labels"] == labels).all()
        seen.add(tuple(labels))
    assert len(seen) > 1 or rows == 1


def test_matching_needs_drawn_images(vg: Path, tokenizer: BridgeTowerTokenizer) -> None:
    samples = take(build_dataset(["vg"], "train", vg, options()), 2)
    with pytest.raises(ValueError, match="set draw_false_image=1"):
        Collator(tokenizer, 20, itm=True)(samples)


def test_answers(questions, tokenizer: BridgeTowerTokenizer, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    questions("easy_vqa_train", per_image=2, images=3)
    samples = take(build_dataset(["easy_vqa"], "train", tmp_path, options()), 6)
    batch = Collator(tokenizer, 20, num_answers=4)(samples)
    expected = np.zeros((6, 4), dtype=np.float32)
    expected[:, 0] = 1
    expected[[1, 4], 1] = expected[[2, 5], 2] = np.float32(0.3)
    assert (batch["labels"] == expected).all() and batch["labels"].dtype == np.float32
    assert batch["question_ids"].tolist() == [100, 101, 102, 103, 104, 105]


def test_answers_that_the_model_does_not_have(questions, tokenizer: BridgeTowerTokenizer, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    questions("easy_vqa_train", per_image=2, images=3)
    samples = take(build_dataset(["easy_vqa"], "train", tmp_path, options()), 6)
    with pytest.raises(ValueError, match="easy_vqa_train.arrow row 1: answer label 2 of question 102 is outside"):
        Collator(tokenizer, 20, num_answers=2)(samples)
    with pytest.raises(ValueError, match="given no num_answers"):
        Collator(tokenizer, 20)(samples)


def test_questions_without_answers(questions, tokenizer: BridgeTowerTokenizer, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    questions("vqav2_test", test=True)
    batch = Collator(tokenizer, 20, num_answers=3)(take(build_dataset(["vqa"], "test", tmp_path, options()), 4))
    assert "labels" not in batch and batch["question_ids"].tolist() == [100, 101, 102, 103]


def test_shared_images(questions, tokenizer: BridgeTowerTokenizer, tmp_path: Path, numbers) -> None:  # type: ignore[no-untyped-def]
    questions("easy_vqa_train", per_image=3, images=4)
    dataset = build_dataset(["easy_vqa"], "train", tmp_path, options(training=False))
    samples = [dataset[index] for index in (7, 8, 0, 6, 11)]
    shared = Collator(tokenizer, 20, num_answers=3, share_images=True)(samples)
    plain = Collator(tokenizer, 20, num_answers=3)(samples)
    assert shared["pixel_values"].shape == (3, 3, 8, 8) and shared["image_rows"].dtype == np.int64
    assert (shared["pixel_values"][shared["image_rows"]] == plain["pixel_values"]).all()
    assert numbers(plain["pixel_values"]).tolist() == shared["image_index"].tolist() == [2, 2, 0, 2, 3]


def test_entailment_and_pairs(write, picture, tokenizer: BridgeTowerTokenizer, tmp_path: Path, numbers) -> None:  # type: ignore[no-untyped-def]
    for name, first in (("snli_dev", 0), ("snli_test", 5)):
        write(name, {"image": [picture(first)], "sentences": [[["p", " a cat "], ["p", "dogs"]]], "labels": [[2, 1]]})
    samples = take(build_dataset(["snli"], "val", tmp_path, options(training=False)), 4)
    batch = Collator(tokenizer, 20)(samples)
    assert batch["labels"].tolist() == [2, 1, 2, 1] and batch["table_index"].tolist() == [0, 0, 1, 1]
    assert tokenizer.decode(batch["input_ids"][0], skip_special_tokens=True) == "a cat"
    write("nlvr2_train", {"image_0": [picture(1)], "image_1": [picture(2)], "questions": [["a", "b"]],
                          "answers": [["False", "True"]], "identifier": ["x"]})
    batch = Collator(tokenizer, 20)(take(build_dataset(["nlvr2"], "train", tmp_path, options()), 2))
    assert batch["pixel_values"].shape == (2, 2, 3, 8, 8)
    assert numbers(batch["pixel_values"]).tolist() == [[1, 2], [1, 2]]
    assert batch["labels"].tolist() == [0, 1] and batch["labels"].dtype == np.int64


@pytest.mark.parametrize(
    "mode, absent", [("image_only", {"input_ids", "attention_mask"}), ("text_only", {"pixel_values"})]
)
def test_images_or_texts_alone(mode: str, absent: set[str], vg: Path, tokenizer: BridgeTowerTokenizer) -> None:
    batch = Collator(tokenizer, 20)(take(build_dataset(["vg"], "train", vg, options(mode=mode)), 3))
    everything = {"sample_index", "image_index", "table_index", "input_ids", "attention_mask", "pixel_values"}
    assert set(batch) == everything - absent


def test_smaller_pictures_lie_in_the_upper_left(  # type: ignore[no-untyped-def]
    write, picture, tokenizer: BridgeTowerTokenizer, tmp_path: Path
) -> None:
    sizes = [(64, 64), (96, 64), (64, 96)]
    write("vg", {"image": [picture(n, size) for n, size in enumerate(sizes)], "caption": [["a"]] * 3})
    dataset = build_dataset(["vg"], "train", tmp_path, options(image_size=64, transform="pixelbert"))
    pixels = Collator(tokenizer, 20)(take(dataset, 3))["pixel_values"]
    assert pixels.shape == (3, 3, 96, 96)
    for number, (width, height) in enumerate(sizes):
        np.testing.assert_allclose(pixels[number, :, :height, :width], ((20 + number) / 255 - 0.5) / 0.5, atol=1e-6)
        assert np.count_nonzero(pixels[number]) == 3 * width * height


def test_no_samples_make_the_marker(tokenizer: BridgeTowerTokenizer) -> None:
    assert kinds(Collator(tokenizer, 20)([])) == {SKIPPED: ((1,), "int64")}


@pytest.mark.parametrize(
    "arguments, message",
    [({"padding": "none"}, "padding='none'"), ({"mlm_probability": 1.5}, "mlm_probability=1.5"),
     ({"max_text_len": 2}, "max_text_len=2")],
)
def test_settings_are_checked(arguments: dict, message: str, tokenizer: BridgeTowerTokenizer) -> None:
    with pytest.raises(ValueError, match=message):
        Collator(**{"tokenizer": tokenizer, "max_text_len": 20, **arguments})
