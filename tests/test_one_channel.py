"""A model of three channels as one that reads grey: equal on grey pictures wherever it is used."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from PIL import Image

from bridgetower import (
    BridgeTowerForImageAndTextRetrieval,
    BridgeTowerForImageClassification,
    BridgeTowerImageProcessor,
    BridgeTowerModel,
    BridgeTowerProcessor,
    pipeline,
)
from bridgetower.export import BridgeTowerPredictor, export_checkpoint
from bridgetower.inputs.transforms import TRANSFORM_KEYS, build_transform
from bridgetower.one_channel import PATCH_KERNELS, fold_channels
from tests.miniature import MODEL, write_experiment
from tests.models import SIZE, small_batch, small_model

GREY = {"num_channels": 1}
PICTURES = [Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 50 + seed), dtype=np.uint8))
            for seed in range(2)]
TOLERANCE = 1e-5  # of values around one; sums of floats in another order


def pixels(processor: BridgeTowerImageProcessor) -> paddle.Tensor:
    return processor(PICTURES, "pd")["pixel_values"]


@pytest.mark.parametrize(("kind", "transform"), [("clip", "clip"), ("vit", "imagenet"), ("clip", None)])
def test_outputs_are_those_of_the_picture_stacked_three_times(kind: str, transform: str | None, tmp_path: Path) -> None:
    vision = dict(kind=kind, hidden_size=64, num_hidden_layers=3, patch_size=16, image_size=SIZE)
    three = small_model(BridgeTowerModel, vision_config=vision)
    three.save_pretrained(tmp_path)
    if transform is None:  # the settings of the port, with another normalisation
        read_three = BridgeTowerImageProcessor(size=SIZE, image_mean=[0.1, 0.2, 0.3], image_std=[0.5, 0.25, 0.2])
    else:
        read_three = BridgeTowerImageProcessor.for_transform(transform, SIZE)
    read_three.save_pretrained(tmp_path)
    one = BridgeTowerModel.from_pretrained(tmp_path, vision_config=GREY)
    read_one = BridgeTowerImageProcessor.from_pretrained(tmp_path, num_channels=1)
    assert pixels(read_one).shape == [2, 1, SIZE, SIZE]
    assert 0 <= pixels(read_one).min() and 0.9 < pixels(read_one).max() <= 1
    batch = {name: value[:2] for name, value in small_batch().items()}
    with paddle.no_grad():
        expected = three(**{**batch, "pixel_values": pixels(read_three)})
        found = one(**{**batch, "pixel_values": pixels(read_one)})
    for name in ("text_features", "image_features", "pooler_output"):
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=TOLERANCE)
    kernels = [model.image_tower.patch_embedding.weight for model in (three, one)]
    assert kernels[1].size * 3 == kernels[0].size  # and so are the products of each patch


def test_a_colour_picture_is_read_by_its_luminance() -> None:
    colours = Image.fromarray(np.random.default_rng(3).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    processor = BridgeTowerImageProcessor(size=32, num_channels=1)
    found = processor(colours, "np", do_resize=False)["pixel_values"][0]
    np.testing.assert_allclose(found[0], np.asarray(colours.convert("L"))[4:36, 4:36] / 255, atol=1e-6)
    floats = processor(np.asarray(colours) / 255, "np", do_resize=False, do_rescale=False)["pixel_values"][0]
    np.testing.assert_allclose(floats, found, atol=0.51 / 255)


@pytest.mark.parametrize("key", TRANSFORM_KEYS)
def test_every_transform_of_a_grey_picture_has_one_channel(key: str) -> None:
    draws = [np.random.default_rng(0), np.random.default_rng(0)]
    three, one = (build_transform(key, 32, channels)(PICTURES[0], rng) for channels, rng in zip((3, 1), draws,
                                                                                                strict=True))
    assert one.shape == (1, *three.shape[1:]) and one.min() >= 0 and one.max() <= 1
    constants = build_transform(key, 32).normalization
    grey = three * np.reshape(constants.std, (3, 1, 1)) + np.reshape(constants.mean, (3, 1, 1))
    if np.ptp(grey, axis=0).max() < 1e-5:  # RandAugment may have coloured it
        np.testing.assert_allclose(one[0], grey[0], atol=1e-5)


def test_weights_of_one_channel_are_saved_and_stay(tmp_path: Path) -> None:
    model = small_model(BridgeTowerForImageClassification, num_labels=4)
    model.save_pretrained(tmp_path / "three")
    one = BridgeTowerForImageClassification.from_pretrained(tmp_path / "three", vision_config=GREY)
    one.save_pretrained(tmp_path / "one")
    again = BridgeTowerForImageClassification.from_pretrained(tmp_path / "one")
    assert again.config.vision_config.num_channels == 1
    image = paddle.rand([2, 1, SIZE, SIZE])
    with paddle.no_grad():
        np.testing.assert_array_equal(again(image).logits, one(image).logits)
        with pytest.raises(ValueError, match=r"images have 3 channels, the model reads 1; make pixel_values with"):
            again(paddle.rand([2, 3, SIZE, SIZE]))
    with pytest.raises(ValueError, match="patch_embedding.weight is .*1, 16, 16.* in the file"):
        BridgeTowerForImageClassification.from_pretrained(tmp_path / "one", vision_config={"num_channels": 3})


def test_other_kernels_stay() -> None:
    tensors = {PATCH_KERNELS: np.ones((4, 1, 2, 2), np.float32)}
    assert fold_channels(tensors)[PATCH_KERNELS] is tensors[PATCH_KERNELS]
    assert fold_channels({}) == {}


@pytest.fixture(scope="module")
def one_folder(saved: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The retrieval model of the saved ones, with one channel, and its processor."""
    folder = tmp_path_factory.mktemp("one")
    BridgeTowerForImageAndTextRetrieval.from_pretrained(saved("itm"), vision_config=GREY).save_pretrained(str(folder))
    images = BridgeTowerImageProcessor.for_transform("clip", SIZE, num_channels=1)
    tokenizer = BridgeTowerProcessor(images, pipeline("image-text-matching", saved("itm")).engine.tokenizer).tokenizer
    BridgeTowerProcessor(images, tokenizer).save_pretrained(folder)
    return folder


def test_pipelines_read_grey(saved: Callable[[str], Path], one_folder: Path, tmp_path: Path) -> None:
    given = {"image": PICTURES[0], "text": "is it blue?"}
    scores = [pipeline("image-text-matching", folder)(given)["score"] for folder in (saved("itm"), one_folder)]
    np.testing.assert_allclose(scores[1], scores[0], atol=TOLERANCE)
    settings = one_folder / "preprocessor_config.json"
    assert json.loads(settings.read_text())["num_channels"] == 1
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    for file in saved("itm").iterdir():
        (wrong / file.name).write_bytes(file.read_bytes())
    (wrong / settings.name).write_bytes(settings.read_bytes())
    with pytest.raises(ValueError, match="makes 1 channel, the model of .* reads 3"):
        pipeline("image-text-matching", wrong)(given)


@pytest.mark.slow
def test_exports_read_grey(saved: Callable[[str], Path], one_folder: Path, tmp_path: Path) -> None:
    manifest = export_checkpoint(one_folder, tmp_path / "out")
    assert manifest.num_channels == 1
    predictor = BridgeTowerPredictor(tmp_path / "out", engine="paddle")
    found = predictor.encode_image(predictor.prepare_images(PICTURES)).states
    expected = pipeline("image-text-matching", saved("itm")).engine
    states = expected.encode_image(expected.image_processor(PICTURES, "np")["pixel_values"]).states
    np.testing.assert_allclose(found, np.stack([state.numpy() for state in states], axis=1), atol=TOLERANCE)
    with pytest.raises(ValueError, match=r"exported for \(images, 1, 32, 32\)"):
        predictor.encode_image(np.zeros((1, 3, SIZE, SIZE), np.float32))


@pytest.mark.slow
@pytest.mark.usefixtures("untuned")
def test_training_starts_from_three_channels_and_saves_one(mini: Path, tmp_path: Path) -> None:
    import train

    def run(name: str, *flags: str, **settings: Any) -> Path:
        config = write_experiment(mini, f"one-channel-{name}", {"name": "vqa"}, **settings)
        assert train.main(["--config_name", str(config), "--output_dir", str(tmp_path / name), "--data_root",
                           str(mini / "data"), "--do_train", "--max_steps", "1", *flags]) == 0
        return tmp_path / name

    three = run("three")
    vision = {**MODEL["vision_config"], **GREY}
    one = run("one", "--checkpoint_path", str(three), model={**MODEL, "vision_config": vision})
    config = json.loads((one / "config.json").read_text())
    processor = BridgeTowerImageProcessor.from_pretrained(one)
    assert (config["vision_config"]["num_channels"], processor.num_channels, processor.image_mean) == (1, 1, [0.0])
    again = run("again", "--checkpoint_path", str(one), model={"num_hidden_layers": 2})  # the checkpoint says it
    assert json.loads((again / "config.json").read_text())["vision_config"]["num_channels"] == 1
