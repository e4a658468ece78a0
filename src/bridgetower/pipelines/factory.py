"""From a task and a model to a pipeline."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ..known import Device, EngineName, Precision
from ..runtime import tune_cpu
from .base_pipeline import Pipeline
from .engine import open_engine
from .feature_extraction import FeatureExtractionPipeline
from .fill_mask import FillMaskPipeline
from .image_text_classification import ImageTextClassificationPipeline
from .image_text_matching import ImageTextMatchingPipeline
from .one_tower import ImageClassificationPipeline, TextClassificationPipeline
from .served import check_task
from .visual_question_answering import VisualQuestionAnsweringPipeline
from .zero_shot import ZeroShotImageClassificationPipeline

__all__ = ["PIPELINES", "pipeline"]

PIPELINES: dict[str, type[Pipeline]] = {one.task: one for one in (
    VisualQuestionAnsweringPipeline, FillMaskPipeline, ImageTextMatchingPipeline, ZeroShotImageClassificationPipeline,
    ImageTextClassificationPipeline, FeatureExtractionPipeline, ImageClassificationPipeline,
    TextClassificationPipeline)}


def pipeline(task: str, model: str | Path, device: Device = "auto", engine: EngineName = "auto",
             precision: Precision = "float32", **options: Any) -> Any:
    """Open a model for a task; what is returned is called with pictures and texts.

    Args:
        task: one of `bridgetower.pipelines.TASK_NAMES`, most of which are names of `transformers`.
        model: what `from_pretrained` reads, a name on the Hugging Face hub, or an exported folder. Its heads decide
            which model class is built.
        device: `cpu`, `gpu`, or `auto` for the GPU where Paddle is built for one and finds it.
        engine, precision: what runs an exported folder, and how exact its matrix products are, see
            `BridgeTowerPredictor`; a checkpoint runs in Paddle and float32.
        options: `batch_size`, `on_error`, `allow_urls` and `progress`, see `Pipeline`.

    Raises:
        FileNotFoundError: there is no model, or no tokenizer with it.
        ValueError: an unknown task, or one that the model has no head for; the message says which it can serve. Or the
            engine or the precision cannot be used for the model.
    """
    check_task(task)
    if "paddle" not in sys.modules:  # later its settings have no effect
        tune_cpu()
    return PIPELINES[task](open_engine(model, task, device, engine, precision), **options)
