"""The processors against the Hugging Face port, live, and their files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bridgetower.inputs import BridgeTowerImageProcessor, BridgeTowerProcessor, BridgeTowerTokenizer
from bridgetower.inputs.transforms import build_transform
from bridgetower.preparation.train_tokenizer import train_tokenizer


@pytest.fixture(scope="module")
def photographs() -> list[Image.Image]:
    """Two made pictures of the size of photographs, and narrow parts of them."""
    noise = np.random.default_rng(0).integers(0, 256, (2, 54, 80, 3), dtype=np.uint8)
    whole = [np.asarray(Image.fromarray(image).resize((640, 427), Image.Resampling.BICUBIC)) for image in noise]
    first, second = whole[0], whole[1]
    return [Image.fromarray(np.ascontiguousarray(image))
            for image in (first, second, first[:, :101], second[:301, :300], second[:130], first[:288, :288])]


@pytest.fixture(scope="module")
def tokenizer() -> BridgeTowerTokenizer:
    return BridgeTowerTokenizer(train_tokenizer(["a red car on a road", "what is this?"] * 5, 300), "roberta")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"size": {"shortest_edge": 384}},
        {"size": {"shortest_edge": 100}, "crop_size": {"shortest_edge": 50}},
        {"crop_size": {"shortest_edge": 333}},
        {"do_center_crop": False},
        {"do_resize": False},
        {"do_rescale": False},
        {"do_normalize": False},
        {"do_rescale": False, "do_normalize": False},
        {"size_divisor": 16, "resample": 2},
        {"image_mean": [0.1, 0.2, 0.3], "image_std": [1.0, 2.0, 3.0], "rescale_factor": 0.5},
    ],
)
def test_equals_hugging_face(photographs: list[Image.Image], settings: dict) -> None:
    transformers = pytest.importorskip("transformers")
    for expected, ours in (
        (transformers.BridgeTowerImageProcessor()(photographs, return_tensors="np", **settings),
         BridgeTowerImageProcessor()(photographs, "np", **settings)),
        (transformers.BridgeTowerImageProcessor(**settings)(photographs, return_tensors="np"),
         BridgeTowerImageProcessor(**settings)(photographs, "np")),
    ):
        assert set(ours) == set(expected)
        for name in expected:
            assert ours[name].dtype == expected[name].dtype
            np.testing.assert_array_equal(ours[name], expected[name])


@pytest.mark.parametrize("layout", ["array", "channels_first", "batch_array", "single"])
def test_input_layouts(photographs: list[Image.Image], layout: str) -> None:
    process, image = BridgeTowerImageProcessor(size=64), photographs[0]
    array = np.asarray(image)
    given = {"array": [array], "channels_first": [array.transpose(2, 0, 1)], "batch_array": array[None],
             "single": image}[layout]
    np.testing.assert_array_equal(process(given, "np")["pixel_values"], process([image], "np")["pixel_values"])


def test_processor_equals_hugging_face(
    photographs: list[Image.Image], tokenizer: BridgeTowerTokenizer, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    BridgeTowerProcessor(BridgeTowerImageProcessor(), tokenizer).save_pretrained(tmp_path)
    expected = transformers.BridgeTowerProcessor(
        transformers.BridgeTowerImageProcessor.from_pretrained(str(tmp_path)),
        transformers.RobertaTokenizerFast.from_pretrained(str(tmp_path)),
    )
    texts = ["a red car", "what is this red car on a road?"]
    for arguments in ({"padding": True}, {"padding": "max_length", "max_length": 20},
                      {"padding": True, "truncation": True, "max_length": 5}):
        theirs = expected(photographs[:2], texts, return_tensors="np", **arguments)
        ours = BridgeTowerProcessor.from_pretrained(tmp_path)(photographs[:2], texts, return_tensors="np", **arguments)
        assert set(ours) == set(theirs) == {"input_ids", "attention_mask", "pixel_values", "pixel_mask"}
        for name in theirs:
            np.testing.assert_array_equal(ours[name], theirs[name])


def test_lists_and_paddle_tensors(photographs: list[Image.Image], tokenizer: BridgeTowerTokenizer) -> None:
    paddle = pytest.importorskip("paddle")
    processor = BridgeTowerProcessor(BridgeTowerImageProcessor(size=64), tokenizer)
    arrays = processor(photographs[:2], ["a car", "a red car"], "np", padding=True)
    tensors = processor(photographs[:2], ["a car", "a red car"], "pd", padding=True)
    lists = processor(photographs[:2], ["a car", "a red car"], padding=True)
    for name, array in arrays.items():
        assert paddle.is_tensor(tensors[name]) and isinstance(lists[name], list)
        np.testing.assert_array_equal(tensors[name].numpy(), array)
        np.testing.assert_array_equal(np.stack(lists[name]), array)


def test_text_or_images_alone(photographs: list[Image.Image], tokenizer: BridgeTowerTokenizer) -> None:
    processor = BridgeTowerProcessor(BridgeTowerImageProcessor(size=64), tokenizer)
    assert set(processor(text="a car", return_tensors="np")) == {"input_ids", "attention_mask"}
    assert set(processor(photographs[0], return_tensors="np", do_pad=False)) == {"pixel_values"}
    with pytest.raises(ValueError, match="neither images nor text"):
        processor()


def test_decode(tokenizer: BridgeTowerTokenizer) -> None:
    processor = BridgeTowerProcessor(BridgeTowerImageProcessor(), tokenizer)
    ids = processor(text=["a red car", "what is this?"], padding=True, return_tensors="np")["input_ids"]
    assert processor.batch_decode(ids, skip_special_tokens=True) == ["a red car", "what is this?"]
    assert processor.decode(ids[0]).startswith("<s>a red car</s>")


@pytest.mark.parametrize(
    "config, expected",
    [
        ({"size": 224}, {"size": {"shortest_edge": 224}}),
        ({"size": {"shortest_edge": 320}, "crop_size": {"height": 224, "width": 224}},
         {"size": {"shortest_edge": 320}, "crop_size": {"shortest_edge": 224}}),
        ({"pad_and_return_pixel_mask": False}, {"do_pad": False}),
        ({"image_processor_type": "BridgeTowerImageProcessor", "processor_class": "BridgeTowerProcessor",
          "crop_size": None}, {"crop_size": None, "size": {"shortest_edge": 288}}),
    ],
)
def test_reads_published_config_files(config: dict, expected: dict, tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    processor = BridgeTowerImageProcessor.from_pretrained(tmp_path)
    assert {name: getattr(processor, name) for name in expected} == expected


def test_save_and_read_again(tmp_path: Path) -> None:
    processor = BridgeTowerImageProcessor(size=384, crop_size=352, do_pad=False, image_mean=[0.1, 0.2, 0.3])
    processor.save_pretrained(tmp_path / "new")
    assert BridgeTowerImageProcessor.from_pretrained(tmp_path / "new") == processor
    transformers = pytest.importorskip("transformers")
    theirs = transformers.BridgeTowerImageProcessor.from_pretrained(str(tmp_path / "new"))
    assert (theirs.size, theirs.crop_size, theirs.do_pad) == (processor.size, processor.crop_size, False)


def test_unknown_setting_in_file_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"do_magic": True}))
    BridgeTowerImageProcessor.from_pretrained(tmp_path)
    assert "ignoring do_magic" in caplog.text


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"size": "large"}, "size='large' is not a size"),
        ({"size": {"height": 10, "width": 20}}, "is not a size"),
        ({"size": 16}, "smaller than size_divisor=32"),
        ({"image_mean": [0.5]}, "needs one value, or three"),
    ],
)
def test_refuses_settings(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BridgeTowerImageProcessor(**arguments)


@pytest.mark.parametrize(
    "image, settings, message",
    [
        (np.full((40, 40, 3), 1.5, np.float32), {}, r"not whole must lie in \[0, 1\], got \[1.5, 1.5\]"),
        (np.full((40, 40, 3), 300), {}, r"must lie in \[0, 255\], got \[300, 300\]"),
        (np.zeros((40, 40, 5), np.uint8), {}, r"shape \(40, 40, 5\) is no picture"),
        (Image.new("RGB", (10000, 5)), {}, "10000x5 pixels is too long"),
        ([Image.new("RGB", (300, 400)), Image.new("RGB", (400, 300))], {"do_center_crop": False, "do_pad": False},
         "different shapes"),
    ],
)
def test_refuses_images(image: object, settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BridgeTowerImageProcessor()(image, "np", **settings)  # type: ignore[arg-type]


def test_refuses_other_frameworks_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="return_tensors='tf' is unknown"):
        BridgeTowerImageProcessor()(Image.new("RGB", (32, 32)), "tf")
    with pytest.raises(FileNotFoundError, match="preprocessor_config.json does not exist"):
        BridgeTowerImageProcessor.from_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text("[1, 2")
    with pytest.raises(ValueError, match="preprocessor_config.json is not valid JSON"):
        BridgeTowerImageProcessor.from_pretrained(tmp_path)


def test_data_side_imports_no_framework() -> None:
    code = ("import sys, bridgetower.inputs, bridgetower.datasets, bridgetower.inputs.transforms;"
            "print([name for name in ('paddle', 'torch', 'transformers', 'huggingface_hub') if name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          timeout=240)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("key", ["clip", "blip", "vit"])
def test_a_transform_of_training_survives_saving(photographs: list[Image.Image], tmp_path: Path, key: str) -> None:
    """The same values as evaluation reads, for pictures of any shape and with transparent pixels."""
    transparent = photographs[0].convert("RGBA")
    transparent.putalpha(photographs[0].convert("L"))
    BridgeTowerImageProcessor.for_transform(key, 98).save_pretrained(tmp_path)
    processor, transform = BridgeTowerImageProcessor.from_pretrained(tmp_path), build_transform(key, 98)
    pictures = [*photographs, transparent]
    inputs = processor(pictures, "np")
    assert set(inputs) == {"pixel_values"} and inputs["pixel_values"].shape == (len(pictures), 3, 98, 98)
    for values, picture in zip(inputs["pixel_values"], pictures, strict=True):
        np.testing.assert_array_equal(values, transform(picture))
    np.testing.assert_array_equal(processor(np.asarray(photographs[0]), "np")["pixel_values"][0],
                                  inputs["pixel_values"][0])
    stored = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert tuple(stored["image_mean"]) == transform.normalization.mean and stored["size"] == {"shortest_edge": 98}


def test_a_transform_that_no_processor_has() -> None:
    with pytest.raises(KeyError, match="did you mean 'clip'"):
        BridgeTowerImageProcessor.for_transform("klip", 98)
    with pytest.raises(ValueError, match="transform='clip_randaug' is random"):
        BridgeTowerImageProcessor.for_transform("clip_randaug", 98)
