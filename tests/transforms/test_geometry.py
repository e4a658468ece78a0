"""Sizes and positions of the geometric steps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bridgetower.transforms.geometry import (
    CenterCrop,
    HorizontalFlip,
    MinMaxResize,
    RandomResizedCrop,
    ShortSideResize,
    SquareResize,
)


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
