"""Rows of a benchmark for the engines: what runs here of an exported folder, and how near its results must be."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bridgetower.export.engines import ENGINES, EngineSettings
from bridgetower.export.manifest import FORMATS
from bridgetower.known import Precision

__all__ = ["TOLERANCE", "Rows", "engine_rows", "export", "tolerances", "torch_rows",
           "write_tokenizer"]

ROOT = Path(__file__).resolve().parents[1]
#: Two float32 implementations sum in different orders; the largest entries are near 6. Bfloat16 has three digits, and
#: 8-bit weights say little where all weights are random.
TOLERANCE = {"float32": 2e-4, "bfloat16": 0.1, "int8": 1.0}
#: Engine and precision of each row, by its name.
Rows = Mapping[str, tuple[str, Precision]]


def engine_rows(title: str, folder: Path, threads: int) -> Rows:
    """What can run on this machine; the name of a row is `title, engine, precision`."""
    rows = {}
    for name, engine in ENGINES.items():
        for precision in engine.formats:
            if engine.obstacle(EngineSettings(folder, tuple(FORMATS), precision, "cpu", threads, True)) is None:
                rows[f"{title}, {name}, {precision}"] = name, precision
    return rows


def tolerances(rows: Rows) -> dict[str, float]:
    """The largest difference that each row may show."""
    return {case: TOLERANCE[precision] for case, (_, precision) in rows.items()}


def torch_rows(rows: Rows, ways: Mapping[str, Callable[[], Any]]) -> dict[str, Callable[[], Any]]:
    """The peer of each row: the faster of `ways`, under autocast in bfloat16. PyTorch has no int8 for the port."""
    from hf_peer import bfloat16, fastest

    exact = low = fastest(ways)
    if any(precision == "bfloat16" for _, precision in rows.values()):
        low = fastest({f"{name}, autocast": bfloat16(way) for name, way in ways.items()})
    return {case: low if precision == "bfloat16" else exact for case, (_, precision) in rows.items()}


def write_tokenizer(folder: Path) -> None:
    """Write a tokenizer that fits the port's vocabulary: only its size matters to those who give token ids."""
    words = ["<s>", "<pad>", "</s>", "<unk>", *(f"word{number}" for number in range(50260)), "<mask>"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")


def export(folder: Path, task: str, output: Path) -> None:
    """Export a checkpoint, and the tokenizer with it, in all formats."""
    subprocess.run([sys.executable, str(ROOT / "export.py"), str(folder), "--task", task, "--output", str(output),
                    "--format", *FORMATS], check=True, capture_output=True)
