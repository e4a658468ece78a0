"""Ending a training on a signal: a checkpoint at the next step, and a status that asks for a new start."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Any

from paddlenlp.trainer import TrainerCallback

from ..distributed import max_over_processes

__all__ = ["PREEMPTED", "Preemption"]

#: Exit status of a run that has saved a checkpoint on a signal (EX_TEMPFAIL: try again later).
PREEMPTED = 75
_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
#: On a GPU the host runs ahead of the device, and asking the other processes at every step would hold it up.
_STEPS_BETWEEN_QUESTIONS = 10


class Preemption(TrainerCallback):
    """Saves and stops when any process of the run gets SIGTERM or SIGUSR1.

    Attributes:
        saved: whether the run ended so.
    """

    def __init__(self) -> None:
        self.saved = False
        self._received = 0
        self._process = os.getpid()
        self._before: dict[int, Any] = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a loader process, which is forked with this handler
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self._received = number

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take the signals over."""
        self._before = {number: signal.signal(number, self._handle) for number in _SIGNALS}

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ask for a checkpoint and the end when a signal came; all processes do so at the same step."""
        asks = args.device == "cpu" or state.global_step % _STEPS_BETWEEN_QUESTIONS == 0
        if asks and max_over_processes(self._received):
            control.should_save, control.should_training_stop, self.saved = True, True, True
            control.should_evaluate = False

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Do not evaluate and save once more where the epoch ends early."""
        if self.saved:
            control.should_save = control.should_evaluate = False

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
