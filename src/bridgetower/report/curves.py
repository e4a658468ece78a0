"""Reads the log of a training run, `metrics.jsonl`, into one curve per logged number."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Curve:
    """One logged number over the training steps, in the order of the log.

    Attributes:
        steps: optimizer steps.
        values: the number logged at each of these steps.
    """

    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


def read_curves(path: Path) -> dict[str, Curve]:
    """Curves by logged name, such as `loss` or `eval_vqa_score`.

    Lines without `global_step` (summaries of a run) and values that are not finite numbers are left out. Where a
    resumed run logged a step again, its later value counts.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a line is not a JSON object, or no line has a step.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; train.py writes metrics.jsonl into its --output_dir")
    points: dict[str, dict[int, float]] = {}
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                record = _parse(path, number, line)
                step = record.pop("global_step", None)
                for name, value in record.items() if _is_number(step) else ():
                    if _is_number(value):
                        points.setdefault(name, {})[int(step)] = float(value)
    if not points:
        raise ValueError(f"{path} holds no line with global_step and a number; did the run stop before its first log?")
    return {name: Curve(*map(list, zip(*sorted(by_step.items()), strict=True))) for name, by_step in points.items()}


def _parse(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} line {number} is not JSON ({error}); remove the line or train again") from error
    if not isinstance(record, dict):
        raise ValueError(f"{path} line {number} is a {type(record).__name__}, not an object of names and numbers")
    return record


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
