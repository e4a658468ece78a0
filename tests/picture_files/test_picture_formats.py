"""Only pictures of known formats are opened; above all, no EPS file, whatever its name."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from bridgetower import BridgeTowerImageProcessor
from bridgetower.datasets.unreadable import UnreadableImageError, open_image
from bridgetower.picture_files.picture_formats import FORMATS, SWITCH, allowed_formats, open_picture_file
from bridgetower.pipelines.pictures import UnreadablePictureError, open_picture
from bridgetower.preparation.images import read_images


@pytest.fixture
def eps(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A picture that would start a program, which fails the test."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(stream, "EPS")
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("Ghostscript was started"))
    monkeypatch.setattr(subprocess, "check_call", lambda *_, **__: pytest.fail("a program was started"))
    return stream.getvalue()


@pytest.mark.parametrize("name", ["picture.eps", "picture.png", "picture.jpg"])
def test_no_way_in_starts_a_program(eps: bytes, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(eps)
    with pytest.raises(UnreadableImageError, match="row 3"):
        open_image(memoryview(eps), "table row 3")
    assert "not a readable image" in read_images((file,))
    with pytest.raises(UnreadablePictureError):
        open_picture(file, name)
    for picture in (str(file), eps, Image.open(file)):
        with pytest.raises(ValueError):
            BridgeTowerImageProcessor()(picture)


@pytest.mark.parametrize("name", FORMATS)
def test_all_formats_of_the_list_are_read(name: str) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(stream, name)
    assert np.asarray(open_picture_file(io.BytesIO(stream.getvalue())).convert("RGB")).shape == (8, 8, 3)


@pytest.mark.parametrize(("value", "expected"), [
    ("ICO", FORMATS + ("ICO",)), (" ico , tga ", FORMATS + ("ICO", "TGA")), ("", FORMATS),
    ("EPS", "EPS is never read"), ("ICOO", "no format of Pillow; did you mean 'ICO'")])
def test_further_formats(monkeypatch: pytest.MonkeyPatch, value: str, expected: Any) -> None:
    monkeypatch.setenv(SWITCH, value)
    if isinstance(expected, tuple):
        assert allowed_formats() == expected
    else:
        with pytest.raises(ValueError, match=expected):
            allowed_formats()


def test_a_stream_without_a_picture_is_not_named_by_its_address() -> None:
    with pytest.raises(OSError, match="^no picture in any of the formats JPEG, PNG,"):
        open_picture_file(io.BytesIO(b"no picture"))
