"""Run an exported folder: towers once, their features as often as needed.

B texts or pairs, M images, K states per tower, L text tokens, N image tokens, D width, C width of compared vectors.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..inputs.picture_arrays import ImageInput
from ..inputs.processor import BridgeTowerProcessor
from ..known import Device, EngineName, Precision
from .engines import EngineSettings, open_engine
from .manifest import LABELS_FILE, Manifest

__all__ = ["BridgeTowerPredictor", "ImageFeatures", "TextFeatures"]


@dataclass(frozen=True)
class TextFeatures:
    """What the fusion needs of texts.

    Attributes:
        states: (B, K, L, D) float32, projected states of the text tower.
        attention_mask: (B, L) int64, 1 = real token.
        vectors: (B, C) float32 unit vectors to compare with those of images; None for models without them.
    """

    states: np.ndarray
    attention_mask: np.ndarray
    vectors: np.ndarray | None = None

    def take(self, rows: Sequence[int] | np.ndarray) -> TextFeatures:
        """The texts of some rows (P,), which may repeat."""
        return TextFeatures(self.states[rows], self.attention_mask[rows], _take(self.vectors, rows))


@dataclass(frozen=True)
class ImageFeatures:
    """What the fusion needs of images.

    Attributes:
        states: (M, K, N, D) float32, projected states of the image tower.
        vectors: (M, C) float32 unit vectors to compare with those of texts; None for models without them.
    """

    states: np.ndarray
    vectors: np.ndarray | None = None

    def take(self, rows: Sequence[int] | np.ndarray) -> ImageFeatures:
        """The images of some rows (P,), which may repeat."""
        return ImageFeatures(self.states[rows], _take(self.vectors, rows))


def _take(vectors: np.ndarray | None, rows: Sequence[int] | np.ndarray) -> np.ndarray | None:
    return None if vectors is None else vectors[rows]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class BridgeTowerPredictor:
    """The programs of one exported folder; each is loaded when it is first used.

    One predictor serves one thread at a time.

    Args:
        folder: what `export_checkpoint` wrote.
        engine: what runs the programs: `paddle`, `onnxruntime`, `openvino`, or `auto` for the fastest that is
            installed, finds its files in the folder and suits the processor; the log says which and why.
        precision: of matrix products on a CPU: `float32`, or less exact `bfloat16` (with `paddle` and `openvino`, where
            the processor supports it) or `int8` (with `onnxruntime`, from an export with that format).
        device: `cpu`, `gpu`, or `auto` for the GPU where Paddle is built for one and finds it.
        threads: threads on a CPU; None: as many as the cores that the process may use.
        onednn: whether the engine `paddle` runs with oneDNN on a CPU, instead of Paddle's own kernels.

    Attributes:
        engine: what runs the programs.
        manifest: what `export.json` says.
        processor: what prepares texts and pictures.
        labels: names of the classes, or None.

    Raises:
        FileNotFoundError: the folder is no export, or is not complete.
        ValueError: an engine or a precision that cannot be used here, or options that exclude each other.
    """

    def __init__(self, folder: str | os.PathLike[str],
                 engine: EngineName = "auto", precision: Precision = "float32", device: Device = "auto",
                 threads: int | None = None, onednn: bool = True) -> None:
        self.folder = Path(folder).expanduser()
        self.manifest = Manifest.read(self.folder)
        threads = _cores() if threads is None else threads
        if threads < 1:
            raise ValueError(f"threads={threads} must be 1 or more")
        self.engine = open_engine(engine, EngineSettings(self.folder, self.manifest.formats, precision, device, threads,
                                                         onednn))
        labels = self.folder / LABELS_FILE
        self.labels: list[str] | None = json.loads(labels.read_text(encoding="utf-8")) if labels.is_file() else None
        self.processor = BridgeTowerProcessor.from_pretrained(self.folder)

    def _run(self, part: str, **inputs: np.ndarray) -> list[np.ndarray]:
        return self.engine.run(part, {name: np.ascontiguousarray(value) for name, value in inputs.items()})

    def tokenize(self, texts: str | Sequence[str]) -> dict[str, np.ndarray]:
        """`input_ids` and `attention_mask` (B, L) of texts, cut to the manifest's `max_text_len`."""
        return self.processor.tokenizer(texts if isinstance(texts, str) else list(texts), padding=True, truncation=True,
                                        max_length=self.manifest.max_text_len, return_token_type_ids=False,
                                        return_tensors="np")

    def prepare_images(self, images: ImageInput | Sequence[ImageInput]) -> np.ndarray:
        """`pixel_values` (M, 3, S, S), or (M, 1, S, S), of pictures: PIL images of any mode, or uint8 arrays."""
        return self.processor.image_processor(images, "np")["pixel_values"]

    def encode_text(self, input_ids: np.ndarray, attention_mask: np.ndarray | None = None) -> TextFeatures:
        """Run the text tower.

        Args:
            input_ids: (B, L) integers.
            attention_mask: (B, L), 1 = real token; None: all but padding.

        Raises:
            ValueError: another shape, or texts longer than the position table.
        """
        ids = np.asarray(input_ids, np.int64)
        if ids.ndim != 2 or not ids.size:
            raise ValueError(f"input_ids has shape {ids.shape}, expected (texts, tokens)")
        if ids.shape[1] > self.manifest.max_positions:
            raise ValueError(f"texts have {ids.shape[1]} tokens, the position table of {self.folder} holds "
                             f"{self.manifest.max_positions}; cut them")
        mask = np.asarray(ids != self.manifest.pad_token_id if attention_mask is None else attention_mask, np.int64)
        if mask.shape != ids.shape:
            raise ValueError(f"attention_mask has shape {mask.shape}, input_ids {ids.shape}; they must be equal")
        outputs = self._run("text", input_ids=ids, attention_mask=mask)
        return TextFeatures(outputs[0], mask, outputs[1] if self.manifest.has_vectors else None)

    def encode_image(self, pixel_values: np.ndarray) -> ImageFeatures:
        """Run the image tower on (M, 3, S, S) float32, or on (M, 1, S, S) if the model reads one channel.

        Raises:
            ValueError: another shape.
        """
        pixels, size = np.asarray(pixel_values, np.float32), self.manifest.image_size
        wanted = (self.manifest.num_channels, size, size)
        if pixels.ndim != 4 or pixels.shape[1:] != wanted or not pixels.size:
            raise ValueError(f"pixel_values has shape {pixels.shape}, {self.folder} was exported for (images, "
                             f"{', '.join(map(str, wanted))})")
        outputs = self._run("image", pixel_values=pixels)
        return ImageFeatures(outputs[0], outputs[1] if self.manifest.has_vectors else None)

    def fuse(self, texts: TextFeatures, images: ImageFeatures) -> np.ndarray:
        """Run the cross-modal layers and the head on pairs.

        Args:
            texts: P texts, or one that meets all images.
            images: P images, or one that meets all texts.

        Returns:
            By the manifest's `output`: `logits` (P, classes), of MLM (P, L, words); `scores` (P,), higher is a better
            match; `vectors` (P, C), of unit length.

        Raises:
            ValueError: the numbers differ and neither is one.
        """
        num_texts, num_images = len(texts.states), len(images.states)
        if num_texts != num_images:
            if 1 not in (num_texts, num_images):
                raise ValueError(f"{num_texts} texts but {num_images} images; give one image per text (see `take`), or "
                                 "one of either for all of the others")
            rows = np.zeros(max(num_texts, num_images), np.int64)
            texts, images = (texts.take(rows), images) if num_texts == 1 else (texts, images.take(rows))
        return self._run("fusion", text_states=texts.states, image_states=images.states,
                         attention_mask=texts.attention_mask)[0]

    def __call__(self, texts: str | Sequence[str], images: ImageInput | Sequence[ImageInput]) -> np.ndarray:
        """What `fuse` returns for texts and pictures, of shape (P, ...) for P pairs.

        One picture for several texts passes its tower once.
        """
        return self.fuse(self.encode_text(**self.tokenize(texts)), self.encode_image(self.prepare_images(images)))

    def best_labels(self, logits: np.ndarray) -> list[str]:
        """The best class of each row of (P, classes) by its name, or by its number where classes have no names."""
        best = np.asarray(logits).argmax(axis=-1)
        return [str(index) if self.labels is None else self.labels[index] for index in best]
