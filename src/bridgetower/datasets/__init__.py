"""Datasets over arrow files, and the collator that batches their samples. `sampler` and `loader` need Paddle."""

from .answer_vocabulary import AnswerVocabulary
from .arrow import ArrowTable
from .cifar_images import CifarDataset
from .collate import SKIPPED, Batch, Collator
from .glue_texts import GlueDataset
from .image_text import DatasetOptions, ImageTextDataset, SampleRecord
from .labelled import LabelledDataset
from .opening import build_dataset
from .samples import Sample, VqaTarget
from .specs import DATASETS, DatasetSpec
from .unreadable import UnreadableImageError

__all__ = [
    "DATASETS",
    "SKIPPED",
    "ArrowTable",
    "AnswerVocabulary",
    "Batch",
    "CifarDataset",
    "Collator",
    "DatasetOptions",
    "DatasetSpec",
    "GlueDataset",
    "ImageTextDataset",
    "LabelledDataset",
    "Sample",
    "SampleRecord",
    "UnreadableImageError",
    "VqaTarget",
    "build_dataset",
]
