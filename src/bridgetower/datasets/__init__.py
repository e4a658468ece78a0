"""Datasets over arrow files and the collator that batches their samples. `sampler` (needs Paddle) stands apart."""

from bridgetower.datasets.answer_vocabulary import AnswerVocabulary
from bridgetower.datasets.arrow import ArrowTable
from bridgetower.datasets.build_dataset import build_dataset
from bridgetower.datasets.cifar_images import CifarDataset
from bridgetower.datasets.collate import SKIPPED, Batch, Collator
from bridgetower.datasets.glue_texts import GlueDataset
from bridgetower.datasets.image_text import DatasetOptions, ImageTextDataset, SampleRecord
from bridgetower.datasets.labelled import LabelledDataset
from bridgetower.datasets.samples import Sample, VqaTarget
from bridgetower.datasets.specs import DATASETS, DatasetSpec
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
