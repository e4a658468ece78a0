"""Which samples each rank reads, in which batches.

Written by hand: the batches of Paddle's sampler depend on the number of ranks, and its evaluation repeats samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from itertools import pairwise

import numpy as np
from paddle.io import DistributedBatchSampler

__all__ = ["ShardedBatchSampler"]


class ShardedBatchSampler(DistributedBatchSampler):
    """Batches of one rank, such that the number of ranks does not change the global batches.

    Training cuts one order of all samples (a permutation that depends on the seed and the epoch alone, or 0, 1, 2, ...)
    into global batches of `num_replicas * batch_size` samples, and each of them into one contiguous part per rank. The
    last global batch is filled up from the beginning of the order, or dropped.

    Evaluation gives each rank a contiguous block of the samples, each sample exactly once, in order; the ranks may get
    unequal numbers of samples and batches.

    Attributes:
        skip_batches: how many batches at the start of the next epoch are empty lists, so that a resumed run passes over
            them without reading a sample. Reset once used.
    """

    def __init__(
        self,
        dataset: Sized,
        batch_size: int,
        *,
        shuffle: bool = False,
        drop_last: bool = False,
        evaluation: bool = False,
        groups: np.ndarray | None = None,
        group_size: int = 1,
        shards: Sequence[tuple[int, int]] = (),
        shuffle_buffer: int = 0,
        seed: int = 0,
        num_replicas: int | None = None,
        rank: int | None = None,
    ) -> None:
        """Plan the batches.

        Args:
            dataset: its length counts, and its `set_epoch` is called along with the sampler's.
            batch_size: samples per batch and rank.
            shuffle: permute the samples in training.
            drop_last: drop the last incomplete global batch of training.
            evaluation: see the class.
            groups: (number of samples,) neighbours of equal value belong together, such as the questions about one
                image (`ImageTextDataset.image_rows`). In evaluation they stay on one rank, and in one batch when it
                has room for all of them: an image is then decoded, and passes its tower, once.
            group_size: how many samples of a group the shuffled order of training keeps side by side, so that a batch
                that reads each image once saves work; 1 ignores the groups.
            shards: first and past-the-last sample of each tar shard (`ImageTextDataset.shards`). Shuffling keeps the
                samples of a shard near each other, so that files are read from front to back.
            shuffle_buffer: in shuffled order, a sample of a shard lies fewer places than this behind its place in the
                sequence of the shuffled shards, as behind a buffer of that size.
            seed: of the permutations.
            num_replicas, rank: from the launcher by default.

        Raises:
            ValueError: shuffling or dropping in evaluation, groups of another length, or a negative size.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size} must be positive")
        if evaluation and (shuffle or drop_last):
            raise ValueError("evaluation reads every sample once in order: set neither shuffle nor drop_last")
        if group_size < 1 or (group_size > 1 and groups is None):
            raise ValueError(f"group_size={group_size} must be positive, and above 1 it needs groups")
        if shuffle_buffer < 0:
            raise ValueError(f"shuffle_buffer={shuffle_buffer} must not be negative")
        if groups is not None and len(groups) != len(dataset):
            raise ValueError(f"groups has {len(groups)} values for {len(dataset)} samples")
        super().__init__(dataset, batch_size, num_replicas, rank, shuffle, drop_last)
        if not 0 <= self.local_rank < self.nranks:
            raise ValueError(f"rank={self.local_rank} is not below num_replicas={self.nranks}")
        self.evaluation = evaluation
        self.groups = groups
        self.group_size = group_size
        self.shards = list(shards)
        self.shuffle_buffer = shuffle_buffer
        self.seed = seed
        self.skip_batches = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the permutation, and the dataset's random draws, of an epoch."""
        super().set_epoch(epoch)
        if hasattr(self.dataset, "set_epoch"):
            self.dataset.set_epoch(epoch)

    def __len__(self) -> int:
        """Number of batches of this rank in an epoch."""
        if self.evaluation:
            return len(self._evaluation_bounds()) - 1
        global_batch = self.nranks * self.batch_size
        return len(self.dataset) // global_batch if self.drop_last else -(-len(self.dataset) // global_batch)

    def __iter__(self) -> Iterator[list[int]]:
        skip, self.skip_batches = self.skip_batches, 0
        batches = self._evaluation_batches() if self.evaluation else self._training_batches()
        for number, batch in enumerate(batches):
            yield [] if number < skip else batch.tolist()

    def _training_batches(self) -> Iterator[np.ndarray]:
        order = self._shuffled() if self.shuffle else np.arange(len(self.dataset))
        order = np.resize(order, len(self) * self.nranks * self.batch_size)  # wraps around
        yield from order.reshape(len(self), self.nranks, self.batch_size)[:, self.local_rank]

    def _shuffled(self) -> np.ndarray:
        """A permutation of the samples, in which runs of `group_size` samples of one group stay side by side."""
        rng = np.random.default_rng([self.seed, self.epoch])
        order = rng.permutation(len(self.dataset))
        if self.group_size == 1 or self.groups is None:
            return self._shard_by_shard(order, rng) if self.shards else order
        order = order[np.argsort(self.groups[order], kind="stable")]
        values = self.groups[order]
        starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
        place = np.arange(len(order)) - np.repeat(starts, np.diff([*starts, len(order)]))
        run = np.cumsum(place % self.group_size == 0) - 1
        return order[np.argsort(rng.permutation(run[-1] + 1)[run], kind="stable")]

    def _shard_by_shard(self, order: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The same order of all other samples; in the places between them, the samples of shards in their own order."""
        shuffled = [self.shards[number] for number in rng.permutation(len(self.shards))]
        samples = np.concatenate([np.arange(first, stop) for first, stop in shuffled])
        places = np.arange(len(samples)) + rng.random(len(samples)) * self.shuffle_buffer
        is_free = np.zeros(len(order), dtype=bool)
        is_free[samples] = True
        order[is_free[order]] = samples[np.argsort(places, kind="stable")]
        return order

    def _evaluation_batches(self) -> Iterator[np.ndarray]:
        for first, stop in pairwise(self._evaluation_bounds()):
            yield np.arange(first, stop)

    def _evaluation_bounds(self) -> list[int]:
        """First sample of each batch of this rank, and past the last one of all."""
        start, stop = self._block()
        bounds = [start]
        while bounds[-1] < stop:
            end = min(bounds[-1] + self.batch_size, stop)
            whole = end if end == stop else self._group_start(end, bounds[-1])
            bounds.append(end if whole == bounds[-1] else whole)
        return bounds

    def _group_start(self, index: int, least: int = 0) -> int:
        """The first sample of the group that a sample is in, but none before `least`."""
        if self.groups is not None:
            while index > least and self.groups[index - 1] == self.groups[index]:
                index -= 1
        return index

    def _block(self) -> tuple[int, int]:
        """First and past-the-last sample of this rank in evaluation."""
        return self._boundary(self.local_rank), self._boundary(self.local_rank + 1)

    def _boundary(self, rank: int) -> int:
        """The first sample of a rank: an even share, moved to the start of its group."""
        size = len(self.dataset)
        target = size * rank // self.nranks
        return self._group_start(target) if 0 < target < size else target
