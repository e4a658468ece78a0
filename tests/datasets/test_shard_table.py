"""Tar shards read directly: their index, their samples, and the order of training."""

from __future__ import annotations

import json
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

from bridgetower.datasets import DatasetOptions, ImageTextDataset, build_dataset
from bridgetower.datasets.sampler import ShardedBatchSampler
from bridgetower.datasets.shard_index import ShardIndex
from bridgetower.datasets.shard_table import ShardTable
from tests.datasets.conftest import encoded_picture, grey
from tests.preparation.own_data.pictures import write_tar

Members = list[tuple[str, bytes]]


def sample(number: int, **fields: object) -> Members:
    key = f"{number:05}"
    texts = [(f"{key}.json", json.dumps(fields).encode())] if fields else [(f"{key}.txt", f"text {number}\n".encode())]
    return [(f"{key}.png", encoded_picture(number)), *texts]


def write_shards(folder: Path, *counts: int) -> list[Path]:
    """Shards 0.tar, 1.tar, ... of so many samples, which are numbered through."""
    firsts = np.cumsum([0, *counts]).tolist()
    return [write_tar(folder / f"{shard}.tar", [member for number in range(first, first + count)
                                                for member in sample(number)])
            for shard, (first, count) in enumerate(zip(firsts, counts, strict=False))]


def opened(folder: Path, names: list[str], split: str = "train", **options: object) -> ImageTextDataset:
    settings = {"image_size": 8, "transform": "clip", "training": True, **options}
    return build_dataset(names, split, folder, DatasetOptions(**settings))  # type: ignore[arg-type]


def test_samples_are_found_without_reading_the_shard(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "0.tar", [*sample(0), *sample(1, caption="first", text="second"),
                                          *sample(2, text=" title ", width=3), *sample(3)])
    for table in (ShardTable(path, "a"), ShardTable(path, "a"), pickle.loads(pickle.dumps(ShardTable(path, "a")))):
        assert [table.item("caption", row, 0) for row in range(4)] == ["text 0", "first", "title", "text 3"]
        assert [table.image_bytes("image", row) for row in range(4)] == [encoded_picture(row) for row in range(4)]
        assert table.where(2) == f"{path} member 00002.png" and table.value("image_id", 2) == "00002.png"
        assert table.num_rows == 4 and table.item("caption", 0, 1) is None


def test_the_index_lies_beside_the_shard_until_that_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_shards(tmp_path, 3)[0]
    assert len(ShardIndex.of(path)) == 3
    with monkeypatch.context() as patch:
        patch.setattr(tarfile, "open", lambda *args: pytest.fail("the shard is read again"))
        assert len(ShardIndex.of(path)) == 3
    write_tar(path, sample(0))
    assert len(ShardIndex.of(path)) == 1
    (tmp_path / "0.tar.index").write_bytes(b"damaged")
    assert len(ShardIndex.of(path)) == 1 and (tmp_path / "0.tar.index").stat().st_size > 100


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    path = write_shards(tmp_path, 3)[0]
    (tmp_path / "0.tar.index").mkdir()  # permissions would not stop a superuser
    assert len(ShardIndex.of(path)) == 3
    assert sorted(each.name for each in tmp_path.iterdir()) == ["0.tar", "0.tar.index"]


def test_broken_samples_are_counted_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    broken: dict[str, Members] = {
        "1 (no picture)": [("1.txt", b"x")],
        "2 (no caption)": [("2.png", encoded_picture(2))],
        "3 (its picture has 0 bytes)": [("3.png", b""), ("3.txt", b"x")],
        "4 (its caption is empty)": [("4.png", encoded_picture(4)), ("4.txt", b" \n")],
        "5 ('utf-8' codec": [("5.png", encoded_picture(5)), ("5.txt", b"\xff\xfe")],
        "6 (its .json has no text": [("6.png", encoded_picture(6)), ("6.json", b'{"url": "x"}')],
        "7 (Expecting": [("7.png", encoded_picture(7)), ("7.json", b"{")],
        "8 ('utf-8' codec can't encode": [("8.png", encoded_picture(8)), ("8.json", b'{"caption": "\\ud83d"}')],
    }
    write_tar(tmp_path / "0.tar", [*sample(0), *(member for members in broken.values() for member in members),
                                   *sample(9)])
    for _ in range(2):  # found, and read from the index
        caplog.clear()
        dataset = opened(tmp_path, ["0.tar"])
        assert [dataset[index].text for index in range(len(dataset))] == ["text 0", "text 9"]
        assert f"{tmp_path}/0.tar: 8 of 10 samples are left out: 1 (no picture), 2 " in caplog.text
        assert all(message in caplog.text for message in broken)


def test_an_unreadable_picture_is_named_and_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_tar(tmp_path / "0.tar", [*sample(0), ("00001.png", b"broken"), ("00001.txt", b"x"), *sample(2)])
    dataset = opened(tmp_path, ["0.tar"])
    assert dataset[1].text in ("text 0", "text 2") and dataset.num_unreadable == 1
    assert f"{tmp_path}/0.tar member 00001.png, column image: unreadable image" in caplog.text


@pytest.mark.parametrize(("content", "message"), [
    (b"no tar file" * 100, r"0\.tar: cannot be read as an uncompressed tar file after sample 0"),
    (b"", r"0\.tar: cannot be read as an uncompressed tar file"),
    (None, r"0\.tar: cannot be read .* after sample 1 .*; download it again"),
])
def test_files_that_are_no_shards(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = write_shards(tmp_path, 3)[0]
    path.write_bytes(path.read_bytes()[:3000] if content is None else content)
    with pytest.raises(ValueError, match=message):
        opened(tmp_path, ["*.tar"])
    assert not (tmp_path / "0.tar.index").exists()


def test_a_shard_without_pictures(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", [("0.txt", b"x")])
    with pytest.raises(ValueError, match=r"holds no picture with a caption; .* 0\.json: 0 \(no picture\)"):
        opened(tmp_path, ["0.tar"])


def test_shards_beside_tables(captions, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Several shards are one data set after another; they have training samples only."""
    captions("vg", [["v0", "v1"], ["v2"]])
    write_shards(tmp_path, 3, 2)
    dataset = opened(tmp_path, ["vg", "{0..1}.tar"], draw_false_text=2, draw_false_image=1)
    assert [dataset[index].text for index in range(8)] == ["v0", "v1", "v2", *(f"text {n}" for n in range(5))]
    assert dataset.table_names == ["vg", "{0..1}.tar", "{0..1}.tar"] and dataset.shards == [(3, 6), (6, 8)]
    assert dataset.record(7).text == "text 4" and dataset.record(7).identifier == "00004.png"
    for epoch in range(5):  # non-matching samples come from the same shard
        dataset.set_epoch(epoch)
        assert {*dataset[4].false_texts} <= {"text 0", "text 1", "text 2"}
        assert {*dataset[7].false_texts} <= {"text 3", "text 4"}
        assert grey(dataset[7].false_image()) in (3, 4)  # type: ignore[misc]
    assert len(opened(tmp_path, ["{0..1}.tar"], "val")) == 0
    assert opened(tmp_path, ["{0..1}.tar"], debug_limit=4).shards == [(0, 3), (3, 4)]


def orders(shards: list[tuple[int, int]], size: int, buffer: int, ranks: int = 1, epoch: int = 0, skip: int = 0
           ) -> list[list[list[int]]]:
    """The batches of two of each rank."""
    samplers = [ShardedBatchSampler(range(size), 2, shuffle=True, shards=shards, shuffle_buffer=buffer, seed=5,
                                    num_replicas=ranks, rank=rank) for rank in range(ranks)]
    for sampler in samplers:
        sampler.epoch, sampler.skip_batches = epoch, skip
    return [list(sampler) for sampler in samplers]


def test_shuffled_order_of_shards() -> None:
    shards = [(start, start + 100) for start in range(200, 1200, 100)]  # and 200 samples of tables before them
    order = np.concatenate(orders(shards, 1200, 30)[0])
    assert sorted(order) == list(range(1200))
    in_shards = order[order >= 200]
    middle = {shard: np.mean(np.flatnonzero(in_shards // 100 == shard)) for shard in range(2, 12)}
    sequence = sorted(middle, key=lambda shard: middle[shard])
    assert sequence != sorted(sequence)  # the shards are shuffled
    first = {shard: 100 * place for place, shard in enumerate(sequence)}
    moved = [place - first[number // 100] - number % 100 for place, number in enumerate(in_shards.tolist())]
    assert max(map(abs, moved)) < 30 and np.count_nonzero(moved) > 900  # and their samples, in the buffer
    tables = np.flatnonzero(order < 200)
    assert np.ptp(np.histogram(tables, bins=4, range=(0, 1200))[0]) < 40  # spread over the whole epoch
    assert not np.array_equal(order, np.concatenate(orders(shards, 1200, 30, epoch=1)[0]))


def test_ranks_split_the_order_and_a_resumed_run_goes_on() -> None:
    shards = [(0, 7), (7, 12), (12, 24)]
    whole = np.concatenate(orders(shards, 24, 6)[0])
    parts = orders(shards, 24, 6, ranks=3)
    np.testing.assert_array_equal(np.stack(parts, axis=1).ravel(), whole)
    resumed = orders(shards, 24, 6, ranks=3, skip=2)
    assert [rank[:2] for rank in resumed] == [[[], []]] * 3
    assert [rank[2:] for rank in resumed] == [rank[2:] for rank in parts]


def test_without_a_buffer_files_are_read_from_front_to_back() -> None:
    order = np.concatenate(orders([(0, 10), (10, 20)], 20, 0)[0]).tolist()
    assert order in ([*range(20)], [*range(10, 20), *range(10)])
    with pytest.raises(ValueError, match="shuffle_buffer=-1"):
        orders([(0, 4)], 4, -1)


def test_few_files_stay_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bridgetower.datasets import shard_table

    write_shards(tmp_path, *[1] * 100)
    before = len(os.listdir("/proc/self/fd"))
    dataset = opened(tmp_path, ["{0..99}.tar"])
    assert sorted(dataset[index].text or "" for index in range(100)) == sorted(f"text {n}" for n in range(100))
    assert len(os.listdir("/proc/self/fd")) - before <= shard_table._OPEN_FILES
