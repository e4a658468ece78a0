"""A checkpoint as an engine of pipelines: the one file here that knows the model classes.

B texts or pairs, M images, K states per tower, L text tokens, N image tokens, D width, C classes or vector width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import Tensor

from .. import modules
from ..config import BridgeTowerConfig
from ..conversion import load_weights, local_path
from ..experiment import DataSettings
from ..export.companions import find_processor, find_tokenizer, trained_text_len
from ..inputs.processor import BridgeTowerImageProcessor
from ..inputs.tokenizer import BridgeTowerTokenizer
from ..known import Device
from ..modules.loading import build_undrawn, load_into
from .served import Served, check_task, choose, describe_served, served_tasks

__all__ = ["ModelEngine", "ModelFeatures", "OneTowerEngine", "TwoImagesEngine", "open_model", "open_models"]

_NLVR2 = "BridgeTowerForImagesAndTextClassification"
_FIXED_LABELS = {"BridgeTowerForImageAndTextRetrieval": ["no match", "match"],
                 "BridgeTowerForVisualEntailment": ["contradiction", "neutral", "entailment"]}
#: Of classes whose checkpoints may name others.
_DEFAULT_LABELS = {_NLVR2: ["False", "True"]}
_CONTRASTIVE = ("BridgeTowerForContrastiveLearning", "BridgeTowerForContrastiveRetrieval", "BridgeTowerForPreTraining")
_OUTPUTS = {"BridgeTowerForRetrievalRanking": "scores", "BridgeTowerForContrastiveRetrieval": "scores",
            "BridgeTowerForContrastiveLearning": "vectors", "BridgeTowerForPreTraining": "vectors"}


@dataclass(frozen=True)
class ModelFeatures:
    """Projected states of texts or images on the device of the model.

    Attributes:
        states: K tensors (B, L, D) of texts or (M, N, D) of images; of two images per text 2K.
        attention_mask: (B, L) of texts.
        vectors: see `Features`.
    """

    states: list[Tensor]
    attention_mask: Tensor | None = None
    vectors: np.ndarray | None = None

    def take(self, rows: Sequence[int] | np.ndarray) -> ModelFeatures:
        """Some rows (P,), which may repeat."""
        index = paddle.to_tensor(np.asarray(rows, np.int64))
        return ModelFeatures([state.index_select(index) for state in self.states],
                             None if self.attention_mask is None else self.attention_mask.index_select(index),
                             None if self.vectors is None else self.vectors[np.asarray(rows)])


def _numbers(tensor: Tensor) -> np.ndarray:
    return tensor.astype("float32").numpy()


class ModelEngine:
    """See `Engine`.

    Attributes:
        model: the model, in evaluation mode.
    """

    images_per_text = 1

    def __init__(self, model: Any, source: Path) -> None:
        self.model, self.source = model, source
        self.config: BridgeTowerConfig = model.config
        self.base: Any = getattr(model, "bridgetower", model)
        self.model_class = type(model).__name__
        self.output: Any = _OUTPUTS.get(self.model_class, "logits")
        self.has_vectors = self.model_class in _CONTRASTIVE
        self.labels = (_FIXED_LABELS.get(self.model_class) or _named_labels(self.config)
                       or _DEFAULT_LABELS.get(self.model_class))
        self.temperature = _temperature(model)

    @cached_property
    def tokenizer(self) -> BridgeTowerTokenizer:
        """Of the texts: the one beside the checkpoint."""
        return find_tokenizer(self.source, None, self.config)

    @cached_property
    def image_processor(self) -> BridgeTowerImageProcessor:
        """Of the pictures: the one beside the checkpoint, or evaluation's `clip` transform."""
        vision = self.config.vision_config
        return find_processor(self.source, None, vision.image_size, vision.num_channels)

    @cached_property
    def max_text_len(self) -> int:
        """Tokens that a text is cut to: as in the training of the checkpoint, where its settings are beside it."""
        text = self.config.text_config
        positions = text.max_position_embeddings - (text.pad_token_id + 1 if text.kind == "roberta" else 0)
        return min(trained_text_len(self.source) or DataSettings.max_text_len, positions)

    def tokenize(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """See `Engine`: B texts -> (B, L) each."""
        encoded = self.tokenizer(list(texts), padding=True, truncation=True, max_length=self.max_text_len,
                                 return_tensors="np")
        return {name: encoded[name] for name in ("input_ids", "attention_mask")}

    @paddle.no_grad()
    def encode_text(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> ModelFeatures:
        """(B, L) and (B, L) -> features of B texts."""
        mask = paddle.to_tensor(attention_mask)
        states = self.base.encode_text(paddle.to_tensor(input_ids), mask)
        vectors = _numbers(self.model.embed_text(states)) if self.has_vectors else None
        return ModelFeatures(self.base.project_text(states), mask, vectors)

    @paddle.no_grad()
    def encode_image(self, pixel_values: np.ndarray) -> ModelFeatures:
        """(M, 3, S, S) -> features of M images."""
        states = self.base.encode_image(paddle.to_tensor(pixel_values))
        projected = self.base.project_image(states)
        vectors = None
        if self.has_vectors:
            # The Hugging Face port compares projected states, the original those of the tower.
            reads_projected = self.model_class == "BridgeTowerForContrastiveLearning"
            vectors = _numbers(self.model.embed_image(projected if reads_projected else states))
        return ModelFeatures(projected, vectors=vectors)

    def _fuse(self, texts: ModelFeatures, images: ModelFeatures, **unread: bool) -> Any:
        return self.base.fuse(texts.states, images.states, texts.attention_mask, **unread)

    @paddle.no_grad()
    def fuse(self, texts: ModelFeatures, images: ModelFeatures) -> np.ndarray:
        """P texts and P images -> by `output` logits (P, C), scores (P,) or unit vectors (P, C)."""
        if self.output == "vectors":
            return self.pair_vectors(texts, images)
        pooled = self._fuse(texts, images, first_token_only=True).pooler_output
        if self.output == "scores":
            return _numbers(self.model.match_scores(pooled))
        head = self.model.classifier if hasattr(self.model, "classifier") else self.model.itm_head
        return _numbers(head(pooled))

    @paddle.no_grad()
    def words(self, texts: ModelFeatures, images: ModelFeatures, rows: np.ndarray, positions: np.ndarray
              ) -> np.ndarray:
        """P texts and P images, n positions -> logits (n, V); no other position is scored."""
        features = self._fuse(texts, images, text_only=True).text_features
        index = paddle.to_tensor(np.stack([rows, positions], axis=1).astype(np.int64))
        return _numbers(self.model.mlm_head(features.gather_nd(index)))

    def first_states(self, features: ModelFeatures) -> np.ndarray:
        """K states (B, L, D) -> (B, D)."""
        return _numbers(features.states[-1][:, 0])

    @paddle.no_grad()
    def pair_vectors(self, texts: ModelFeatures, images: ModelFeatures) -> np.ndarray:
        """P texts and P images -> unit vectors (P, C) where the class has a head for them, else pooled (P, 2D)."""
        pooled = self._fuse(texts, images, first_token_only=True).pooler_output
        return _numbers(self.model.embed_pair(pooled) if hasattr(self.model, "embed_pair") else pooled)


class TwoImagesEngine(ModelEngine):
    """NLVR2: each text is about two images, which have token types 1 and 2."""

    images_per_text = 2

    @paddle.no_grad()
    def encode_image(self, pixel_values: np.ndarray) -> ModelFeatures:
        """(M, 2, 3, S, S) -> features of M pairs of images."""
        left, right = paddle.to_tensor(pixel_values[:, 0]), paddle.to_tensor(pixel_values[:, 1])
        states = self.base.encode_image(paddle.concat([left, right]))
        count = pixel_values.shape[0]
        return ModelFeatures([*self.base.project_image([state[:count] for state in states], token_type=1),
                              *self.base.project_image([state[count:] for state in states], token_type=2)])

    @paddle.no_grad()
    def fuse(self, texts: ModelFeatures, images: ModelFeatures) -> np.ndarray:
        """P texts and P pairs of images -> logits (P, 2)."""
        half = len(images.states) // 2
        views = [ModelFeatures(states) for states in (images.states[:half], images.states[half:])]
        pooled = [self._fuse(texts, view, first_token_only=True).pooler_output for view in views]
        return _numbers(self.model.classifier(paddle.concat(pooled, axis=-1)))


class OneTowerEngine(ModelEngine):
    """A tower alone with a classifier: of images, or of texts."""

    @paddle.no_grad()
    def classify_images(self, pixel_values: np.ndarray) -> np.ndarray:
        """(M, 3, S, S) -> logits (M, C)."""
        return _numbers(self.model(pixel_values=paddle.to_tensor(pixel_values)).logits)

    @paddle.no_grad()
    def classify_texts(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """(B, L) and (B, L) -> logits (B, C)."""
        return _numbers(self.model(paddle.to_tensor(input_ids), paddle.to_tensor(attention_mask)).logits)


@dataclass(frozen=True)
class _Checkpoint:
    path: Path
    tensors: dict[str, np.ndarray]
    config: BridgeTowerConfig

    @property
    def names(self) -> set[str]:
        return {name.removeprefix("bridgetower.") for name in self.tensors}

    @property
    def architectures(self) -> list[str]:
        """The classes that it names; one with three token types that names none is NLVR2's."""
        return self.config.architectures or ([_NLVR2] if self.config.token_type_vocab_size > 2 else [])


def open_model(source: str | Path, task: str, device: Device = "auto") -> ModelEngine:
    """Read a checkpoint and build the class that serves a task, see `open_engine`."""
    check_task(task)
    checkpoint = _read(source, device)
    served = choose(task, checkpoint.names, checkpoint.architectures)
    if served is None:
        tasks = served_tasks(checkpoint.names, checkpoint.architectures)
        raise ValueError(f"{source} has no head for {task}; {describe_served(tasks)}")
    return _build(served, checkpoint)


def open_models(source: str | Path, device: Device = "auto") -> dict[str, ModelEngine]:
    """Read a checkpoint and build the classes for all tasks that it can serve, which share towers and layers."""
    checkpoint = _read(source, device)
    built: dict[str, ModelEngine] = {}
    engines: dict[str, ModelEngine] = {}
    base: Any = None
    for task in served_tasks(checkpoint.names, checkpoint.architectures):
        served = choose(task, checkpoint.names, checkpoint.architectures)
        if served is None:
            continue
        if served.model_class not in built:
            engine = built[served.model_class] = _build(served, checkpoint)
            if base is None:
                base = engine.base
            elif engine.base is engine.model:
                engine.model = engine.base = base
            else:
                engine.model.bridgetower = engine.base = base
        engines[task] = built[served.model_class]
    return engines


def _read(source: str | Path, device: Device) -> _Checkpoint:
    has_gpu = paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0
    if device not in ("auto", "cpu", "gpu") or (device == "gpu" and not has_gpu):
        raise ValueError(f"device={device!r} cannot be used here; use 'auto' or 'cpu'" + (" or 'gpu'" * has_gpu))
    if device != "auto":
        paddle.set_device(device)
    path = local_path(Path(source).expanduser())
    tensors, stored = load_weights(path)
    if stored is None:
        raise ValueError(f"{source} holds weights but no configuration; convert it with torch2paddle.py first")
    return _Checkpoint(path, tensors, BridgeTowerConfig(**stored))


def _build(served: Served, checkpoint: _Checkpoint) -> ModelEngine:
    config = checkpoint.config
    config = config.replace(**served.settings) if served.settings else config
    model = build_undrawn(getattr(modules, served.model_class), config)
    load_into(model, checkpoint.tensors, checkpoint.path, may_miss=())
    model.eval()
    if served.model_class == _NLVR2:
        return TwoImagesEngine(model, checkpoint.path)
    has_two_towers = hasattr(model, "bridgetower") or isinstance(model, modules.BridgeTowerModel)
    return (ModelEngine if has_two_towers else OneTowerEngine)(model, checkpoint.path)


def _named_labels(config: BridgeTowerConfig) -> list[str] | None:
    names = config.label_names
    return [names.get(index, str(index)) for index in range(config.num_labels)] if names else None


def _temperature(model: Any) -> float:
    """What the similarities of a model's vectors are divided by; 1 for models without contrastive heads."""
    if hasattr(model, "logit_scale"):
        return float((-model.logit_scale).exp())
    return float(model.temperature) if hasattr(model, "temperature") else 1.0
