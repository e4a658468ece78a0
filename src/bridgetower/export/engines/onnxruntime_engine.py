"""Run ONNX files with ONNX Runtime, on a CPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..manifest import program_files
from .interface import Engine, EngineSettings

__all__ = ["OnnxRuntimeEngine"]


class OnnxRuntimeEngine(Engine):
    """ONNX Runtime's CPU provider: float32, and 8-bit weights with activations quantized as they come."""

    name = "onnxruntime"
    formats = {"float32": "onnx", "int8": "int8"}

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(settings)
        self._sessions: dict[str, Any] = {}

    def _session(self, part: str) -> Any:
        if part not in self._sessions:
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = self.settings.threads
            # Idle threads of one program would otherwise spin on the cores that the next program needs.
            options.add_session_config_entry("session.force_spinning_stop", "1")
            (file,) = program_files(self.formats[self.settings.precision], part)
            self._sessions[part] = onnxruntime.InferenceSession(
                str(self.settings.folder / file), options, providers=["CPUExecutionProvider"])
        return self._sessions[part]

    def run(self, part: str, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """See `Engine.run`."""
        return self._session(part).run(None, dict(inputs))
