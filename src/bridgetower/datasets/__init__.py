"""Datasets over arrow files and the collator that batches their samples. `sampler` (needs Paddle) stands apart."""

from bridgetower.datasets.answers import AnswerVocabulary
from bridgetower.datasets.arrow import ArrowTable
from bridgetower.datasets.build import build_dataset
from bridgetower.datasets.cifar import CifarDataset
from bridgetower.datasets.collate import SKIPPED, Batch, Collator
from bridgetower.datasets.glue import GlueDataset
from bridgetower.datasets.image_text import DatasetOptions, ImageTextDataset, SampleRecord
from bridgetower.datasets.labelled import LabelledDataset
from bridgetower.datasets.registry import DATASETS, DatasetSpec
from bridgetower.datasets.samples import Sample, VqaTarget
from bridgetower.datasets.unreadable import UnreadableImageError

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
