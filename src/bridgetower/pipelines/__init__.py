"""One class per way to use a model: pictures and texts in, plain results out.

Names load on first use, so that a command that only prints its help starts without Paddle.
"""

from __future__ import annotations

import importlib
from typing import Any

_EXPORTS = {
    "pipeline": "factory",
    "Pipeline": "base_pipeline",
    "VisualQuestionAnsweringPipeline": "visual_question_answering",
    "FillMaskPipeline": "fill_mask",
    "ImageTextMatchingPipeline": "image_text_matching",
    "ZeroShotImageClassificationPipeline": "zero_shot",
    "ImageTextClassificationPipeline": "image_text_classification",
    "FeatureExtractionPipeline": "feature_extraction",
    "ImageClassificationPipeline": "one_tower",
    "TextClassificationPipeline": "one_tower",
    "TASK_NAMES": "served",
}

__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'bridgetower.pipelines' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)
