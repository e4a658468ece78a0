"""BridgeTower on PaddlePaddle: bridges between the encoders of a vision-language model."""

from __future__ import annotations

from typing import Any

from .auto_classes import install
from .lazy_exports import lazy_exports
from .sources import register_readers

#: Public names and the modules that define them. They load on first use, so that data preparation, which needs no
#: model, starts without Paddle.
__all__, __getattr__, __dir__ = lazy_exports(__name__, {
    "BridgeTowerConfig": "config",
    "BridgeTowerTextConfig": "config",
    "BridgeTowerVisionConfig": "config",
    "BridgeTowerModel": "modules",
    "BridgeTowerForPreTraining": "modules",
    "BridgeTowerForMaskedLM": "modules",
    "BridgeTowerForImageAndTextRetrieval": "modules",
    "BridgeTowerForContrastiveLearning": "modules",
    "BridgeTowerForQuestionAnswering": "modules",
    "BridgeTowerForVisualEntailment": "modules",
    "BridgeTowerForImageAndTextClassification": "modules",
    "BridgeTowerForImagesAndTextClassification": "modules",
    "BridgeTowerForContrastiveRetrieval": "modules",
    "BridgeTowerForRetrievalRanking": "modules",
    "BridgeTowerForImageClassification": "modules",
    "BridgeTowerForSequenceClassification": "modules",
    "BridgeTowerImageProcessor": "inputs",
    "BridgeTowerImageProcessorFast": "inputs",
    "BridgeTowerProcessor": "inputs",
    "BridgeTowerTokenizer": "inputs",
    "pipeline": "pipelines",
})
__version__ = "0.1.0"


def _readers() -> Any:
    from . import conversion

    return conversion


register_readers(_readers)
install()
