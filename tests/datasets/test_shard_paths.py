"""What patterns of tar shards stand for."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridgetower.datasets.shard_paths import expand_paths, is_shard_pattern, shard_paths


@pytest.mark.parametrize(("pattern", "names"), [
    ("a.tar", ["a.tar"]),
    ("{08..11}.tar", ["08.tar", "09.tar", "10.tar", "11.tar"]),
    ("{0..1}/{0..1}.tar", ["0/0.tar", "0/1.tar", "1/0.tar", "1/1.tar"]),
    ("0/*.tar", ["0/0.tar", "0/1.tar"]),
    ("{0..1}/*.tar", ["0/0.tar", "0/1.tar", "1/*.tar"]),  # a part that finds nothing is named, not passed over
    ("{3..1}.tar", []),
])
def test_what_patterns_stand_for(tmp_path: Path, pattern: str, names: list[str]) -> None:
    for name in ("0/1.tar", "0/0.tar"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert expand_paths(str(tmp_path / pattern)) == [tmp_path / name for name in names]


@pytest.mark.parametrize(("name", "is_pattern"), [("a/{000..331}.tar", True), ("*.TAR", True), ("coco", False),
                                                  ("a.tar.gz", False)])
def test_names_of_shards(name: str, is_pattern: bool) -> None:
    assert is_shard_pattern(name) is is_pattern


def test_relative_patterns_start_from_the_data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "0.tar").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert shard_paths("*.tar", tmp_path) == shard_paths("~/0.tar", Path("other")) == [tmp_path / "0.tar"]


@pytest.mark.parametrize(("pattern", "message"), [
    ("{00..14}.tar", "14 of the 15 tar shards of {00..14}.tar are missing: PATH/01.tar, "),
    ("other*.tar", "1 of the 1 tar shards of other*.tar are missing: PATH/other*.tar; "),
    ("{3..1}.tar", "its range is empty"),
])
def test_missing_shards_are_counted_and_named(tmp_path: Path, pattern: str, message: str) -> None:
    (tmp_path / "00.tar").touch()
    with pytest.raises((FileNotFoundError, ValueError)) as error:
        shard_paths(pattern, tmp_path)
    assert message.replace("PATH", str(tmp_path)) in str(error.value)
    assert ("10.tar, ...;" in str(error.value)) is pattern.startswith("{00")
