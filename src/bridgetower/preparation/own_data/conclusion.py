"""What the command `table` says at its end: what the tables hold, and the command to run next."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Any

#: The experiment that trains on tables of a kind, where there is one.
EXPERIMENTS = {
    "caption": "configs/irtr_itm_itc_f30k_config.json",
    "vqa": "configs/vqav2_config.json",
    "snli": "configs/snli_ve_config.json",
    "nlvr2": "configs/nlvr2_config.json",
}
_BATCH = 32


def describe(description: Mapping[str, Any], output: Path) -> str:
    """Several lines for people."""
    name = description["name"]
    lines = [f"{output / name}.json: {description['kind']} ({description['modality']})"]
    for split, counts in description["counts"].items():
        texts = f", {counts['texts']} texts" if counts["texts"] else ""
        lines.append(f"  {split}: {counts['rows']} rows{texts}{_classes(counts)}")
    if description["answers"]:
        lines.append(f"  answers: {len(description['answers'])}")
    lines += [
        f"  left out: {count} {what.replace('_', ' ')}" for what, count in description["left_out"].items() if count
    ]
    return "\n".join([*lines, f"next: {next_command(description, output)}"])


def next_command(description: Mapping[str, Any], output: Path) -> str:
    """The command that trains on the tables, or that checks them where no experiment reads their kind."""
    name, experiment = description["name"], EXPERIMENTS.get(description["kind"])
    if experiment is None or "train" not in description["tables"]:
        return f"python -m bridgetower.preparation check --source {quote(str(output))}"
    changes = [f'data.datasets=["{name}"]']
    if description["answers"]:
        changes.append(f"task.num_labels={len(description['answers'])}")
    words = [
        "python",
        "train.py",
        "--config_name",
        experiment,
        "--data_root",
        str(output),
        "--checkpoint_path",
        "CHECKPOINT",
        "--output_dir",
        f"runs/{name}",
        "--batch_size",
        str(_BATCH),
        "--per_device_train_batch_size",
        "8",
        "--do_train",
        "--do_eval",
        "--set",
        *changes,
    ]
    return " ".join(map(quote, words))


def _classes(counts: Mapping[str, Any]) -> str:
    classes = counts.get("classes", {})
    shown = ", ".join(f"{count} {name}" for name, count in list(classes.items())[:10])
    return f" ({shown}{', ...' if len(classes) > 10 else ''})" if classes else ""
