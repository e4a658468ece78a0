"""The state of PaddleNLP's Trainer in a checkpoint: checked before it is used, and converted to another total batch."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from paddlenlp.trainer.trainer_callback import TrainerState

from ..experiment import SettingsError

__all__ = ["resumed_step", "training_state", "training_step"]

_LARGEST = 1 << 28  # bytes of trainer_state.json, which grows by a line per log


def training_state(checkpoint: Path) -> dict[str, Any]:
    """The fields of PaddleNLP's `TrainerState` that a checkpoint has, checked.

    Raises:
        SettingsError: they are not what a training writes.
    """
    file = checkpoint / "trainer_state.json"
    try:
        if not file.is_file() or file.stat().st_size > _LARGEST:
            raise ValueError("it is no regular file of a sensible size")
        state = json.loads(file.read_text(encoding="utf-8"))
        known = {field.name for field in dataclasses.fields(TrainerState)}
        if not isinstance(state, dict) or not set(state) <= known:
            raise ValueError("it is no object with the fields of a trainer state")
        if "global_step" not in state:
            raise ValueError("it has no global_step")
        for name, value in state.items():
            if not _STATE_CHECKS.get(name, lambda value: True)(value):
                raise ValueError(f"{name}={str(value)[:60]} cannot be")
    except (ValueError, OSError, RecursionError) as error:
        hint = "has no global_step" if "global_step" in str(error) or isinstance(error, json.JSONDecodeError) \
            else "is damaged"
        raise SettingsError(f"{file} {hint} ({error}); resume from another checkpoint") from None
    return state


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value))


_STATE_CHECKS: dict[str, Callable[[Any], bool]] = {
    **{name: _is_count for name in ("global_step", "consumed_samples", "max_steps", "num_train_epochs")},
    **{name: _is_number for name in ("epoch", "total_flos", "best_metric")},
    "log_history": lambda value: isinstance(value, list) and all(isinstance(line, dict) for line in value),
    "best_model_checkpoint": lambda value: value is None or isinstance(value, str),
}


def training_step(checkpoint: Path) -> int:
    """How many updates a checkpoint has seen.

    Raises:
        SettingsError: its trainer_state.json does not say.
    """
    return int(training_state(checkpoint)["global_step"])


def resumed_step(step: int, old_batch: int, new_batch: int, samples: int, drop_last: bool = False) -> int:
    """The step of a run that has seen as many samples as another one with another total batch.

    Whole epochs stay whole; within an epoch, samples of an incomplete update are read again.

    Args:
        step: updates of the other run.
        old_batch, new_batch: samples per update of that run and of this one.
        samples: of an epoch.
        drop_last: whether an incomplete update at the end of an epoch is left out.
    """
    if old_batch == new_batch:
        return step

    def updates(batch: int) -> int:
        return max(1, samples // batch if drop_last else -(-samples // batch))

    epochs, steps = divmod(step, updates(old_batch))
    return epochs * updates(new_batch) + min(steps * old_batch, samples) // new_batch
