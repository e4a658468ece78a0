"""Run ONNX files with OpenVINO, on a CPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..manifest import program_files
from .interface import Engine, EngineSettings

__all__ = ["OpenVinoEngine"]

_HINTS = {"float32": "f32", "bfloat16": "bf16"}


class OpenVinoEngine(Engine):
    """OpenVINO's CPU plug-in: float32, and bfloat16 on processors that multiply in it."""

    name = "openvino"
    formats = {"float32": "onnx", "bfloat16": "onnx"}

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(settings)
        import openvino

        self._core = openvino.Core()
        self._programs: dict[str, Any] = {}

    @classmethod
    def _own_obstacle(cls, settings: EngineSettings) -> str | None:
        if settings.precision == "bfloat16":
            import openvino

            abilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
            if "BF16" not in abilities:
                return f"this processor has no bfloat16 products ({', '.join(abilities)}); use precision='float32'"
        return super()._own_obstacle(settings)

    def _program(self, part: str) -> Any:
        if part not in self._programs:
            (file,) = program_files(self.formats[self.settings.precision], part)
            # The precision is always given: without a hint OpenVINO takes bfloat16 wherever it can.
            self._programs[part] = self._core.compile_model(str(self.settings.folder / file), "CPU", {
                "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": self.settings.threads,
                "INFERENCE_PRECISION_HINT": _HINTS[self.settings.precision]})
        return self._programs[part]

    def run(self, part: str, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """See `Engine.run`."""
        return list(self._program(part)(dict(inputs)).to_tuple())
