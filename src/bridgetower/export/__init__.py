"""Static models: write a checkpoint as three `paddle.inference` programs, and run them.

`predictor` needs neither the model classes nor PaddleNLP; names load on first use so that it starts without them.
"""

from __future__ import annotations

from ..lazy_exports import lazy_exports

__all__, __getattr__, __dir__ = lazy_exports(__name__, {
    "BridgeTowerPredictor": "predictor",
    "ImageFeatures": "predictor",
    "TextFeatures": "predictor",
    "Manifest": "manifest",
    "ExportOptions": "exporter",
    "export_checkpoint": "exporter",
})
