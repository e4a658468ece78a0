"""Static models: write a checkpoint as three `paddle.inference` programs, and run them.

`predictor` needs neither the model classes nor PaddleNLP; names load on first use so that it starts without them.
"""

from __future__ import annotations

import importlib
from typing import Any

_EXPORTS = {
    "BridgeTowerPredictor": "predictor",
    "ImageFeatures": "predictor",
    "TextFeatures": "predictor",
    "Manifest": "manifest",
    "ExportOptions": "exporter",
    "export_checkpoint": "exporter",
}

__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'bridgetower.export' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)
