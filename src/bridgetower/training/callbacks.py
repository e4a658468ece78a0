"""What training does beside the steps: a file of metrics, a readable console, a state that fits its folder."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from paddlenlp.trainer import TrainerCallback
from paddlenlp.trainer.trainer_callback import ProgressCallback

from ..files import write_text

__all__ = ["MetricsFile", "MovedFolder", "ReadableProgress"]

logger = logging.getLogger(__name__)

_LEFT_OUT = ("interval_runtime", "interval_steps_per_second", "total_flos", "eval_the_metric")


class MetricsFile(TrainerCallback):
    """Keeps everything that is logged in `metrics.jsonl`, one object a line."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin a new file; a resumed run keeps the lines up to its checkpoint."""
        file = Path(args.output_dir) / "metrics.jsonl"
        if state.is_world_process_zero and file.is_file():
            lines = file.read_text(encoding="utf-8").splitlines() if state.global_step else []
            kept = [line for line in lines if json.loads(line)["global_step"] <= state.global_step]
            write_text(file, "".join(f"{line}\n" for line in kept))

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Append one line."""
        if state.is_world_process_zero and logs:
            with open(Path(args.output_dir) / "metrics.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps({"global_step": state.global_step, **logs}) + "\n")


class MovedFolder(TrainerCallback):
    """Finds the best checkpoint again when the output folder has moved, or forgets it when it is gone."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Correct the path; the Trainer would stop at the next checkpoint otherwise."""
        if state.best_model_checkpoint is not None:
            here = Path(args.output_dir) / Path(state.best_model_checkpoint).name
            state.best_model_checkpoint = str(here) if here.is_dir() else None
            if not here.is_dir():
                logger.warning("the best checkpoint so far, %s, is not in %s: looking for a new best one", here.name,
                               args.output_dir)


class ReadableProgress(ProgressCallback):
    """PaddleNLP's progress bars, and short lines of numbers."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """One line with five digits a number."""
        if state.is_local_process_zero and logs:
            shown = {name: value for name, value in logs.items() if name not in _LEFT_OUT}
            logger.info(", ".join(f"{name} {value:.5g}" if isinstance(value, (int, float)) else f"{name} {value}"
                                  for name, value in shown.items()))
