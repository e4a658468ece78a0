"""Trainer callbacks: the file of metrics, the readable console, the path of the best checkpoint."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

from paddlenlp.trainer import TrainerCallback
from paddlenlp.trainer.trainer_callback import ProgressCallback

from ..experiment import SettingsError
from ..files import write_text
from ..progress import progress_bar
from .checkpoints import checkpoints_by_step

__all__ = ["MetricsFile", "MovedFolder", "ReadableProgress"]

logger = logging.getLogger(__name__)

_LEFT_OUT = ("interval_runtime", "interval_steps_per_second", "total_flos", "eval_the_metric")


class MetricsFile(TrainerCallback):
    """Keeps everything that is logged in `metrics.jsonl`, one object per line."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin a new file; a resumed run keeps the lines up to its checkpoint.

        Raises:
            SettingsError: there is something else of that name.
        """
        file = Path(args.output_dir) / "metrics.jsonl"
        if file.exists() and not file.is_file():  # a pipe would keep the run waiting for a reader
            raise SettingsError(f"{file} is no regular file; remove it")
        if state.is_world_process_zero and file.is_file():
            lines = file.read_text(encoding="utf-8").splitlines() if state.global_step else []
            kept = [line for line in lines if _step(line) <= state.global_step]
            write_text(file, "".join(f"{line}\n" for line in kept))

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Append one line."""
        if state.is_world_process_zero and logs:
            with open(Path(args.output_dir) / "metrics.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps({"global_step": state.global_step, **logs}) + "\n")


def _step(line: str) -> float:
    """The step of a line; that of a line which was cut when its process was killed comes after all others."""
    try:
        return float(json.loads(line)["global_step"])
    except (ValueError, LookupError, TypeError):
        return math.inf


class MovedFolder(TrainerCallback):
    """Finds the best checkpoint again when the output folder has moved, or forgets it when it is gone.

    A checkpoint of unknown origin may name any folder; only one in the output folder is taken.
    """

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Correct the path; the Trainer would stop at the next checkpoint otherwise."""
        if state.best_model_checkpoint is None:
            return
        output = Path(args.output_dir)
        here = output / Path(state.best_model_checkpoint).name
        is_ours = here in checkpoints_by_step(output).values() and here.is_dir() and not here.is_symlink()
        state.best_model_checkpoint = str(here) if is_ours else None
        if not is_ours:
            logger.warning("the best checkpoint so far, %s, is not in %s: looking for a new best one", here.name,
                           output)


class ReadableProgress(ProgressCallback):
    """Progress of training and evaluation that suits a terminal and a log file, and short lines of numbers."""

    prediction_bar: Any

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the bar of the training."""
        self.current_step = 0
        if state.is_local_process_zero:
            self.training_bar = progress_bar(total=state.max_steps, desc="training", unit=" steps")

    def on_prediction_step(self, args: Any, state: Any, control: Any, eval_dataloader: Any = None, **kwargs: Any
                           ) -> None:
        """Count a batch of evaluation."""
        if state.is_local_process_zero and self.prediction_bar is None:
            self.prediction_bar = progress_bar(total=len(eval_dataloader), desc="evaluation", unit=" batches",
                                               leave=self.training_bar is None)
        super().on_prediction_step(args, state, control, eval_dataloader, **kwargs)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """One line with five digits per number."""
        if state.is_local_process_zero and logs:
            shown = {name: value for name, value in logs.items() if name not in _LEFT_OUT}
            logger.info(", ".join(f"{name} {value:.5g}" if isinstance(value, (int, float)) else f"{name} {value}"
                                  for name, value in shown.items()))
