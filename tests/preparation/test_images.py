"""Reading and validating images."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bridgetower.preparation import PreparationError
from bridgetower.preparation.images import ROWS_PER_TASK, TASKS_PER_WORKER, ImageReader, decode_problem
from bridgetower.preparation.tables import Row
from tests.preparation.raw_data import encoded_image


def noise(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((64, 48), 90).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
def test_whole_images_have_no_problem_and_truncated_ones_do(kind: str) -> None:
    assert decode_problem(noise(kind)) is None
    assert decode_problem(noise(kind)[:-200]) is not None


@pytest.mark.parametrize("data", [b"", b"<html>not found</html>", b"\xff\xd8\xff\xe0" + bytes(100)])
def test_what_is_no_image_has_a_problem(data: bytes) -> None:
    assert decode_problem(data)


@pytest.mark.parametrize("workers", [1, 2])
def test_order_bytes_and_bad_images(tmp_path: Path, workers: int) -> None:
    count = 3 * ROWS_PER_TASK + 5
    for number in range(count):
        (tmp_path / f"{number}.png").write_bytes(encoded_image(number))
    (tmp_path / "7.png").write_bytes(b"broken")
    (tmp_path / "20.png").unlink()
    rows = [Row((tmp_path / f"{number}.png", encoded_image(0)), {"n": number}) for number in range(count)]
    with ImageReader(workers) as reader:
        results = list(reader.read(rows))
    assert [row for row, _ in results] == rows
    bad = {row.values["n"]: result for row, result in results if isinstance(result, str)}
    assert bad.keys() == {7, 20}
    assert str(tmp_path / "7.png") in bad[7] and "not a readable image" in bad[7]
    assert str(tmp_path / "20.png") in bad[20] and "No such file" in bad[20]
    for row, result in results:
        if row.values["n"] not in bad:
            assert result == [encoded_image(row.values["n"]), encoded_image(0)]


def test_workers_draw_a_bounded_number_of_rows_ahead() -> None:
    drawn = 0

    def endless() -> Iterator[Row]:
        nonlocal drawn
        while True:
            drawn += 1
            yield Row((encoded_image(drawn),), {})

    with ImageReader(2) as reader:
        results = reader.read(endless())
        for taken in range(1, 3 * ROWS_PER_TASK):
            next(results)
            assert drawn <= taken + 2 * TASKS_PER_WORKER * ROWS_PER_TASK
        results.close()


class Deadly(bytes):
    """Ends the process that receives it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (1,)


def test_a_worker_that_dies_is_an_error_that_says_what_to_do() -> None:
    with ImageReader(2) as reader, pytest.raises(PreparationError, match="give fewer --workers"):
        list(reader.read([Row((Deadly(),), {})]))
