"""Own tables of pictures with more than 8 bits, an orientation or several pages."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bridgetower.datasets import DatasetOptions, build_dataset
from bridgetower.inputs.transforms import build_transform
from bridgetower.picture_files.picture_reading import PictureReading
from tests.preparation.own_data.pictures import make, write_csv

ALL_TRAIN = ("--val_share", 0, "--test_share", 0)


def microscope(number: int) -> Image.Image:
    """A picture of 16 bits that uses a small part of them."""
    values = np.random.default_rng(number).integers(2000, 4000, (30, 40), dtype=np.uint16)
    return Image.fromarray(values)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A CSV file beside three such pictures, which are stored lying on their side."""
    exif = Image.Exif()
    exif[0x0112] = 8
    (tmp_path / "in").mkdir()
    for number in range(3):
        microscope(number).save(tmp_path / f"in/{number}.png", exif=exif)
    return write_csv(tmp_path / "in/x.csv", ["image", "text"], [[f"{n}.png", f"text {n}"] for n in range(3)])


def pixels(out: Path, **options: Any) -> np.ndarray:
    dataset = build_dataset(["mine"], "train", out, DatasetOptions(image_size=32, transform="clip", **options))
    sample = dataset[0].pixel_values
    assert sample is not None
    np.testing.assert_array_equal(sample, build_transform("clip", 32, sample.shape[0])(dataset.image(0)))
    return sample


def test_the_rule_is_recorded_and_read_by_training(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert make(source, "caption", out, *ALL_TRAIN, "--scale_16bit", "percentile", "--apply_exif") == 0
    description = json.loads((out / "mine.json").read_text())
    assert (description["scale_16bit"], description["apply_exif"]) == ("percentile", True)
    picture, transform = Image.open(tmp_path / "in/0.png"), build_transform("clip", 32)
    expected = transform(PictureReading("percentile", True)(picture))
    np.testing.assert_array_equal(pixels(out), expected)
    assert 0.1 < (expected - expected.min()).mean() / np.ptp(expected) < 0.9  # neither black nor white
    changed = transform(PictureReading("full", False)(picture))
    np.testing.assert_array_equal(pixels(out, scale_16bit="full", apply_exif=False), changed)
    assert pixels(out, num_channels=1).shape == (1, 32, 32)


def test_the_default_is_recorded_and_other_settings_make_other_tables(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert make(source, "caption", out, *ALL_TRAIN) == 0
    description = json.loads((out / "mine.json").read_text())
    assert (description["scale_16bit"], description["apply_exif"]) == ("full", False)
    assert make(source, "caption", out, *ALL_TRAIN, "--scale_16bit", "minmax") == 2
    assert "was made from other data or with other options" in capsys.readouterr().err
    for name in ("scale_16bit", "apply_exif"):  # tables of earlier versions
        del description[name]
    (out / "mine.json").write_text(json.dumps(description))
    np.testing.assert_array_equal(pixels(out), build_transform("clip", 32)(Image.open(tmp_path / "in/0.png")))


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "nothing but NaN"])
def test_a_file_that_is_no_single_picture_is_refused(
    kind: str, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = io.BytesIO()
    if kind == "nothing but NaN":
        Image.fromarray(np.full((30, 40), np.nan, np.float32)).save(stream, "TIFF")
    else:
        page = Image.new("RGB", (40, 30), "red")
        page.save(stream, kind, save_all=True, append_images=[page.rotate(90), page.rotate(45)])
    (tmp_path / "in/1.png").write_bytes(stream.getvalue())
    assert make(source, "caption", tmp_path / "out", *ALL_TRAIN) == 2
    lines = capsys.readouterr().err.splitlines()
    [error] = [line.partition("error: ")[2] for line in lines if "error: " in line]
    assert error.startswith(str(source)) and "line 3: " in error and "in/1.png" in error
    assert ("no pixel of the picture" if "NaN" in kind else "holds 3 pages or frames") in error
    assert make(source, "caption", tmp_path / "out", *ALL_TRAIN, "--skip_bad") == 0
    assert json.loads((tmp_path / "out/mine.json").read_text())["left_out"]["bad_pictures"] == 1
