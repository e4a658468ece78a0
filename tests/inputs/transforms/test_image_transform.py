"""The named transforms: sizes, constants, alpha, and equality with the plain chain of Pillow and numpy steps."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bridgetower.inputs.transforms import CLIP, IMAGENET, INCEPTION, TRANSFORM_KEYS, build_transform, look_up
from bridgetower.inputs.transforms.normalize import Normalization

KEYS = (
    "pixelbert", "pixelbert_randaug", "imagenet", "imagenet_randaug", "vit", "vit_randaug", "clip", "clip_randaug",
    "blip", "blip_randaug", "blip_randaug_pretrain", "blip_randaug_wohf", "blip_randaug_wc",
    "clip_crop",
)


def picture(width: int, height: int, mode: str = "RGB", seed: int = 0) -> Image.Image:
    channels = len(Image.new(mode, (1, 1)).getbands())
    small = np.random.default_rng(seed).integers(0, 256, (8, 8, channels), dtype=np.uint8)
    return Image.fromarray(small.squeeze(), mode).resize((width, height), Image.Resampling.NEAREST)


def to_tensor(image: Image.Image, normalization: Normalization) -> np.ndarray:
    """The definition, in as many passes as it has steps."""
    values = np.asarray(image).astype(np.float32).transpose(2, 0, 1) / np.float32(255)
    mean, std = (np.array(numbers, np.float32)[:, None, None] for numbers in (normalization.mean, normalization.std))
    return (values - mean) / std


def original_clip(image: Image.Image, size: int) -> np.ndarray:
    """The `clip` key as the original writes it: everything goes through RGBA."""
    image = image.convert("RGBA")
    width, height = image.size
    if min(width, height) != size:
        short = (size, int(size * height / width)) if width <= height else (int(size * width / height), size)
        image = image.resize(short, Image.Resampling.BICUBIC)
    left, top = round((image.width - size) / 2), round((image.height - size) / 2)
    return to_tensor(image.crop((left, top, left + size, top + size)).convert("RGB"), CLIP)


def test_table_is_complete() -> None:
    assert set(TRANSFORM_KEYS) == set(KEYS)


@pytest.mark.parametrize("key", KEYS)
def test_shape_type_and_seed(key: str) -> None:
    transform = build_transform(key, 64)
    image = picture(90, 70)
    arrays = [transform(image, np.random.default_rng(seed)) for seed in (0, 0, 1, 2, 3)]
    assert arrays[0].shape == (3, 64, 64)  # 64x82 rounded down to multiples of 32 for pixelbert
    assert arrays[0].dtype == np.float32
    assert (arrays[0] == arrays[1]).all()
    assert transform.is_random == ("randaug" in key or key == "clip_crop")
    assert transform.is_random == any((arrays[0] != other).any() for other in arrays[2:])


@pytest.mark.parametrize("key", KEYS)
def test_constants_on_a_grey_picture(key: str) -> None:
    if "randaug" in key:
        return
    expected = {"clip": CLIP, "clip_crop": CLIP, "blip": CLIP, "imagenet": IMAGENET, "vit": INCEPTION,
                "pixelbert": INCEPTION}[key]
    image = Image.new("RGB", (50, 40), (51, 102, 204))
    out = build_transform(key, 32)(image, np.random.default_rng(0))
    for channel, value in enumerate((0.2, 0.4, 0.8)):
        want = (value - expected.mean[channel]) / expected.std[channel]
        np.testing.assert_allclose(out[channel], want, atol=1e-6)


def test_published_constants() -> None:
    assert CLIP.mean == (0.48145466, 0.4578275, 0.40821073) and CLIP.std == (0.26862954, 0.26130258, 0.27577711)
    assert IMAGENET.mean == (0.485, 0.456, 0.406) and IMAGENET.std == (0.229, 0.224, 0.225)
    assert INCEPTION.mean == INCEPTION.std == (0.5, 0.5, 0.5)


@settings(max_examples=30)
@given(width=st.integers(1, 120), height=st.integers(1, 120), seed=st.integers(0, 1000))
def test_look_up_equals_arithmetic_for_any_size(width: int, height: int, seed: int) -> None:
    image = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))
    assert (CLIP(image) == to_tensor(image, CLIP)).all()


def test_look_up_of_every_value() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    assert (IMAGENET(Image.fromarray(values)) == to_tensor(Image.fromarray(values), IMAGENET)).all()


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "CMYK", "RGBA", "LA", "I;16", "YCbCr"])
@pytest.mark.parametrize("size", [(90, 70), (70, 91), (64, 64), (64, 80)])
def test_clip_equals_the_way_through_rgba(mode: str, size: tuple[int, int]) -> None:
    if mode == "I;16":
        eight = np.random.default_rng(0).integers(0, 256, size[::-1], dtype=np.uint8)
        image = Image.fromarray(eight.astype(np.uint16) * 257)
    elif mode == "P":
        image = picture(*size).quantize(17)
    else:
        image = picture(*size).convert("L").convert("1") if mode == "1" else picture(*size, mode)
    expected = original_clip(Image.fromarray(eight) if mode == "I;16" else image, 64)
    assert (build_transform("clip", 64)(image) == expected).all()


@pytest.mark.parametrize("how", ["rgb_key", "palette_key", "opaque_rgba"])
def test_clip_with_transparency_stored_otherwise(how: str) -> None:
    image = picture(90, 70)
    stream = io.BytesIO()
    if how == "rgb_key":
        image.save(stream, "PNG", transparency=image.getpixel((20, 20)))
    elif how == "palette_key":
        image.quantize(17).save(stream, "PNG", transparency=3)
    else:
        image.convert("RGBA").save(stream, "PNG")
    again = Image.open(stream)
    assert (build_transform("clip", 64)(again) == original_clip(again, 64)).all()


def test_clip_turns_transparent_parts_black_and_blip_does_not() -> None:
    image = Image.new("RGBA", (90, 90), (200, 100, 50, 0))
    black = (0 - np.array(CLIP.mean)) / CLIP.std
    np.testing.assert_allclose(build_transform("clip", 64)(image)[:, 32, 32], black, atol=1e-5)
    colour = (np.array([200, 100, 50]) / 255 - CLIP.mean) / CLIP.std
    np.testing.assert_allclose(build_transform("blip", 64)(image)[:, 32, 32], colour, atol=1e-5)


def test_prepended_augmentation_runs_on_the_original_size(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, expected in (("clip_randaug", (90, 70)), ("vit_randaug", (90, 70)), ("blip_randaug_wc", (32, 32))):
        transform = build_transform(key, 32)
        index = next(i for i, step in enumerate(transform.steps) if type(step).__name__ == "PILRandAugment")
        image, rng = picture(90, 70), np.random.default_rng(0)
        for step in transform.steps[:index]:
            image = step(image, rng)
        assert image.size == expected


def test_flip_and_area_of_the_blip_keys() -> None:
    kinds = {key: [type(step).__name__ for step in build_transform(key, 32).steps] for key in KEYS}
    assert kinds["blip_randaug"] == ["RandomResizedCrop", "HorizontalFlip", "CvRandAugment"]
    assert kinds["blip_randaug_wohf"] == ["RandomResizedCrop", "CvRandAugment"]
    assert kinds["blip_randaug_wc"] == ["RandomResizedCrop", "HorizontalFlip", "PILRandAugment"]
    for key in ("blip_randaug", "blip_randaug_pretrain", "blip_randaug_wohf", "blip_randaug_wc"):
        crop = build_transform(key, 32).steps[0]
        assert crop.min_area == (0.2 if key == "blip_randaug_pretrain" else 0.5)  # type: ignore[attr-defined]


def test_crops_keep_the_colours() -> None:
    rng, plain = np.random.default_rng(0), Image.new("RGB", (64, 64), (200, 100, 50))
    transform = build_transform("clip_crop", 64)
    assert [type(step).__name__ for step in transform.steps] == ["RandomResizedCrop", "HorizontalFlip"]
    for _ in range(5):
        np.testing.assert_array_equal(transform(plain, rng), build_transform("clip", 64)(plain))


@pytest.mark.parametrize("key", KEYS)
def test_survives_pickling(key: str) -> None:
    transform = build_transform(key, 32)
    again = pickle.loads(pickle.dumps(transform))
    image = picture(50, 40)
    assert (again(image, np.random.default_rng(0)) == transform(image, np.random.default_rng(0))).all()


def test_unknown_key_names_the_nearest() -> None:
    with pytest.raises(KeyError, match="unknown transform 'clip_randag'; did you mean 'clip_randaug'"):
        build_transform("clip_randag", 224)


def test_refuses_bad_size_missing_generator_and_other_modes() -> None:
    with pytest.raises(ValueError, match="image_size=0 must be a positive"):
        build_transform("clip", 0)
    with pytest.raises(ValueError, match="'clip_randaug' is random"):
        build_transform("clip_randaug", 32)(picture(40, 40))
    with pytest.raises(ValueError, match="got mode 'L'"):
        look_up(picture(4, 4, "L"), [np.zeros(256, np.float32)] * 3)
