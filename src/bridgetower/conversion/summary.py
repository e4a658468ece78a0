"""The report of a conversion: tensors and parameters by part of the model, and what was dropped."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..model_parts import BASE_PREFIX, is_head
from .readers.arrays import dtype_name

PARTS = ("text tower", "image tower", "cross-modal", "bridges", "heads")


@dataclass
class Part:
    """One part of a model: its number of tensors and of parameters, and their types."""

    tensors: int = 0
    parameters: int = 0
    dtypes: set[str] = field(default_factory=set)


@dataclass
class Report:
    """What was read, what is written, and what was left out and why.

    Attributes:
        source: the checkpoint.
        layout: its layout.
        parts: by their names in `PARTS`; empty parts are left out.
        dropped: the reason for each source tensor that is left out.
        notes: everything else that is worth knowing, one sentence each.
        targets: the files written (or that would be).
    """

    source: str
    layout: str
    parts: dict[str, Part]
    dropped: dict[str, str]
    notes: list[str] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)

    def text(self) -> str:
        """The report as a table and a few lines below it."""
        lines = [f"{self.source} ({self.layout} layout)"]
        lines.append(f"  {'part':<14}{'tensors':>9}{'parameters':>14}  type")
        for name, part in self.parts.items():
            lines.append(f"  {name:<14}{part.tensors:>9}{part.parameters:>14,}  {', '.join(sorted(part.dtypes))}")
        tensors = sum(part.tensors for part in self.parts.values())
        parameters = sum(part.parameters for part in self.parts.values())
        lines.append(f"  {'all':<14}{tensors:>9}{parameters:>14,}")
        for reason in dict.fromkeys(self.dropped.values()):
            names = [name for name, why in self.dropped.items() if why == reason]
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            lines.append(f"  dropped {shown}: {reason}")
        lines += [f"  {note}" for note in self.notes]
        return "\n".join(lines + [f"  -> {target}" for target in self.targets])


def part_of(name: str) -> str:
    """The part of the model that a Paddle tensor name belongs to."""
    stem = name.removeprefix(BASE_PREFIX)
    if is_head(stem):
        return "heads"
    if stem.startswith("text_tower."):
        return "text tower"
    if stem.startswith("image_tower."):
        return "image tower"
    return "bridges" if "_bridges." in stem else "cross-modal"


def count_parts(tensors: Mapping[str, np.ndarray]) -> dict[str, Part]:
    """Count tensors, by their Paddle names, for each part of the model."""
    parts = {name: Part() for name in PARTS}
    for name, array in tensors.items():
        part = parts[part_of(name)]
        part.tensors += 1
        part.parameters += math.prod(array.shape)
        part.dtypes.add(dtype_name(array))
    return {name: part for name, part in parts.items() if part.tensors}
