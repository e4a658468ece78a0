"""Run an exported folder with `paddle.inference`; towers once, their features as often as needed.

B texts or pairs, M images, K states a tower, L text tokens, N image tokens, D width, C width of compared vectors.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..inputs.picture_arrays import ImageInput
from ..inputs.processor import BridgeTowerProcessor
from ..runtime import cpu_threads, set_cpu_threads
from .manifest import LABELS_FILE, Manifest

__all__ = ["BridgeTowerPredictor", "ImageFeatures", "TextFeatures"]


@dataclass(frozen=True)
class TextFeatures:
    """What the fusion reads of texts.

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
    """What the fusion reads of images.

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
        device: `cpu`, `gpu`, or `auto` for the GPU where Paddle is built for one and finds it.
        threads: threads on a CPU; None: as many as the process may use cores.
        onednn: run on a CPU with oneDNN instead of Paddle's own kernels.
        bfloat16: compute products in bfloat16 on a CPU: faster and less exact; needs oneDNN and a processor that has
            at least AVX-512.

    Attributes:
        manifest: what `export.json` says.
        processor: what prepares texts and pictures.
        labels: names of the classes, or None.

    Raises:
        FileNotFoundError: the folder is no export, or is not complete.
        ValueError: options that exclude each other.
    """

    def __init__(self, folder: str | os.PathLike[str], device: Literal["auto", "cpu", "gpu"] = "auto",
                 threads: int | None = None, onednn: bool = True, bfloat16: bool = False) -> None:
        import paddle

        self.folder = Path(folder).expanduser()
        self.manifest = Manifest.read(self.folder)
        has_gpu = paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0
        if device not in ("auto", "cpu", "gpu") or (device == "gpu" and not has_gpu):
            raise ValueError(f"device={device!r} cannot be used here; use 'auto', 'cpu'" + (" or 'gpu'" * has_gpu))
        self.on_gpu = has_gpu and device != "cpu"
        threads = _cores() if threads is None else threads
        if threads < 1:
            raise ValueError(f"threads={threads} must be 1 or more")
        if bfloat16 and (self.on_gpu or not onednn):
            raise ValueError("bfloat16=True needs device='cpu' and onednn=True")
        self.threads, self.onednn, self.bfloat16 = threads, onednn, bfloat16
        labels = self.folder / LABELS_FILE
        self.labels: list[str] | None = json.loads(labels.read_text(encoding="utf-8")) if labels.is_file() else None
        self.processor = BridgeTowerProcessor.from_pretrained(self.folder)
        self._programs: dict[str, Any] = {}

    def _program(self, part: str) -> Any:
        if part not in self._programs:
            from paddle import inference

            config = inference.Config(str(self.folder / f"{part}.json"), str(self.folder / f"{part}.pdiparams"))
            config.disable_glog_info()
            if self.on_gpu:
                config.enable_use_gpu(100, 0)
            else:
                config.set_cpu_math_library_num_threads(self.threads)
                # oneDNN is Paddle's default where it is built in.
                if not self.onednn:
                    config.disable_onednn()
                elif self.bfloat16:
                    config.enable_onednn_bfloat16()
            self._programs[part] = inference.create_predictor(config)
        return self._programs[part]

    def _run(self, part: str, **inputs: np.ndarray) -> list[np.ndarray]:
        program = self._program(part)
        for name, value in inputs.items():
            program.get_input_handle(name).copy_from_cpu(np.ascontiguousarray(value))
        program.run()
        if not self.on_gpu:  # Paddle leaves one thread behind, also for what is computed dynamically
            set_cpu_threads(cpu_threads())
        return [program.get_output_handle(name).copy_to_cpu() for name in program.get_output_names()]

    def tokenize(self, texts: str | Sequence[str]) -> dict[str, np.ndarray]:
        """`input_ids` and `attention_mask` (B, L) of texts, cut to the manifest's `max_text_len`."""
        return self.processor.tokenizer(texts if isinstance(texts, str) else list(texts), padding=True, truncation=True,
                                        max_length=self.manifest.max_text_len, return_token_type_ids=False,
                                        return_tensors="np")

    def prepare_images(self, images: ImageInput | Sequence[ImageInput]) -> np.ndarray:
        """`pixel_values` (M, 3, S, S) of pictures: PIL images of any mode, or uint8 arrays."""
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
        """Run the image tower on (M, 3, S, S) float32.

        Raises:
            ValueError: another shape.
        """
        pixels, size = np.asarray(pixel_values, np.float32), self.manifest.image_size
        if pixels.ndim != 4 or pixels.shape[1:] != (3, size, size) or not pixels.size:
            raise ValueError(f"pixel_values has shape {pixels.shape}, {self.folder} was exported for (images, 3, "
                             f"{size}, {size})")
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
                raise ValueError(f"{num_texts} texts but {num_images} images; give one image a text (see `take`), or "
                                 "one of either for all of the others")
            rows = np.zeros(max(num_texts, num_images), np.int64)
            texts, images = (texts.take(rows), images) if num_texts == 1 else (texts, images.take(rows))
        return self._run("fusion", text_states=texts.states, image_states=images.states,
                         attention_mask=texts.attention_mask)[0]

    def __call__(self, texts: str | Sequence[str], images: ImageInput | Sequence[ImageInput]) -> np.ndarray:
        """Texts and pictures to what `fuse` returns; one picture for several texts passes its tower once."""
        return self.fuse(self.encode_text(**self.tokenize(texts)), self.encode_image(self.prepare_images(images)))

    def best_labels(self, logits: np.ndarray) -> list[str]:
        """The best class of each row of (P, classes) by its name, or by its number where classes have no names."""
        best = np.asarray(logits).argmax(axis=-1)
        return [str(index) if self.labels is None else self.labels[index] for index in best]
