"""Which sample lands on which rank, in which batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

paddle = pytest.importorskip("paddle")

from bridgetower.datasets import Collator, DatasetOptions, build_dataset  # noqa: E402
from bridgetower.datasets.sampler import ShardedBatchSampler  # noqa: E402


class Numbers(paddle.io.Dataset):  # type: ignore[misc, name-defined]
    """Stands in for a dataset."""

    def __init__(self, size: int) -> None:
        self.size, self.epochs = size, []  # type: ignore[var-annotated]

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> int:
        return index

    def set_epoch(self, epoch: int) -> None:
        self.epochs.append(epoch)


def batches(size: int, batch_size: int, ranks: int, epoch: int = 0, **arguments: Any) -> list[list[list[int]]]:
    """The batches of each rank."""
    out = []
    for rank in range(ranks):
        sampler = ShardedBatchSampler(Numbers(size), batch_size, num_replicas=ranks, rank=rank, **arguments)
        sampler.set_epoch(epoch)
        out.append(list(sampler))
        assert len(out[-1]) == len(sampler)
    return out


def joined(parts: list[list[list[int]]]) -> list[list[int]]:
    """Global batches: those of all ranks, one after the other."""
    return [sum(step, []) for step in zip(*parts, strict=True)]


@settings(max_examples=60)
@given(size=st.integers(1, 60), batch_size=st.integers(1, 5), ranks=st.sampled_from([2, 3, 4]), seed=st.integers(0, 3),
       drop_last=st.booleans(), shuffle=st.booleans())
def test_ranks_share_the_batches_of_one_rank(
    size: int, batch_size: int, ranks: int, seed: int, drop_last: bool, shuffle: bool
) -> None:
    arguments: dict[str, Any] = {"seed": seed, "drop_last": drop_last, "shuffle": shuffle, "epoch": 2}
    many, one = batches(size, batch_size, ranks, **arguments), batches(size, batch_size * ranks, 1, **arguments)
    assert joined(many) == one[0]
    flat = sum(one[0], [])
    if drop_last:
        assert len(set(flat)) == len(flat) == size // (batch_size * ranks) * batch_size * ranks
    else:
        assert len(flat) % (batch_size * ranks) == 0 and set(flat) == set(range(size))
        assert flat[size:] == [flat[k % size] for k in range(size, len(flat))]  # wrapped


def test_order_depends_on_seed_and_epoch() -> None:
    orders = {(seed, epoch): sum(batches(50, 5, 1, epoch, shuffle=True, seed=seed)[0], [])
              for seed in (0, 1) for epoch in (0, 1)}
    assert len({tuple(order) for order in orders.values()}) == 4
    assert orders[0, 1] == sum(batches(50, 5, 1, 1, shuffle=True, seed=0)[0], [])


@settings(max_examples=100)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=12), group_size=st.integers(1, 5))
def test_groups_stay_side_by_side(lengths: list[int], group_size: int) -> None:
    groups = np.repeat(np.arange(len(lengths)), lengths)
    (epoch,) = batches(len(groups), len(groups), 1, shuffle=True, groups=groups, group_size=group_size)
    order = np.array(epoch[0])
    assert sorted(order) == list(range(len(groups)))
    runs = 1 + np.count_nonzero(np.diff(groups[order]))
    # No more runs than images need, except that without grouping there may be as many as samples.
    assert group_size == 1 or runs <= sum(-(-length // group_size) for length in lengths)


def test_groups_are_shuffled_too() -> None:
    groups = np.repeat(np.arange(20), 4)
    orders = [batches(80, 80, 1, shuffle=True, groups=groups, group_size=4, seed=seed)[0][0] for seed in (0, 1)]
    assert orders[0] != orders[1]
    firsts = groups[orders[0]][::4]
    assert len(set(firsts)) == 20 and list(firsts) != sorted(firsts)


@settings(max_examples=100)
@given(lengths=st.lists(st.integers(1, 6), max_size=15), batch_size=st.integers(1, 5), ranks=st.integers(1, 4),
       grouped=st.booleans())
def test_evaluation_reads_each_sample_once(lengths: list[int], batch_size: int, ranks: int, grouped: bool) -> None:
    groups = np.repeat(np.arange(len(lengths)), lengths)
    parts = batches(len(groups), batch_size, ranks, evaluation=True, groups=groups if grouped else None)
    assert sum((sum(part, []) for part in parts), []) == list(range(len(groups)))
    assert all(0 < len(batch) <= batch_size for part in parts for batch in part)
    if not grouped:
        assert all(len(batch) == batch_size for part in parts for batch in part[:-1])
        return
    owners = [{int(groups[index]) for batch in part for index in batch} for part in parts]
    assert sum(map(len, owners)) == len(lengths)  # no image on two ranks
    for image, length in enumerate(lengths):
        holding = sum(any(groups[index] == image for index in batch) for part in parts for batch in part)
        # An image that fits into a batch is in one; of a larger one, each batch holds as much as it can.
        assert holding == 1 if length <= batch_size else holding <= -(-length // batch_size)


def test_evaluation_blocks_are_even() -> None:
    parts = batches(10, 2, 3, evaluation=True)
    assert [sum(part, []) for part in parts] == [[0, 1, 2], [3, 4, 5], [6, 7, 8, 9]]


def test_skipped_batches_are_empty_once() -> None:
    sampler = ShardedBatchSampler(Numbers(10), 2, num_replicas=1, rank=0, shuffle=True)
    whole = list(sampler)
    sampler.skip_batches = 3
    assert list(sampler) == [[], [], [], *whole[3:]]
    assert list(sampler) == whole


@pytest.mark.parametrize("workers", [0, 1])
def test_skipped_batches_pass_the_loader(workers: int, tokenizer) -> None:  # type: ignore[no-untyped-def]
    collator = Collator(tokenizer, 10)
    sampler = ShardedBatchSampler(Numbers(6), 2, num_replicas=1, rank=0)
    sampler.skip_batches = 2
    loader = paddle.io.DataLoader(
        Numbers(6), batch_sampler=sampler, num_workers=workers,
        collate_fn=lambda samples: collator(samples) if not samples else {"kept": np.array(samples)},
    )
    assert [list(batch) for batch in loader] == [["skipped"], ["skipped"], ["kept"]]


def test_workers_do_not_change_a_batch(captions, tokenizer, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    captions("vg", [[f"text {n} a", f"text {n} b"] for n in range(6)])
    options = DatasetOptions(8, "blip_randaug_wc", training=True, draw_false_image=1)
    runs = []
    for workers in (0, 2):
        dataset = build_dataset(["vg"], "train", tmp_path, options)
        sampler = ShardedBatchSampler(dataset, 5, shuffle=True, num_replicas=1, rank=0)
        loader = paddle.io.DataLoader(dataset, batch_sampler=sampler, num_workers=workers,  # type: ignore[attr-defined]
                                      collate_fn=Collator(tokenizer, 20, mlm=True, itm=True))
        epochs = []
        for epoch in (0, 1):
            sampler.set_epoch(epoch)
            epochs.append([{name: value.numpy() for name, value in batch.items()} for batch in loader])
        assert (epochs[0][0]["mlm_labels"].shape != epochs[1][0]["mlm_labels"].shape
                or (epochs[0][0]["mlm_labels"] != epochs[1][0]["mlm_labels"]).any())
        runs.append(epochs[0] + epochs[1])
    for alone, forked in zip(*runs, strict=True):
        assert set(alone) == set(forked)
        for name, value in alone.items():
            np.testing.assert_array_equal(value, forked[name])


def test_set_epoch_reaches_the_dataset() -> None:
    dataset = Numbers(4)
    ShardedBatchSampler(dataset, 2, num_replicas=1, rank=0).set_epoch(5)
    assert dataset.epochs == [5]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"batch_size": 0}, "batch_size=0 must be positive"),
        ({"evaluation": True, "shuffle": True}, "set neither shuffle nor drop_last"),
        ({"evaluation": True, "groups": np.zeros(3)}, "groups has 3 values for 10 samples"),
        ({"group_size": 2}, "group_size=2 must be positive, and above 1 it needs groups"),
        ({"num_replicas": 2, "rank": 2}, "rank=2 is not below num_replicas=2"),
    ],
)
def test_arguments_are_checked(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ShardedBatchSampler(Numbers(10), **{"batch_size": 2, "num_replicas": 1, "rank": 0, **arguments})
