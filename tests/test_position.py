"""Resizing of the image position table, against torch's interpolation."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bridgetower.conversion import resize_position_table
from tests.goldens import Golden, assert_close

RECORDED = Golden("posembed")


@pytest.mark.parametrize("name", sorted(name for name in RECORDED.arrays if name.startswith("in_")))
def test_equals_recorded_tables_of_the_original(name: str) -> None:
    expected = RECORDED[f"out{name[2:]}"]
    assert_close(resize_position_table(RECORDED[name], expected.shape[-2]), expected)


@pytest.mark.parametrize("old, new", [(4, 6), (4, 8), (4, 3), (14, 18), (7, 24), (16, 9), (1, 3), (3, 1)])
def test_equals_bicubic_interpolation_of_torch(old: int, new: int) -> None:
    table = np.random.default_rng(0).standard_normal((1 + old * old, 5)).astype(np.float32)
    grid = torch.from_numpy(table[1:]).reshape(1, old, old, 5).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(grid, (new, new), mode="bicubic", align_corners=False)
    result = resize_position_table(table, 1 + new * new)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result[0], table[0])
    # Sums of 16 products of numbers of order one in float32.
    np.testing.assert_allclose(result[1:], expected.permute(0, 2, 3, 1).reshape(-1, 5).numpy(), atol=5e-6)


def test_keeps_a_leading_axis() -> None:
    table = np.random.default_rng(0).standard_normal((1, 17, 6))
    assert resize_position_table(table, 37).shape == (1, 37, 6)
    np.testing.assert_array_equal(resize_position_table(table, 37)[0], resize_position_table(table[0], 37))


def test_same_size_is_untouched() -> None:
    table = np.ones((17, 2))
    assert resize_position_table(table, 17) is table


@given(old=st.integers(1, 12), new=st.integers(1, 12), value=st.floats(-10, 10))
def test_a_constant_grid_stays_constant(old: int, new: int, value: float) -> None:
    result = resize_position_table(np.full((1 + old * old, 2), value), 1 + new * new)
    np.testing.assert_allclose(result, value, atol=1e-12)


@pytest.mark.parametrize("old, new", [(18, 17), (17, 18), (1, 17), (17, 1), (0, 17)])
def test_grids_that_are_not_square(old: int, new: int) -> None:
    with pytest.raises(ValueError, match="no class token and square grid"):
        resize_position_table(np.zeros((old, 3)), new)


def test_logs_both_grids(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        resize_position_table(np.zeros((17, 3)), 37)
    assert "4x4" in caplog.text and "6x6" in caplog.text
