"""An exported folder as an engine of pipelines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..conversion.readers.checkpoint import read_json
from ..export.predictor import BridgeTowerPredictor, ImageFeatures, TextFeatures
from ..inputs.processor import BridgeTowerImageProcessor
from ..inputs.tokenizer import BridgeTowerTokenizer
from ..known import Device, EngineName, Precision
from .served import check_task, describe_served

__all__ = ["ExportedEngine"]

#: What each task of an export can serve.
_SERVED = {"itm": ("image-text-matching", "zero-shot-image-classification", "feature-extraction"),
           "vqa": ("visual-question-answering", "image-text-classification", "feature-extraction"),
           "snli": ("image-text-classification", "feature-extraction"),
           "mlm": ("fill-mask", "feature-extraction"),
           "retrieval": ("image-text-matching", "zero-shot-image-classification", "feature-extraction")}


class ExportedEngine:
    """See `Engine`; one engine serves one thread at a time.

    Attributes:
        tasks: those that the folder can serve.
    """

    images_per_text = 1

    def __init__(self, folder: Path, task: str, device: Device = "auto", engine: EngineName = "auto",
                 precision: Precision = "float32") -> None:
        check_task(task)
        self.predictor = BridgeTowerPredictor(folder, engine, precision, device)
        manifest = self.predictor.manifest
        self.source, self.model_class, self.labels = folder, manifest.model_class, self.predictor.labels
        self.output: Any = manifest.output
        self.has_vectors = manifest.has_vectors
        self.tasks = [name for name in _SERVED[manifest.task]
                      if name != "image-text-matching" or manifest.output != "vectors"]
        if task not in self.tasks:
            raise ValueError(f"{folder}, exported for {manifest.task}, has no head for {task}; "
                             f"{describe_served(self.tasks)}")
        # Programs do not hold the trained temperature; the order of the classes does not depend on it.
        self.temperature = float(read_json(folder / "config.json").get("initial_temperature", 0.07))

    @property
    def tokenizer(self) -> BridgeTowerTokenizer:
        """Of the texts."""
        return self.predictor.processor.tokenizer

    @property
    def image_processor(self) -> BridgeTowerImageProcessor:
        """Of the pictures."""
        return self.predictor.processor.image_processor

    def tokenize(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """See `Engine`: B texts -> (B, L) each."""
        encoded = self.predictor.tokenize(list(texts))
        return {name: encoded[name] for name in ("input_ids", "attention_mask")}

    def encode_text(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> TextFeatures:
        """(B, L) and (B, L) -> features of B texts."""
        return self.predictor.encode_text(input_ids, attention_mask)

    def encode_image(self, pixel_values: np.ndarray) -> ImageFeatures:
        """(M, 3, S, S) -> features of M images."""
        return self.predictor.encode_image(pixel_values)

    def fuse(self, texts: TextFeatures, images: ImageFeatures) -> np.ndarray:
        """P texts and P images -> what the manifest's `output` says."""
        return self.predictor.fuse(texts, images)

    def words(self, texts: TextFeatures, images: ImageFeatures, rows: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """P texts and P images, n positions -> logits (n, V)."""
        return self.predictor.fuse(texts, images)[rows, positions]

    def first_states(self, features: TextFeatures | ImageFeatures) -> np.ndarray:
        """States (B, K, L, D) -> (B, D)."""
        return features.states[:, -1, 0]

    def pair_vectors(self, texts: TextFeatures, images: ImageFeatures) -> np.ndarray:
        """P texts and P images -> unit vectors (P, C).

        Raises:
            ValueError: the folder was exported for a task that returns no vectors of pairs.
        """
        if self.output != "vectors":
            raise ValueError(f"{self.source}, exported for {self.predictor.manifest.task}, returns no vectors of "
                             "pairs; give the checkpoint that it was made from")
        return self.predictor.fuse(texts, images)
