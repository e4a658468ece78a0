"""What the command `table` says at its end: what the tables hold, and the command to run next."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Any

#: Where `scripts/finetune.sh` looks for tables.
_DATA_ROOT = Path("data/own")


def describe(description: Mapping[str, Any], output: Path) -> str:
    """Several lines for people."""
    name = description["name"]
    lines = [f"{output / name}.json: {description['kind']} ({description['modality']})"]
    for split, counts in description["counts"].items():
        texts = f", {counts['texts']} texts" if counts["texts"] else ""
        lines.append(f"  {split}: {counts['rows']} rows{texts}{_classes(counts)}")
    if description["answers"]:
        lines.append(f"  answers: {len(description['answers'])}")
    if "train" in description["tables"] and "val" not in description["tables"]:
        lines.append("  val: no row, and fine-tuning needs some; give more, a larger --val_share, or name the splits")
    lines += [
        f"  left out: {count} {what.replace('_', ' ')}" for what, count in description["left_out"].items() if count
    ]
    return "\n".join([*lines, f"next: {next_command(description, output)}"])


def next_command(description: Mapping[str, Any], output: Path) -> str:
    """The command that trains on the tables, or that checks them where training or validation has none."""
    if not {"train", "val"} <= description["tables"].keys():
        return f"python -m bridgetower.preparation check --source {quote(str(output))}"
    root = "" if output == _DATA_ROOT else f"DATA_ROOT={quote(str(output))} "
    return f"{root}bash scripts/finetune.sh {description['name']}"


def _classes(counts: Mapping[str, Any]) -> str:
    classes = counts.get("classes", {})
    shown = ", ".join(f"{count} {name}" for name, count in list(classes.items())[:10])
    return f" ({shown}{', ...' if len(classes) > 10 else ''})" if classes else ""
