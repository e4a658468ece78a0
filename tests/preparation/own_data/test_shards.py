"""Tar shards of img2dataset and webdataset."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bridgetower.preparation import PreparationError
from bridgetower.preparation.own_data.shards import read_shard, shard_columns
from tests.preparation.own_data.pictures import make, picture, table_rows, write_tar


def sample(number: int, **fields: object) -> list[tuple[str, bytes]]:
    """The members of a sample."""
    key = f"{number:05}"
    return [(f"{key}.png", picture(number)), (f"{key}.txt", f"text {number}".encode()),
            (f"{key}.json", json.dumps({"caption": f"caption {number}", **fields}).encode())]


def test_the_samples_of_a_shard(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "0.tar", [member for number in range(3) for member in sample(number, width=number)])
    records = list(read_shard(path))
    assert [record.values["image"]["bytes"] for record in records] == [picture(number) for number in range(3)]
    assert records[1].values | {"image": None} == {
        "key": "00001", "txt": "text 1", "caption": "caption 1", "width": 1, "image": None}
    assert records[2].where == f"{path}, sample 00002"
    assert {*shard_columns(path)} == {"key", "image", "txt", "caption", "width"}
    assert [record.values["image"]["bytes"] for record in read_shard(path, without_bytes=True)] == [b""] * 3


def test_shards_become_captions(tmp_path: Path) -> None:
    for shard in range(3):
        members = [member for number in range(4) for member in sample(shard * 4 + number)]
        write_tar(tmp_path / f"{shard:03}.tar", members)
    out = tmp_path / "out"
    assert make(tmp_path / "{000..002}.tar", "caption", out, "--val_share", 0, "--test_share", 0) == 0
    assert [row["caption"] for row in table_rows(out, "train")] == [[f"caption {number}"] for number in range(12)]
    assert [row["image"] for row in table_rows(out, "train")] == [picture(number) for number in range(12)]


def test_bad_members_are_named_or_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    members = [*sample(0), ("00001.json", b"{"), ("00001.png", picture(1)), ("00002.txt", b"text"),
               ("00003.png", b"broken"), ("00003.txt", b"x"), *sample(4), ("00005.png", picture(5))]
    path = write_tar(tmp_path / "0.tar", members)
    options = ("--val_share", 0, "--test_share", 0, "--columns", "text=txt")
    assert make(path, "caption", tmp_path / "out", *options) == 2
    errors = capsys.readouterr().err
    for message in ("sample 00001: its .json is not a JSON object", "sample 00002: column 'image' is empty",
                    "sample 00005: column 'txt' is empty"):
        assert message in errors
    assert not (tmp_path / "out").exists()
    assert make(path, "caption", tmp_path / "out", *options, "--skip_bad") == 0
    assert [row["caption"] for row in table_rows(tmp_path / "out")] == [["text 0"], ["text 4"]]
    left_out = json.loads((tmp_path / "out/mine.json").read_text())["left_out"]
    assert left_out["bad_rows"] == 3 and left_out["bad_pictures"] == 1


@pytest.mark.parametrize("kept", [700, 1024 + 512 + 100])
def test_a_cut_off_shard(tmp_path: Path, kept: int) -> None:
    path = write_tar(tmp_path / "0.tar", [member for number in range(3) for member in sample(number)])
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(PreparationError, match=r"0\.tar: cannot be read as an uncompressed tar file after sample \d"):
        list(read_shard(path))


def test_a_shard_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(PreparationError, match="no pictures in it"):
        shard_columns(write_tar(tmp_path / "0.tar", [("1.txt", b"x")]))


def test_a_damaged_header_does_not_end_a_shard(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "0.tar", [member for number in range(4) for member in sample(number)])
    data = bytearray(shard.read_bytes())
    data[data.index(b"2.png") + 148] ^= 1  # in its checksum
    shard.write_bytes(data)
    with pytest.raises(PreparationError, match=r"0\.tar: .* after sample 2 \(the header at byte \d+ is d"):
        list(read_shard(shard))
