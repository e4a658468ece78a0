"""Choose the engine: the one that is asked for, or the fastest that can run here."""

from __future__ import annotations

import importlib.metadata
import logging
from typing import get_args

from ...known import Device, EngineName, Precision, nearest
from .interface import Engine, EngineSettings
from .onnxruntime_engine import OnnxRuntimeEngine
from .openvino_engine import OpenVinoEngine
from .paddle_engine import PaddleEngine

__all__ = ["ENGINES", "check_options", "open_engine"]

logger = logging.getLogger(__name__)

#: By name, the fastest on a CPU first (docs/inference.md has the measurements).
ENGINES: dict[str, type[Engine]] = {
    engine.name: engine for engine in (OpenVinoEngine, OnnxRuntimeEngine, PaddleEngine)
}


def check_options(engine: str, precision: str, device: str = "auto") -> None:
    """Raise ValueError, with the nearest known name, where one of the options has no meaning."""
    for option, value, names in (("engine", engine, EngineName), ("precision", precision, Precision),
                                 ("device", device, Device)):
        known = get_args(names)
        if value not in known:
            raise ValueError(f"{option}={value!r} is none of {', '.join(known)}{nearest(value, known)}")


def open_engine(name: str, settings: EngineSettings) -> Engine:
    """The engine of that name, or with `auto` the fastest that can run here; the log says which and why.

    Raises:
        ValueError: an unknown name or option, or an engine that cannot be used; the message says why.
    """
    check_options(name, settings.precision, settings.device)
    if name == "auto":
        return _fastest(settings)
    if (reason := ENGINES[name].obstacle(settings)) is not None:
        raise ValueError(f"engine={name!r} cannot be used: {reason}")
    return ENGINES[name](settings)


def _fastest(settings: EngineSettings) -> Engine:
    order = list(ENGINES.values())
    if settings.device != "cpu" and _may_have_gpu():
        order.sort(key=lambda engine: engine is not PaddleEngine)  # the only one that uses the GPU
    obstacles: dict[str, str] = {}
    for engine in order:
        reason = engine.obstacle(settings)
        if reason is None:
            slower = "".join(f"; not {other}: {why}" for other, why in obstacles.items())
            logger.info("engine %s in %s, the fastest that can run here%s", engine.name, settings.precision, slower)
            return engine(settings)
        obstacles[engine.name] = reason
    raise ValueError(f"no engine can run {settings.folder} in {settings.precision}: "
                     + "; ".join(f"{engine}: {reason}" for engine, reason in obstacles.items()))


def _may_have_gpu() -> bool:
    """Whether Paddle's GPU build is installed and finds a GPU; the CPU build is not imported to know."""
    try:
        importlib.metadata.version("paddlepaddle-gpu")
    except importlib.metadata.PackageNotFoundError:
        return False
    return PaddleEngine.has_gpu()
