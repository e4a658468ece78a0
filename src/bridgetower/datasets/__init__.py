"""Datasets over arrow files, and the collator that batches their samples. `sampler` and `loader` need Paddle."""

from __future__ import annotations

import importlib
from typing import Any

#: Public names and the modules that define them. They load on first use, so that data preparation, which needs only
#: the descriptions of data sets, starts without OpenCV.
_EXPORTS = {
    "DATASETS": "specs",
    "SKIPPED": "collate",
    "ArrowTable": "arrow",
    "AnswerVocabulary": "answer_vocabulary",
    "Batch": "collate",
    "CifarDataset": "cifar_images",
    "Collator": "collate",
    "DatasetOptions": "image_text",
    "DatasetSpec": "specs",
    "GlueDataset": "glue_texts",
    "ImageTextDataset": "image_text",
    "LabelledDataset": "labelled",
    "Sample": "samples",
    "SampleRecord": "image_text",
    "UnreadableImageError": "unreadable",
    "VqaTarget": "samples",
    "build_dataset": "opening",
}

__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)
