"""What all engines have in common."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from ...known import Device, Precision

__all__ = ["Engine", "EngineSettings"]


@dataclass(frozen=True)
class EngineSettings:
    """What to run, and how.

    Attributes:
        folder: an exported folder.
        formats: what the folder holds, see `Manifest`.
        precision: of matrix products.
        device: `cpu`, `gpu`, or `auto` for the GPU where the engine finds one.
        threads: threads on a CPU.
        onednn: whether Paddle may use oneDNN on a CPU.
    """

    folder: Path
    formats: tuple[str, ...]
    precision: Precision
    device: Device
    threads: int
    onednn: bool


class Engine(ABC):
    """Runs the programs of one folder; a program is loaded when it is first used.

    Args:
        settings: for which `obstacle` is None.
    """

    #: What users call it, which is also the package that it needs.
    name: ClassVar[str]
    #: The format that it reads for each precision that it has.
    formats: ClassVar[Mapping[str, str]]

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings

    @classmethod
    def obstacle(cls, settings: EngineSettings) -> str | None:
        """Why this engine cannot be used here and what to do about it; None when it can."""
        if importlib.util.find_spec(cls.name) is None:
            return (f"the package {cls.name} is not installed; pip install -r requirements-engines.txt -c "
                    "constraints.txt")
        if settings.precision not in cls.formats:
            return f"it has no precision={settings.precision!r}; use {' or '.join(map(repr, cls.formats))}"
        if (needed := cls.formats[settings.precision]) not in settings.formats:
            return f"{settings.folder} has no {needed} files; export the checkpoint again with --format {needed}"
        return cls._own_obstacle(settings)

    @classmethod
    def _own_obstacle(cls, settings: EngineSettings) -> str | None:
        """What only this engine asks for; those that serve CPUs alone share this answer."""
        if settings.device == "gpu":
            return "it runs on CPUs only; use engine='paddle' for device='gpu'"
        return None if settings.onednn else "onednn=False is for engine='paddle'"

    @abstractmethod
    def run(self, part: str, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The outputs of one program, in the order of the file.

        Args:
            part: one of `manifest.PARTS`.
            inputs: contiguous arrays by the names of the program's inputs.
        """
