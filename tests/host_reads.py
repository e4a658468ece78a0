"""Watches for values of tensors that reach the host: on a GPU each one waits for all that was asked of the device."""

from __future__ import annotations

import traceback
from typing import Any

import paddle
import pytest

from bridgetower.training.trainer import BridgeTowerTrainer

READS = ("numpy", "item", "tolist", "__float__", "__int__", "__bool__", "__index__", "__array__")


class HostReads:
    """Notes reads of tensors, and tells those of one training step.

    Attributes:
        passes: of the last run.
        total: reads of all runs, log lines included.
        between: where the reads are that happen from the second pass of a run to its third one: the pass itself, its
            update, the callbacks, and the next batch. With `logging_steps` above 2 there is no log line among them.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.total, self.between = 0, list[str]()
        self.passes = 0
        for name in READS:
            monkeypatch.setattr(paddle.Tensor, name, self._watched(name, getattr(paddle.Tensor, name)))
        train, step = BridgeTowerTrainer.train, BridgeTowerTrainer.training_step

        def starts(trainer: Any, *args: Any, **kwargs: Any) -> Any:
            self.passes = 0
            return train(trainer, *args, **kwargs)

        def counts(trainer: Any, *args: Any, **kwargs: Any) -> Any:
            self.passes += 1
            return step(trainer, *args, **kwargs)

        monkeypatch.setattr(BridgeTowerTrainer, "train", starts)
        monkeypatch.setattr(BridgeTowerTrainer, "training_step", counts)

    def _watched(self, name: str, read: Any) -> Any:
        def watched(tensor: Any, *args: Any, **kwargs: Any) -> Any:
            self.total += 1
            if self.passes == 2:
                self.between.append(f"{name} {traceback.format_stack(limit=4)}")
            return read(tensor, *args, **kwargs)

        return watched

    def check(self) -> None:
        """A run of three passes read something, but nothing between its log lines."""
        assert self.total and self.passes == 3 and not self.between, "\n".join(self.between)
