"""Pictures of more than 8 bits, files of several pages and the EXIF orientation, wherever a picture comes in."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bridgetower import BridgeTowerImageProcessor
from bridgetower.datasets.unreadable import UnreadableImageError, open_image, read_image
from bridgetower.inputs.transforms import build_transform
from bridgetower.picture_reading import SCALE_RULES, PictureReading, scale_values, to_eight_bits
from bridgetower.pipelines.pictures import UnreadablePictureError, open_picture
from bridgetower.preparation.images import decode_problem

RAMP = np.linspace(0, 1, 48).reshape(6, 8)
WIDE = Image.fromarray(np.arange(0, 256, 2, dtype=np.uint8).reshape(8, 16))
BLIP = BridgeTowerImageProcessor.for_transform("blip", 32)


def tiff(pixels: bytes, bits: int, sample_format: int = 1, order: str = "<", photometric: int = 1) -> bytes:
    """An uncompressed grey TIFF of 8x6 pixels."""
    tags = [(256, 8), (257, 6), (258, bits), (259, 1), (262, photometric), (273, 8), (277, 1), (278, 6),
            (279, len(pixels)), (339, sample_format)]
    content = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(pixels)) + pixels
    entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags)
    return content + struct.pack(f"{order}H", len(tags)) + entries + bytes(4)


def twelve_bits(values: np.ndarray) -> bytes:
    """Pairs of 12-bit numbers in three bytes."""
    pairs = values.astype(int).reshape(-1, 2)
    return b"".join(bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in pairs.tolist())


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def grey(image: Image.Image, rule: str = "full") -> np.ndarray:
    eight = to_eight_bits(image, rule)
    assert eight.mode == "L"
    return np.asarray(eight).astype(int)


SIXTEEN = np.rint(RAMP * 65535)
#: Files and pictures whose numbers run over their full range.
FULL: dict[str, Callable[[], Image.Image]] = {
    "PNG of 16 bits": lambda: opened(encoded(Image.fromarray(SIXTEEN.astype(np.uint16)), "PNG")),
    "JPEG 2000 of 16 bits": lambda: opened(encoded(Image.fromarray(SIXTEEN.astype(np.uint16)), "JPEG2000")),
    "PGM of 16 bits": lambda: opened(b"P5 8 6 65535\n" + SIXTEEN.astype(">u2").tobytes()),
    "PGM of 12 bits": lambda: opened(b"P5 8 6 4095\n" + np.rint(RAMP * 4095).astype(">u2").tobytes()),
    "TIFF of 16 bits": lambda: opened(tiff(SIXTEEN.astype("<u2").tobytes(), 16)),
    "big-endian TIFF": lambda: opened(tiff(SIXTEEN.astype(">u2").tobytes(), 16, order=">")),
    "signed TIFF": lambda: opened(tiff((SIXTEEN - 32768).astype("<i2").tobytes(), 16, 2)),
    "big-endian signed TIFF": lambda: opened(tiff((SIXTEEN - 32768).astype(">i2").tobytes(), 16, 2, ">")),
    "inverted TIFF": lambda: opened(tiff((65535 - SIXTEEN).astype("<u2").tobytes(), 16, photometric=0)),
    "TIFF of 12 bits": lambda: opened(tiff(twelve_bits(np.rint(RAMP * 4095)), 12)),
    "TIFF of 32 bits": lambda: opened(tiff((RAMP * (2**32 - 1)).astype("<u4").tobytes(), 32)),
    "TIFF of floats to 1": lambda: opened(tiff(RAMP.astype("<f4").tobytes(), 32, 3)),
    "big-endian TIFF of floats": lambda: opened(tiff(RAMP.astype(">f4").tobytes(), 32, 3, ">")),
    "TIFF of floats to 65535": lambda: opened(tiff(SIXTEEN.astype("<f4").tobytes(), 32, 3)),
    "floats to 255": lambda: Image.fromarray((RAMP * 255).astype(np.float32)),
    "floats from -1 to 1": lambda: Image.fromarray((RAMP * 2 - 1).astype(np.float32)),
    "floats to a million": lambda: Image.fromarray((RAMP * 1e6).astype(np.float32)),
    "mode I to 65535": lambda: Image.fromarray(SIXTEEN.astype(np.int32)),
    "mode I to 255": lambda: Image.fromarray(np.rint(RAMP * 255).astype(np.int32)),
}


@pytest.mark.parametrize("kind", FULL)
@pytest.mark.parametrize("rule", SCALE_RULES)
def test_a_full_range_becomes_that_of_eight_bits(kind: str, rule: str) -> None:
    tolerance = 3 if kind.startswith("JPEG") else 1
    scaled = grey(FULL[kind](), rule)
    expected = RAMP * 255 if rule != "percentile" else ((RAMP - 0.01) / 0.98 * 255).clip(0, 255)
    np.testing.assert_allclose(scaled, expected, atol=tolerance)


@pytest.mark.parametrize("kind", ["big-endian TIFF", "TIFF of 12 bits", "TIFF of floats to 65535", "mode I to 65535"])
def test_transforms_and_processors_read_the_same(kind: str) -> None:
    image = FULL[kind]()
    image.load()
    expected = build_transform("clip", 32)(Image.fromarray(grey(image).astype(np.uint8)))
    processor = BridgeTowerImageProcessor.for_transform("clip", 32)
    found = [build_transform("clip", 32)(image), processor(image, "np")["pixel_values"][0]]
    for pixels in found:
        np.testing.assert_array_equal(pixels, expected)
    plain = BridgeTowerImageProcessor(size=32)
    np.testing.assert_array_equal(plain(image, "np")["pixel_values"], plain(to_eight_bits(image), "np")["pixel_values"])


def test_a_part_of_the_range_stays_dark_by_default_and_is_stretched_on_request() -> None:
    ramp = np.linspace(0, 1, 4096).reshape(64, 64)
    values = np.rint(1000 + ramp * 1000).astype(np.uint16)  # as of a microscope
    np.testing.assert_array_equal(grey(Image.fromarray(values)), np.rint(values / 257))
    np.testing.assert_allclose(grey(Image.fromarray(values), "minmax"), ramp * 255, atol=1)
    values[0, 0] = 65535  # one broken pixel
    assert (grey(Image.fromarray(values), "minmax") < 5).sum() == 4095
    np.testing.assert_allclose(grey(Image.fromarray(values), "percentile")[1:], ramp[1:] * 255, atol=4)


@pytest.mark.parametrize(("values", "expected"), [
    (np.full((6, 8), 30000, np.uint16), (117, 0, 0)),
    (np.full((6, 8), 0.5, np.float32), (128, 0, 0)),
    (np.zeros((6, 8), np.int32), (0, 0, 0)),
])
def test_a_picture_of_one_value(values: np.ndarray, expected: tuple[int, int, int]) -> None:
    for rule, value in zip(SCALE_RULES, expected, strict=True):
        assert (grey(Image.fromarray(values), rule) == value).all()


@pytest.mark.parametrize("rule", SCALE_RULES)
def test_what_is_no_number_is_black_and_infinity_an_end(rule: str) -> None:
    values = RAMP.astype(np.float32)
    values[1, 1], values[2, 2], values[3, 3] = np.nan, np.inf, -np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scaled = grey(Image.fromarray(values), rule)
    assert (scaled[1, 1], scaled[2, 2], scaled[3, 3]) == (0, 255, 0)
    assert abs(scaled[4, 4] - RAMP[4, 4] * 255) < 4


def test_a_picture_without_a_number_is_refused() -> None:
    image = Image.fromarray(np.full((6, 8), np.nan, np.float32))
    content = encoded(image, "TIFF")
    with pytest.raises(ValueError, match="no pixel of the picture holds a finite number"):
        to_eight_bits(image)
    with pytest.raises(UnreadableImageError, match="row 3: .*no pixel"):
        read_image(open_image(memoryview(content), "row 3"), "row 3", PictureReading())
    assert "no pixel" in str(decode_problem(content, strict=True))


@pytest.mark.parametrize(("dtype", "bits"), [("<f8", 64), ("<f2", 16)])
def test_a_tiff_that_pillow_does_not_know_is_called_one(dtype: str, bits: int, tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    path.write_bytes(tiff(RAMP.astype(dtype).tobytes(), bits, 3))
    message = "a TIFF of a kind that Pillow does not read, such as floats"
    with pytest.raises(UnreadablePictureError, match=message):
        open_picture(path, "it")
    with pytest.raises(ValueError, match=message):
        BLIP(path.read_bytes())
    assert message in str(decode_problem(path.read_bytes()))


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_pictures_of_eight_bits_stay(mode: str) -> None:
    image = Image.new("RGB", (5, 4), (10, 200, 30)).convert(mode)
    assert PictureReading("minmax")(image) is image


@given(st.lists(st.floats(-1e5, 1e5, width=32), min_size=2, max_size=30), st.sampled_from(SCALE_RULES))
def test_order_is_kept_and_a_slightly_larger_value_never_darkens_the_rest(numbers: list[float], rule: str) -> None:
    values = np.array(numbers, np.float32)
    scaled = scale_values(values, rule).astype(int)
    order = np.argsort(values, kind="stable")
    assert (np.diff(scaled[order]) >= 0).all()


@pytest.mark.parametrize(("peak", "white"), [(1.0, 1.0), (1.05, 1.05), (2.0, 2.0), (200.0, 255.0), (300.0, 300.0),
                                             (900.0, 65535.0)])
def test_white_of_floats_without_a_stated_depth(peak: float, white: float) -> None:
    np.testing.assert_array_equal(scale_values(np.array([0, peak])), [0, np.rint(peak / white * 255)])


def test_arrays_of_uint16_above_255_are_scaled() -> None:
    processor, values = BridgeTowerImageProcessor(size=32), SIXTEEN.astype(np.uint16)
    for given_array in (values, np.repeat(values[..., None], 3, axis=2)):
        np.testing.assert_array_equal(processor(given_array, "np")["pixel_values"],
                                      processor(Image.fromarray(values), "np")["pixel_values"])


def test_the_rule_is_saved_and_may_be_given_for_one_call(tmp_path: Path) -> None:
    image = Image.fromarray(np.rint(RAMP * 4000).astype(np.uint16))
    stretched = BridgeTowerImageProcessor(size=32, scale_16bit="minmax", apply_exif=True)
    stretched.save_pretrained(tmp_path)
    again = BridgeTowerImageProcessor.from_pretrained(tmp_path)
    assert (again.scale_16bit, again.apply_exif) == ("minmax", True)
    plain = BridgeTowerImageProcessor(size=32)
    assert "scale_16bit" not in plain.to_dict()
    expected = again(image, "np")["pixel_values"]
    np.testing.assert_array_equal(plain(image, "np", scale_16bit="minmax")["pixel_values"], expected)
    assert np.abs(plain(image, "np")["pixel_values"] - expected).max() > 1


@pytest.mark.parametrize("make", [
    lambda: PictureReading("minmx"), lambda: BridgeTowerImageProcessor(scale_16bit="minmx"),
    lambda: scale_values(RAMP, "minmx")])
def test_an_unknown_rule(make: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match="scale_16bit='minmx' is unknown; did you mean 'minmax'"):
        make()


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "WEBP", "PNG"])
def test_a_file_of_several_pages_is_refused_where_a_user_hands_it(kind: str, tmp_path: Path) -> None:
    first = WIDE.convert("RGB")
    content = encoded(first, kind, save_all=True, append_images=[first.rotate(180), first.rotate(90)])
    path = tmp_path / "pages"
    path.write_bytes(content)
    message = "holds 3 pages or frames, and one picture is read; save the one that you mean"
    for picture in (path, content, Image.open(path)):
        with pytest.raises(ValueError, match=message):
            BLIP(picture)
        with pytest.raises(UnreadablePictureError, match=message):
            open_picture(picture, "it")
    assert message in str(decode_problem(content, strict=True))
    chosen = Image.open(path)
    chosen.seek(1)
    BLIP(chosen)
    BLIP(Image.open(path).copy())
    path.write_bytes(encoded(first, kind))
    with Image.open(path) as single:
        single.load()
    BLIP(single)
    # Published tables hold animations, of which the first frame is read.
    assert decode_problem(content) is None
    assert open_image(memoryview(content), "row 0").size == WIDE.size


def test_previews_behind_a_photograph_are_no_pages() -> None:
    first = WIDE.convert("RGB")
    content = encoded(first, "MPO", save_all=True, append_images=[first.resize((4, 2))])
    assert BLIP(content, "np")["pixel_values"].shape == (1, 3, 32, 32)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_orientation_is_applied_on_request(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = opened(encoded(WIDE.convert("RGB"), kind, exif=exif))
    turned = PictureReading(apply_exif=True)(picture)
    assert (PictureReading()(picture).size, turned.size) == ((16, 8), (8, 16))
    assert PictureReading(apply_exif=True)(turned) is turned
    np.testing.assert_allclose(np.asarray(turned.convert("L")).astype(int),
                               np.asarray(WIDE.transpose(Image.Transpose.ROTATE_270)).astype(int), atol=9)
    expected = BLIP(turned, "np")["pixel_values"]
    np.testing.assert_array_equal(BLIP(picture, "np", apply_exif=True)["pixel_values"], expected)
    assert np.abs(BLIP(picture, "np")["pixel_values"] - expected).max() > 0.5


def test_a_deep_picture_is_turned_too() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = opened(encoded(Image.fromarray(SIXTEEN.astype(np.uint16)), "PNG", exif=exif))
    turned = PictureReading(apply_exif=True)(picture)
    np.testing.assert_array_equal(np.asarray(turned), np.rot90(grey(picture), -1))
