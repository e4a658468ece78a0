"""Rows of a user's JSON file, one at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bridgetower.preparation import PreparationError
from bridgetower.preparation.own_data.json_records import json_elements

ROWS: list[dict[str, Any]] = [{"a": 1, "b": "x"}, {"a": float("inf"), "b": None}]


def elements(path: Path) -> list[Any]:
    return [value for _, value in json_elements(path)]


def test_json_lines_under_the_name_of_json(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("\n".join(json.dumps(row) for row in ROWS))
    assert elements(path) == ROWS


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("key", [None, "rows"])
def test_long_json_is_read_in_parts(tmp_path: Path, indent: int | None, key: str | None) -> None:
    rows: list[dict[str, Any]] = [{"f": n / 7, "text": '"\\' * (n * 37 % 900), "l": [[n], {}]} for n in range(600)]
    rows[6]["text"] = "é\U0001f600\ud83d" * 50_000
    rows[7]["text"] = "x" * 900_000
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"info": {"x": [1]}, key: rows, "more": 1} if key else rows, indent=indent))
    assert elements(path) == rows


@pytest.mark.parametrize("text", ['{"a": ' + "9" * 10_000 + ', "b": []}', '{"a":' * 100_000])
def test_a_search_for_the_array_survives_any_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(PreparationError, match=r"x\.json: not valid JSON"):
        elements(tmp_path / "x.json")
