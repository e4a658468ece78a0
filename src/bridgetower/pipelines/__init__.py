"""One class per way to use a model: pictures and texts in, plain results out.

Names load on first use, so that a command that only prints its help starts without Paddle.
"""

from __future__ import annotations

from ..lazy_exports import lazy_exports

__all__, __getattr__, __dir__ = lazy_exports(__name__, {
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
})
