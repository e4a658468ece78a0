"""Sizes and positions of the geometric steps."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bridgetower.inputs.transforms.geometry import (
    CenterCrop,
    HorizontalFlip,
    MinMaxResize,
    RandomResizedCrop,
    ResizeAndCrop,
    ShortSideResize,
    SquareResize,
    _exact_box,
    resize,
)

#: Pictures of noise and the checksums of their bicubic 128x128 versions, by Pillow 9.5.
RECORDED = [
    ((480, 640), 2727555463),
    ((396, 469), 2986293455),
    ((640, 480), 1724388793),
    ((100, 300), 3129595143),
]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def coordinates(width: int, height: int) -> Image.Image:
    """A picture whose red and green values are the column and the row."""
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    return Image.fromarray(np.stack([columns, rows, rows * 0], -1).astype(np.uint8))


@pytest.mark.parametrize(
    "step, size, expected",
    [
        (ShortSideResize(224), (640, 480), (298, 224)),
        (ShortSideResize(224), (480, 640), (224, 298)),
        (ShortSideResize(224), (100, 100), (224, 224)),
        (ShortSideResize(224), (224, 999), (224, 999)),
        (SquareResize(288), (640, 480), (288, 288)),
        (CenterCrop(224), (298, 224), (224, 224)),
        (CenterCrop(64), (10, 100), (64, 64)),
        (MinMaxResize(384), (640, 480), (512, 384)),
        (MinMaxResize(384), (2000, 300), (608, 96)),
        (MinMaxResize(384), (384, 384), (384, 384)),
        (MinMaxResize(384), (20, 4000), (32, 608)),
    ],
)
def test_sizes(step: object, size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert step(Image.new("RGB", size), rng()).size == expected  # type: ignore[operator]


@pytest.mark.parametrize("width, left", [(9, 2), (10, 3), (11, 4), (13, 4)])
def test_center_crop_rounds_half_to_even(width: int, left: int) -> None:
    assert np.asarray(CenterCrop(4)(coordinates(width, 4), rng()))[0, 0, 0] == left


def test_center_crop_of_a_small_picture_is_black_outside() -> None:
    cropped = np.asarray(CenterCrop(6)(Image.new("RGB", (2, 6), "white"), rng()))
    assert (cropped[:, 2:4] == 255).all()
    assert cropped.sum() == 255 * 3 * 12


@settings(max_examples=100)
@given(width=st.integers(1, 400), height=st.integers(1, 400), min_area=st.sampled_from([0.2, 0.5]),
       seed=st.integers(0, 2**32))
def test_random_crop_lies_inside_and_keeps_its_bounds(width: int, height: int, min_area: float, seed: int) -> None:
    left, top, w, h = RandomResizedCrop(32, min_area).box(width, height, rng(seed))
    assert 0 <= left and left + w <= width and 0 <= top and top + h <= height and w > 0 and h > 0
    if min(width, height) > 40 and 3 / 4 < width / height < 4 / 3:  # rounding to pixels aside
        assert 0.7 < w / h < 1.4
        assert w * h > min_area * width * height * 0.95


@pytest.mark.parametrize("size, box", [((10, 100), (0, 43, 10, 13)), ((100, 10), (43, 0, 13, 10))])
def test_random_crop_falls_back_to_the_center(size: tuple[int, int], box: tuple[int, int, int, int]) -> None:
    # Far beyond 3:4, no drawn rectangle of half the area fits.
    assert RandomResizedCrop(32, 0.5).box(*size, rng()) == box


def test_random_crop_reaches_every_corner() -> None:
    boxes = np.array([RandomResizedCrop(32, 0.2).box(100, 80, rng(seed)) for seed in range(500)])
    assert boxes[:, 0].min() == 0 and boxes[:, 1].min() == 0
    assert (boxes[:, 0] + boxes[:, 2]).max() == 100 and (boxes[:, 1] + boxes[:, 3]).max() == 80
    area = boxes[:, 2] * boxes[:, 3] / 8000
    assert area.min() < 0.25 and area.max() > 0.8


def test_flip_happens_half_of_the_time() -> None:
    image = coordinates(4, 1)
    generator = rng()
    flipped = [np.asarray(HorizontalFlip()(image, generator))[0, 0, 0] == 3 for _ in range(400)]
    assert 0.42 < np.mean(flipped) < 0.58


def resized_and_cropped(image: Image.Image, size: int) -> bytes:
    """The two steps one after the other, on the whole picture."""
    return CenterCrop(size)(ShortSideResize(size)(image, rng()), rng()).tobytes()


@settings(max_examples=150)
@given(width=st.integers(1, 300), height=st.integers(1, 300), size=st.sampled_from([16, 31, 96, 144]),
       seed=st.integers(0, 1000))
def test_crop_within_the_resize_gives_the_same_bytes(width: int, height: int, size: int, seed: int) -> None:
    image = Image.fromarray(rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))
    assert ResizeAndCrop(size)(image, rng()).tobytes() == resized_and_cropped(image, size)


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (640, 427), (427, 640), (500, 375), (375, 500), (640, 360),
                                  (1024, 768), (2000, 100), (100, 2000), (289, 288), (288, 289), (300, 300)])
@pytest.mark.parametrize("target", [224, 288, 384])
def test_crop_within_the_resize_on_usual_sizes(size: tuple[int, int], target: int) -> None:
    image = Image.fromarray(rng(sum(size)).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))
    assert ResizeAndCrop(target)(image, rng()).tobytes() == resized_and_cropped(image, target)


def test_crop_within_the_resize_keeps_alpha_apart() -> None:
    image = Image.fromarray(rng().integers(0, 256, (90, 120, 4), dtype=np.uint8))
    assert ResizeAndCrop(64)(image, rng()).tobytes() == resized_and_cropped(image, 64)


def bicubic_weights(length: int, start: float, end: float, resized: int) -> list[tuple[int, list[int]]]:
    """PIL's filter for [start, end) of a side: first input pixel and 22-bit weights of each output pixel, no zeros."""
    scale = (end - start) / resized
    reach = 2.0 * max(scale, 1.0)
    weights = []
    for number in range(resized):
        center = start + (number + 0.5) * scale
        first = max(0, int(center - reach + 0.5))
        last = min(length, int(center + reach + 0.5))
        x = np.abs((np.arange(first, last) - center + 0.5) / max(scale, 1.0))
        cubic = np.where(x < 1, (1.5 * x - 2.5) * x * x + 1, np.where(x < 2, ((x - 5) * x + 8) * x * -0.5 + 2, 0.0))
        fixed = np.trunc(cubic / cubic.sum() * (1 << 22) + np.copysign(0.5, cubic)).astype(int)
        used = np.flatnonzero(fixed)
        weights.append((first + int(used[0]), fixed[used[0]:used[-1] + 1].tolist()))
    return weights


@pytest.mark.parametrize("size", [224, 288, 384, 576])
def test_a_box_between_whole_pixels_has_the_weights_of_the_whole_side(size: int) -> None:
    boxes = 0
    ratios = ((3, 4), (2, 3), (9, 16), (4, 5), (1, 2))
    for short, long in [(k * a, k * b) for a, b in ratios for k in (40, 96, 120, 160)]:
        resized = int(size * long / short)
        left = round((resized - size) / 2)
        box = _exact_box(long, resized, left, size)
        if box is not None:
            boxes += 1
            assert bicubic_weights(long, *box, size) == bicubic_weights(long, 0, long, resized)[left:left + size]
    assert boxes > 4


@pytest.mark.parametrize("size", [(96, 300), (300, 96), (480, 640), (396, 469), (100, 100), (128, 300), (300, 128)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_resize_scales_along_the_rows_first(size: tuple[int, int], mode: str) -> None:
    """On every release of Pillow; one call of 13.0 begins with the columns of the first, third and fourth picture."""
    image = Image.fromarray(rng(1).integers(0, 256, (*size[::-1], len(mode)), dtype=np.uint8))
    plain = image.convert("RGBa") if mode == "RGBA" else image
    for step in ((128, size[1]), (128, 128)):
        plain = plain.resize(step, Image.Resampling.BICUBIC)
    assert resize(image, (128, 128)).tobytes() == plain.convert(mode).tobytes()


@pytest.mark.parametrize("size, expected", RECORDED)
def test_resize_gives_the_bytes_of_the_original(size: tuple[int, int], expected: int) -> None:
    image = Image.fromarray(rng(7).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))
    assert zlib.crc32(resize(image, (128, 128)).tobytes()) == expected
