"""What the command `table` says at its end: what the tables hold, and the command to run next."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: The experiment that fits tables of a kind.
EXPERIMENTS = {
    "caption": "finetune_retrieval",
    "vqa": "finetune_vqa",
    "classify": "finetune_classify",
    "pair_classify": "finetune_classify",
    "snli": "snli_ve_config",
    "nlvr2": "nlvr2_config",
}


def describe(description: Mapping[str, Any], output: Path) -> str:
    """Several lines for people."""
    name = description["name"]
    lines = [f"{output / name}.json: {description['kind']} ({description['modality']})"]
    for split, counts in description["counts"].items():
        texts = f", {counts['texts']} texts" if counts["texts"] else ""
        lines.append(f"  {split}: {counts['rows']} rows{texts}{_classes(counts)}")
    if description["answers"]:
        lines.append(f"  {len(description['answers'])} answers")
    lines += [
        f"  left out: {count} {what.replace('_', ' ')}" for what, count in description["left_out"].items() if count
    ]
    config = f"configs/{EXPERIMENTS[description['kind']]}.json"
    lines.append(
        "next: python train.py --config_name "
        + config
        + f" --set 'data.datasets=[\"{name}\"]' --data_root {output} --checkpoint_path CHECKPOINT --output_dir "
        + f"runs/{name} --do_train --do_eval"
    )
    return "\n".join(lines)


def _classes(counts: Mapping[str, Any]) -> str:
    classes = counts.get("classes", {})
    shown = ", ".join(f"{count} {name}" for name, count in list(classes.items())[:10])
    return f" ({shown}{', ...' if len(classes) > 10 else ''})" if classes else ""
