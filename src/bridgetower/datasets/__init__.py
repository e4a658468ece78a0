"""Datasets over arrow files, and the collator that batches their samples. `sampler` and `loader` need Paddle."""

from __future__ import annotations

from ..lazy_exports import lazy_exports

#: Public names and the modules that define them. They load on first use, so that data preparation, which needs only
#: the descriptions of data sets, starts without OpenCV.
__all__, __getattr__, __dir__ = lazy_exports(__name__, {
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
})
