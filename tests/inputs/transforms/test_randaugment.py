"""Magnitudes, operations and skipping of both RandAugments."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps

from bridgetower.inputs.transforms.randaugment import OPERATIONS, PILRandAugment, sharpen, solarize_add
from bridgetower.inputs.transforms.randaugment_cv2 import (
    CvRandAugment,
    auto_contrast,
    brightness,
    equalize,
    rotate,
    sharpness,
    shear,
    translate,
)
from bridgetower.inputs.transforms.value_tables import PendingPicture

BY_NAME = {operation.name: operation for operation in OPERATIONS}


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "name, at_9, at_7",
    [
        ("Rotate", 9.0, 7.0), ("Posterize", 1.2, 0.933), ("Solarize", 76.8, 59.733), ("SolarizeAdd", 33.0, 25.667),
        ("Color", 0.64, 0.52), ("Contrast", 0.64, 0.52), ("Brightness", 0.64, 0.52), ("Sharpness", 0.64, 0.52),
        ("ShearX", 0.09, 0.07), ("ShearY", 0.09, 0.07), ("TranslateXabs", 30, 23.333), ("TranslateYabs", 30, 23.333),
    ],
)
def test_pil_magnitudes(name: str, at_9: float, at_7: float) -> None:
    assert BY_NAME[name].value(9) == pytest.approx(at_9, abs=1e-3)
    assert BY_NAME[name].value(7) == pytest.approx(at_7, abs=1e-3)


def test_pil_policy_has_14_operations_5_of_them_signed() -> None:
    assert len(OPERATIONS) == len(BY_NAME) == 14
    signed = {operation.name for operation in OPERATIONS if operation.signed}
    assert signed == {"Rotate", "ShearX", "ShearY", "TranslateXabs", "TranslateYabs"}


@pytest.mark.parametrize(
    "name, expected",
    [
        ("AutoContrast", lambda image, v: ImageOps.autocontrast(image)),
        ("Equalize", lambda image, v: ImageOps.equalize(image)),
        ("Posterize", lambda image, v: ImageOps.posterize(image, 1)),
        ("Solarize", lambda image, v: ImageOps.solarize(image, v)),
        ("Color", lambda image, v: ImageEnhance.Color(image).enhance(v)),
        ("Contrast", lambda image, v: ImageEnhance.Contrast(image).enhance(v)),
        ("Brightness", lambda image, v: ImageEnhance.Brightness(image).enhance(v)),
        ("Sharpness", lambda image, v: ImageEnhance.Sharpness(image).enhance(v)),
    ],
)
def test_pil_colour_operations(name: str, expected, pixels: np.ndarray) -> None:  # type: ignore[no-untyped-def]
    image = Image.fromarray(pixels)
    value = BY_NAME[name].value(9)
    assert BY_NAME[name].apply(image, value).tobytes() == expected(image, value).tobytes()


@pytest.mark.parametrize(
    "name, value, row, column",
    [("TranslateXabs", 30, 0, 30), ("TranslateYabs", 30, 30, 0), ("ShearX", 0.5, 0, 10), ("ShearY", 0.5, 10, 0)],
)
def test_pil_warps_read_the_input_at_the_coefficients(
    name: str, value: float, row: int, column: int, pixels: np.ndarray
) -> None:
    out = np.asarray(BY_NAME[name].apply(Image.fromarray(pixels), value))
    at = (0, 0) if name.startswith("Translate") else ((20, 3) if name == "ShearX" else (3, 20))
    assert (out[at] == pixels[at[0] + row, at[1] + column]).all()
    assert (out[-1, -1] == 0).all()  # outside of the input


def test_solarize_add_touches_every_pixel() -> None:
    image = Image.fromarray(np.array([[[0, 94, 95], [96, 200, 255]]], dtype=np.uint8))
    # + 33.5 truncated, then values of 128 and more inverted
    assert np.asarray(solarize_add(image, 33.5)).tolist() == [[[33, 127, 127], [126, 22, 0]]]


def test_pil_applies_every_draw(pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, float]] = []
    spies = tuple(
        type(op)(op.name, op.low, op.high, lambda image, v, n=op.name: calls.append((n, v)) or image, op.signed)
        for op in OPERATIONS
    )
    monkeypatch.setattr("bridgetower.inputs.transforms.randaugment.OPERATIONS", spies)
    generator = np.random.default_rng(0)
    for _ in range(500):
        PILRandAugment(2, 9)(Image.fromarray(pixels), generator)
    assert len(calls) == 1000
    counts = [sum(name == op.name for name, _ in calls) for op in OPERATIONS]
    assert min(counts) > 40 and max(counts) < 110
    turns = [value for name, value in calls if name == "Rotate"]
    assert {9.0, -9.0} == set(turns)
    assert {value for name, value in calls if name == "Color"} == {BY_NAME["Color"].value(9)}


def contrasting(seed: int, width: int, height: int) -> Image.Image:
    """A picture whose channels have narrow, wide and constant ranges of values."""
    generator = np.random.default_rng(seed)
    low, high = np.sort(generator.integers(0, 256, (2, 3)), axis=0)
    return Image.fromarray(generator.integers(low, high + 1, (height, width, 3)).astype(np.uint8))


@settings(max_examples=60)
@given(names=st.lists(st.sampled_from(sorted(BY_NAME)), min_size=1, max_size=3), seed=st.integers(0, 1000),
       width=st.integers(1, 40), height=st.integers(1, 40), strength=st.sampled_from([7, 9, 30]))
def test_tables_give_what_the_operations_give(names: list[str], seed: int, width: int, height: int, strength: int
                                              ) -> None:
    picture = PendingPicture(contrasting(seed, width, height))
    expected = picture.image
    for operation in (BY_NAME[name] for name in names):
        value = operation.value(strength)
        expected = operation.apply(expected, value)
        if operation.table is not None:
            picture.put_on(operation.table(picture, value))
        else:
            picture.image = operation.apply(picture.resolve(), value)
    assert picture.resolve().tobytes() == expected.tobytes()


def test_operations_with_a_table() -> None:
    assert {operation.name for operation in OPERATIONS if operation.table} == {
        "AutoContrast", "Equalize", "Posterize", "Solarize", "SolarizeAdd", "Contrast", "Brightness"}


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (5, 2), (3, 3), (64, 48)])
@pytest.mark.parametrize("factor", [0.52, 0.64, 0.1, 1.9])
def test_sharpness_is_pils(size: tuple[int, int], factor: float) -> None:
    for seed in range(4):
        image = contrasting(seed, *size)
        assert sharpen(image, factor).tobytes() == ImageEnhance.Sharpness(image).enhance(factor).tobytes()


def test_augmentation_and_its_split_are_one(pixels: np.ndarray) -> None:
    for seed in range(60):
        whole = PILRandAugment(2, 7)(Image.fromarray(pixels), np.random.default_rng(seed))
        image, table = PILRandAugment(2, 7).augment(Image.fromarray(pixels), np.random.default_rng(seed))
        looked_up = image if table is None else image.point(table.ravel().tolist())
        assert whole.tobytes() == looked_up.tobytes()


def test_cv2_brightness_and_sharpness_do_nothing_at_5(pixels: np.ndarray) -> None:
    operations = CvRandAugment(2, 5).operations()
    for name in ("Identity", "Brightness", "Sharpness"):
        assert (operations[name](pixels, np.random.default_rng(0)) == pixels).all()
    assert len(operations) == 10


def test_cv2_brightness_and_sharpness_elsewhere(pixels: np.ndarray) -> None:
    assert (brightness(pixels, 0.5) == pixels // 2).all()
    flat = np.full((5, 5, 3), 77, dtype=np.uint8)
    assert (sharpness(flat, 0.3) == 77).all()
    blurred = sharpness(pixels, 0.0)
    assert (blurred[0] == pixels[0]).all() and (blurred[:, -1] == pixels[:, -1]).all()
    assert blurred[1:-1, 1:-1].std() < pixels[1:-1, 1:-1].std()


def test_cv2_autocontrast_keeps_the_overflow_of_the_original() -> None:
    ramp = np.stack([np.arange(10, 110), np.arange(0, 100), np.full(100, 42)], -1).astype(np.uint8)[None]
    compat = auto_contrast(ramp)
    assert (compat[..., 0] == 255).all()  # minimum 10
    assert compat[0, 0, 1] == 0 and compat[0, -1, 1] == 255 and (np.diff(compat[0, :, 1].astype(int)) >= 2).all()
    assert (compat[..., 2] == 42).all()  # constant
    stretched = np.asarray(ImageOps.autocontrast(Image.fromarray(ramp)))
    assert (stretched[..., 1] == compat[..., 1]).all()  # PIL agrees where the minimum is 0


def test_cv2_equalize_is_pils(pixels: np.ndarray) -> None:
    dark = pixels // 3
    assert (equalize(dark) == np.asarray(ImageOps.equalize(Image.fromarray(dark)))).all()


def test_cv2_warps_move_pixels_and_fill_with_grey(pixels: np.ndarray) -> None:
    assert (translate(pixels, x=5)[:, :-5] == pixels[:, 5:]).all() and (translate(pixels, x=5)[:, -5:] == 128).all()
    assert (translate(pixels, y=-5)[5:] == pixels[:-5]).all() and (translate(pixels, y=-5)[:5] == 128).all()
    assert (shear(pixels, x=0.5)[10, 5:] == pixels[10, :-5]).all() and (shear(pixels, x=0.5)[10, :5] == 128).all()
    assert (shear(pixels, y=0.5)[5:, 10] == pixels[:-5, 10]).all()
    marked = np.zeros((41, 41, 3), dtype=np.uint8)
    marked[20, 35] = 255  # to the right of the centre: a counter-clockwise turn lifts it
    assert rotate(marked, 90)[..., 0].argmax() // 41 < 20


def test_cv2_arguments_at_5(monkeypatch: pytest.MonkeyPatch, pixels: np.ndarray) -> None:
    calls: list[tuple[str, float]] = []
    module = "bridgetower.inputs.transforms.randaugment_cv2."
    monkeypatch.setattr(module + "shear", lambda p, x=0.0, y=0.0: calls.append(("shear", x + y)) or p)
    monkeypatch.setattr(module + "translate", lambda p, x=0.0, y=0.0: calls.append(("translate", x + y)) or p)
    monkeypatch.setattr(module + "rotate", lambda p, degrees: calls.append(("rotate", degrees)) or p)
    generator = np.random.default_rng(0)
    for _ in range(1000):
        CvRandAugment(2, 5)(Image.fromarray(pixels), generator)
    assert set(calls) == {("shear", 0.15), ("shear", -0.15), ("translate", 5), ("translate", -5), ("rotate", 15.0),
                          ("rotate", -15.0)}
    # 5 of 10 operations warp, half of 2000 draws are skipped
    assert 430 < len(calls) < 570
