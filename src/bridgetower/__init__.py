"""BridgeTower on PaddlePaddle: bridges between the encoders of a vision-language model."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from .auto_classes import install
from .lazy_exports import lazy_exports
from .sources import register_normalization_reader, register_reader, register_settings_reader

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
    "BridgeTowerProcessor": "inputs",
    "BridgeTowerTokenizer": "inputs",
    "pipeline": "pipelines",
})
__version__ = "0.1.0"


def _load_weights(source: str | Path, allow_nonfinite: bool, options: Mapping[str, Any]) -> Any:
    from .conversion import load_weights

    return load_weights(source, allow_nonfinite, options)


def _load_settings(source: str | PathLike[str], options: Mapping[str, Any]) -> dict[str, Any]:
    from .conversion import load_settings

    return load_settings(source, options)


def _load_normalization(source: str | PathLike[str], options: Mapping[str, Any]) -> Any:
    from .conversion import load_normalization

    return load_normalization(source, options)


register_reader(_load_weights)
register_normalization_reader(_load_normalization)
register_settings_reader(_load_settings)
install()
