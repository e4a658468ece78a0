"""What pipelines ask of a model, whether it is a checkpoint or an exported folder.

B texts or pairs, M images, K states per tower, L text tokens, N image tokens, D width, C classes or vector width.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from ..inputs.processor import BridgeTowerImageProcessor
from ..inputs.tokenizer import BridgeTowerTokenizer
from ..known import Device, EngineName, Precision
from ..runtime import paused_collection

__all__ = ["Engine", "Features", "open_engine", "open_engines"]


class Features(Protocol):
    """What a tower made of texts or images, to be fused as often as needed.

    Attributes:
        vectors: (B, C) float32 unit vectors to compare; None for models without contrastive heads.
    """

    @property
    def vectors(self) -> np.ndarray | None: ...

    def take(self, rows: Sequence[int] | np.ndarray) -> Any:
        """Some rows (P,), which may repeat."""


class Engine(Protocol):
    """A model behind numpy arrays.

    Attributes:
        source: where it was read from.
        model_class: name of the class that it is, or was exported from.
        output: what `fuse` returns.
        has_vectors: whether features have `vectors`.
        labels: names of its classes by their numbers, or None.
        images_per_text: images that each text is about: 2 for NLVR2, else 1.
        temperature: what similarities of its vectors are divided by.
    """

    source: Path
    model_class: str
    output: Literal["logits", "scores", "vectors"]
    has_vectors: bool
    labels: list[str] | None
    images_per_text: int
    temperature: float

    @property
    def tokenizer(self) -> BridgeTowerTokenizer:
        """Of the texts."""

    @property
    def image_processor(self) -> BridgeTowerImageProcessor:
        """Of the pictures."""

    def tokenize(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """`input_ids` and `attention_mask` (B, L), padded to the longest text and cut to the model's limit."""

    def encode_text(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> Any:
        """(B, L) and (B, L) -> `Features` of B texts."""

    def encode_image(self, pixel_values: np.ndarray) -> Any:
        """(M, 3, S, S), with two images per text (M, 2, 3, S, S) -> `Features` of M images."""

    def fuse(self, texts: Any, images: Any) -> np.ndarray:
        """Features of P texts and P images -> logits (P, C), scores (P,) or unit vectors (P, C), float32."""

    def words(self, texts: Any, images: Any, rows: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """Features of P texts and P images, and n pairs of a row and a position -> logits (n, V), float32."""

    def first_states(self, features: Any) -> np.ndarray:
        """The projected state of the first token at the highest level, (B, D) float32."""

    def pair_vectors(self, texts: Any, images: Any) -> np.ndarray:
        """Features of P texts and P images -> one vector per pair, (P, C) or (P, 2D), float32."""


def open_engine(source: str | Path, task: str, device: Device = "auto", engine: EngineName = "auto",
                precision: Precision = "float32") -> Engine:
    """Open a model for a task.

    Args:
        source: what `from_pretrained` reads, a name on the Hugging Face hub, or an exported folder.
        task: one of `bridgetower.pipelines.TASK_NAMES`.
        device: `cpu`, `gpu`, or `auto` for the GPU where Paddle is built for one and finds it.
        engine, precision: of an exported folder, see `BridgeTowerPredictor`; a checkpoint runs in Paddle and float32.

    Raises:
        FileNotFoundError: there is no model, or no tokenizer with it.
        ValueError: it has no head for the task; the message says which tasks it can serve. Or the engine or the
            precision cannot be used for it.
    """
    if _is_export(source):
        from .exported_engine import ExportedEngine

        return ExportedEngine(Path(source).expanduser(), task, device, engine, precision)
    _check_checkpoint_options(source, engine, precision)
    with paused_collection():
        from .model_engine import open_model

    return open_model(source, task, device)


def open_engines(source: str | Path, device: Device = "auto", engine: EngineName = "auto",
                 precision: Precision = "float32") -> dict[str, Engine]:
    """Open a model for all tasks that it can serve, its weights in memory once; see `open_engine`."""
    if _is_export(source):
        from .exported_engine import ExportedEngine

        exported = ExportedEngine(Path(source).expanduser(), "feature-extraction", device, engine, precision)
        return dict.fromkeys(exported.tasks, exported)
    _check_checkpoint_options(source, engine, precision)
    with paused_collection():
        from .model_engine import open_models

    return dict(open_models(source, device))


def _check_checkpoint_options(source: str | Path, engine: str, precision: str) -> None:
    from ..export.engines import check_options

    check_options(engine, precision)
    for option, value, only in (("engine", engine, ("auto", "paddle")), ("precision", precision, ("float32",))):
        if value not in only:
            raise ValueError(f"{option}={value!r} is for exported folders, and {source} is none; export it with "
                             "export.py and give the folder that this writes (docs/inference.md)")


def _is_export(source: str | Path) -> bool:
    from ..export.manifest import MANIFEST_FILE

    return (Path(source).expanduser() / MANIFEST_FILE).is_file()
