"""Run Paddle's programs with `paddle.inference`, on a CPU or a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime import cpu_threads, set_cpu_threads
from ..manifest import program_files
from .interface import Engine, EngineSettings

__all__ = ["PaddleEngine"]

#: Where Linux lists what a processor can do.
_CPU_INFO = Path("/proc/cpuinfo")


def _lacks_avx512() -> bool:
    """Whether the processor is known to lack what oneDNN's bfloat16 needs; Paddle would compute in float32 unasked."""
    return _CPU_INFO.is_file() and " avx512bw" not in _CPU_INFO.read_text(encoding="utf-8", errors="replace")


class PaddleEngine(Engine):
    """Paddle's own inference: float32, and with oneDNN bfloat16 on processors with AVX-512."""

    name = "paddle"
    formats = {"float32": "paddle", "bfloat16": "paddle"}

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(settings)
        self.on_gpu = settings.device != "cpu" and self.has_gpu()
        self._programs: dict[str, Any] = {}

    @classmethod
    def has_gpu(cls) -> bool:
        """Whether Paddle is built for a GPU and finds one."""
        import paddle

        return paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0

    @classmethod
    def _own_obstacle(cls, settings: EngineSettings) -> str | None:
        if settings.device == "gpu" and not cls.has_gpu():
            return "device='gpu' cannot be used here: Paddle finds no GPU; use 'auto' or 'cpu'"
        if settings.precision == "bfloat16":
            if not settings.onednn or (settings.device != "cpu" and cls.has_gpu()):
                return "precision='bfloat16' needs device='cpu' and onednn=True"
            if _lacks_avx512():
                return "this processor has no AVX-512, which bfloat16 needs; use precision='float32'"
        return None

    def _program(self, part: str) -> Any:
        if part not in self._programs:
            from paddle import inference

            files = (str(self.settings.folder / name) for name in program_files("paddle", part))
            config = inference.Config(*files)
            config.disable_glog_info()
            if self.on_gpu:
                config.enable_use_gpu(100, 0)
            else:
                config.set_cpu_math_library_num_threads(self.settings.threads)
                # oneDNN is Paddle's default where it is built in.
                if not self.settings.onednn:
                    config.disable_onednn()
                elif self.settings.precision == "bfloat16":
                    config.enable_onednn_bfloat16()
            self._programs[part] = inference.create_predictor(config)
        return self._programs[part]

    def run(self, part: str, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """See `Engine.run`."""
        program = self._program(part)
        for name, value in inputs.items():
            program.get_input_handle(name).copy_from_cpu(value)
        program.run()
        if not self.on_gpu:  # Paddle leaves one thread behind, also for what is computed dynamically
            set_cpu_threads(cpu_threads())
        return [program.get_output_handle(name).copy_to_cpu() for name in program.get_output_names()]
