"""Pictures of kinds that the port does not take, or that need no other framework to compare with."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bridgetower.inputs import BridgeTowerImageProcessor

RGB = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 81, 3), dtype=np.uint8))
GREY, ALPHA, ARRAY = RGB.convert("L"), RGB.convert("RGBA"), np.asarray(RGB)
PROCESS = BridgeTowerImageProcessor(size=64)


def values(images: Any, **options: Any) -> np.ndarray:
    return PROCESS(images, "np", **options)["pixel_values"]


def encoded(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "given, expected",
    [
        (np.asarray(GREY), GREY),
        ([np.asarray(GREY)], GREY),
        (np.asarray(GREY)[..., None], GREY),
        (np.asarray(GREY)[None], GREY),
        (np.asarray(ALPHA), RGB),
        (np.asarray(ALPHA).transpose(2, 0, 1), RGB),
        (np.asarray(GREY).astype(np.int64), GREY),
        (np.asarray(GREY).astype(np.float32), GREY),
        (ARRAY.tolist(), RGB),
        (np.asarray(GREY).tolist(), GREY),
        (encoded(RGB), RGB),
        (bytearray(encoded(ALPHA)), RGB),
        (BytesIO(encoded(RGB)), RGB),
        (ARRAY > 127, Image.fromarray((ARRAY > 127).astype(np.uint8))),
    ],
)
def test_one_picture(given: Any, expected: Image.Image) -> None:
    np.testing.assert_array_equal(values(given), values(expected))


@pytest.mark.parametrize(
    "given",
    [
        lambda: [RGB, RGB],
        lambda: (image for image in (RGB, RGB)),
        lambda: np.stack([ARRAY, ARRAY]),
        lambda: np.stack([ARRAY, ARRAY])[None],
        lambda: [[ARRAY], [RGB]],
        lambda: [ARRAY.tolist(), RGB],
        lambda: [ARRAY.tolist(), ARRAY.tolist()],
        lambda: [encoded(RGB), ARRAY.astype(np.uint16)],
    ],
)
def test_two_pictures(given: Callable[[], Any]) -> None:
    np.testing.assert_array_equal(values(given()), values([RGB, RGB]))


def test_nested_lists_of_different_sizes() -> None:
    np.testing.assert_array_equal(values([ARRAY.tolist(), ARRAY[:40].tolist()]), values([ARRAY, ARRAY[:40]]))


@pytest.mark.parametrize("as_path", [str, Path])
def test_a_path(tmp_path: Path, as_path: type) -> None:
    RGB.save(tmp_path / "a.png")
    np.testing.assert_array_equal(values(as_path(tmp_path / "a.png")), values(RGB))
    np.testing.assert_array_equal(values([as_path(tmp_path / "a.png"), RGB]), values([RGB, RGB]))


@pytest.mark.parametrize("framework", ["paddle", "torch"])
@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "bfloat16"])
def test_tensors(framework: str, dtype: str) -> None:
    module: Any = pytest.importorskip(framework)
    tensor = module.to_tensor(ARRAY) if framework == "paddle" else module.from_numpy(ARRAY.copy())
    tensor = tensor.astype(dtype) if framework == "paddle" else tensor.to(getattr(module, dtype))
    np.testing.assert_array_equal(values(tensor), values(RGB))
    np.testing.assert_array_equal(values([tensor, tensor]), values([RGB, RGB]))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3, 4]), st.booleans())
def test_any_shape_is_read_by_its_stated_layout(height: int, width: int, channels: int, first: bool) -> None:
    array = np.random.default_rng(height * width).integers(0, 256, (height, width, channels), dtype=np.uint8)
    rgb = np.repeat(array, 3, axis=2) if channels == 1 else array[..., :3]
    options = {"do_resize": False, "crop_size": 24}
    layout = "channels_first" if first else "channels_last"
    found = values(array.transpose(2, 0, 1) if first else array, input_data_format=layout, **options)
    np.testing.assert_array_equal(found, values(Image.fromarray(np.ascontiguousarray(rgb)), **options))


@pytest.mark.parametrize(
    "given, error, message",
    [
        ([], ValueError, "no picture was given"),
        ("there/is/none.png", FileNotFoundError, "no picture file 'there/is/none.png'; pictures come first"),
        ("https://example.com/a.png", ValueError, "'https://example.com/a.png' is not fetched; download it"),
        (b"GIF but not really", ValueError, "a file of 18 bytes is no picture that can be read"),
        (encoded(RGB)[:200], ValueError, "is no picture that can be read"),
        ("a" * 5000, ValueError, "is no picture that can be read"),
        (".", ValueError, "'.' is no picture"),
        (None, ValueError, "a NoneType is no picture"),
        ([RGB, 7], ValueError, "a int is no picture"),
        ({"image": RGB}, ValueError, "a dict is no picture"),
        (np.zeros(4, np.uint8), ValueError, r"array of uint8 and shape \(4,\) is no picture"),
        (np.zeros((0, 5, 3), np.uint8), ValueError, r"shape \(0, 5, 3\) is no picture"),
        (np.full((9, 9, 3), np.nan), ValueError, "must lie in"),
        (np.full((9, 9, 3), -1), ValueError, r"must lie in \[0, 255\], got \[-1, -1\]"),
        (np.array([["a"]]), ValueError, "is no picture"),
    ],
)
def test_what_is_no_picture(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        values(given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"data_format": "sideways"}, "data_format='sideways' is unknown"),
        ({"input_data_format": "sideways"}, "input_data_format='sideways' is unknown"),
        ({"do_resise": False}, "'do_resise' is not a setting of the image processor; did you mean 'do_resize'"),
        ({"crop_size": 0}, "crop_size=0 is not between 1 and 4096"),
    ],
)
def test_refuses_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        values(ARRAY, **options)


def test_settings_can_be_assigned_and_are_checked() -> None:
    process = BridgeTowerImageProcessor()
    process.size, process.image_mean = 96, 0.5
    assert (process.size, process.image_mean) == ({"shortest_edge": 96}, [0.5, 0.5, 0.5])
    with pytest.raises(ValueError, match="image_std=.* needs one value, or three"):
        process.image_std = [1.0, 2.0]
    with pytest.raises(ValueError, match="did you mean 'image_mean'"):
        BridgeTowerImageProcessor(image_meen=0.5)
