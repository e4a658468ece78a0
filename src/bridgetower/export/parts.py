"""What is exported: for each task a model class, and the three programs that compute its outputs.

B texts or pairs, M images, K states a tower, L text tokens, N image tokens, D width, C width of compared vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import paddle
from paddle import Tensor, nn
from paddle.static import InputSpec

from .. import kernels
from ..config import BridgeTowerConfig
from ..modules import (
    BridgeTowerForContrastiveLearning,
    BridgeTowerForContrastiveRetrieval,
    BridgeTowerForImageAndTextRetrieval,
    BridgeTowerForMaskedLM,
    BridgeTowerForQuestionAnswering,
    BridgeTowerForRetrievalRanking,
    BridgeTowerForVisualEntailment,
    BridgeTowerPretrainedModel,
)
from ..modules.outputs import BridgeTowerModelOutput

__all__ = ["TASKS", "Part", "Target", "choose_target", "make_parts", "num_states"]

#: From the output of the cross-modal layers to what the fusion returns.
Head = Callable[[Any, BridgeTowerModelOutput], Tensor]


@dataclass(frozen=True)
class Target:
    """A model class and how its outputs come out of the three programs.

    Attributes:
        model_class: see `Manifest`.
        weights: names, or their beginnings, of weights that a checkpoint of this class has.
        head: see `Head`.
        output: what `head` returns, see `Manifest`.
        text_only: whether `head` reads the text features of all tokens, and not the pooled vector.
        has_vectors: whether the class has `embed_text` and `embed_image`.
        labels: names of the classes, where the task fixes them.
    """

    model_class: type[BridgeTowerPretrainedModel]
    weights: tuple[str, ...]
    head: Head
    output: str = "logits"
    text_only: bool = False
    has_vectors: bool = False
    labels: tuple[str, ...] = ()


def _itm(model: Any, fused: BridgeTowerModelOutput) -> Tensor:
    return model.itm_head(fused.pooler_output)


def _classes(model: Any, fused: BridgeTowerModelOutput) -> Tensor:
    return model.classifier(fused.pooler_output)


def _words(model: Any, fused: BridgeTowerModelOutput) -> Tensor:
    return model.mlm_head(fused.text_features)


def _scores(model: Any, fused: BridgeTowerModelOutput) -> Tensor:
    return model.match_scores(fused.pooler_output)


def _joint_vectors(model: Any, fused: BridgeTowerModelOutput) -> Tensor:
    return model.embed_pair(fused.pooler_output)


#: The targets of each task; the first whose weights a checkpoint has is taken.
TASKS: dict[str, tuple[Target, ...]] = {
    "itm": (Target(BridgeTowerForImageAndTextRetrieval, ("itm_head.",), _itm, labels=("no match", "match")),),
    "vqa": (Target(BridgeTowerForQuestionAnswering, ("classifier.fc2.",), _classes),),
    "snli": (Target(BridgeTowerForVisualEntailment, ("classifier.fc2.",), _classes,
                    labels=("contradiction", "neutral", "entailment")),),
    "mlm": (Target(BridgeTowerForMaskedLM, ("mlm_head.",), _words, text_only=True),),
    "retrieval": (
        Target(BridgeTowerForRetrievalRanking, ("rank_head.", "itm_head."), _scores, "scores"),
        Target(BridgeTowerForContrastiveRetrieval, ("itc_text_head.", "itc_image_head.", "itm_head."), _scores,
               "scores", has_vectors=True),
        Target(BridgeTowerForContrastiveLearning, ("itc_text_head.", "itc_image_head.", "itc_cross_modal_head."),
               _joint_vectors, "vectors", has_vectors=True),
    ),
}


def _fits(target: Target, names: Iterable[str]) -> bool:
    return all(any(name.startswith(part) for name in names) for part in target.weights)


def choose_target(task: str | None, names: Iterable[str], architectures: Iterable[str] = ()) -> tuple[str, Target]:
    """The task of a checkpoint and the class that computes it.

    Args:
        task: one of `TASKS`; None: the one that the checkpoint was made for.
        names: of its weights, ours.
        architectures: the classes that its configuration names.

    Raises:
        ValueError: the task is unknown, the checkpoint has no head for it, or heads of several tasks.
    """
    names, architectures = list(names), list(architectures)
    fitting = {key: target for key, targets in TASKS.items() for target in reversed(targets) if _fits(target, names)}
    known = ", ".join(TASKS)
    has = f"it has heads for {', '.join(fitting)}" if fitting else f"it has no head of any task ({known})"
    if task is None:
        named = [key for key, target in fitting.items() if target.model_class.__name__ in architectures]
        choices = named or [key for key in fitting if key != "snli"]
        if len(choices) != 1:
            raise ValueError(f"the checkpoint does not say its task: {has}" + ("; give --task" if fitting else ""))
        task = choices[0]
    if task not in TASKS:
        raise ValueError(f"task {task!r} is unknown; use one of {known}")
    if task not in fitting:
        wanted = " or ".join(" with ".join(part.rstrip(".") for part in target.weights) for target in TASKS[task])
        raise ValueError(f"the checkpoint has no head for task {task!r} (weights {wanted}); {has}")
    return task, fitting[task]


@paddle.jit.not_to_static
def _untranslated(function: Callable[..., Any], *inputs: Tensor) -> Any:
    """Call a function whose Python runs unchanged while it is traced, as nothing in it depends on values of tensors.

    Paddle would rewrite the source of every function and layer that is called, which took more time than the tracing.
    """
    return function(*inputs)


class _TextPart(nn.Layer):
    def __init__(self, model: Any, target: Target) -> None:
        super().__init__()
        self.model = model
        self.has_vectors = target.has_vectors

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> list[Tensor]:
        """(B, L) and (B, L) -> projected states (B, K, L, D), and vectors (B, C) where the class has them."""
        return _untranslated(self._outputs, input_ids, attention_mask)

    def _outputs(self, input_ids: Tensor, attention_mask: Tensor) -> list[Tensor]:
        base = self.model.bridgetower
        states = base.encode_text(input_ids, attention_mask)
        outputs = [paddle.stack(base.project_text(states), axis=1)]
        if self.has_vectors:
            outputs.append(self.model.embed_text(states))
        return outputs


class _ImagePart(nn.Layer):
    def __init__(self, model: Any, target: Target) -> None:
        super().__init__()
        self.model = model
        self.has_vectors = target.has_vectors
        self.embeds_projected = isinstance(model, BridgeTowerForContrastiveLearning)

    def forward(self, pixel_values: Tensor) -> list[Tensor]:
        """(M, 3, S, S) -> projected states (M, K, N, D), and vectors (M, C) where the class has them."""
        return _untranslated(self._outputs, pixel_values)

    def _outputs(self, pixel_values: Tensor) -> list[Tensor]:
        base = self.model.bridgetower
        states = base.encode_image(pixel_values)
        projected = base.project_image(states)
        outputs = [paddle.stack(projected, axis=1)]
        if self.has_vectors:
            outputs.append(self.model.embed_image(projected if self.embeds_projected else states))
        return outputs


class _FusionPart(nn.Layer):
    def __init__(self, model: Any, target: Target, max_text_len: int) -> None:
        super().__init__()
        _fold_attention(model.bridgetower, max_text_len, target.text_only)
        self.model = model
        self.head = target.head
        self.text_only = target.text_only

    def forward(self, text_states: Tensor, image_states: Tensor, attention_mask: Tensor) -> Tensor:
        """States (B, K, L, D) and (B, K, N, D) with the mask (B, L) -> what the head returns."""
        return _untranslated(self._outputs, text_states, image_states, attention_mask)

    def _outputs(self, text_states: Tensor, image_states: Tensor, attention_mask: Tensor) -> Tensor:
        fused = self.model.bridgetower.fuse(paddle.unbind(text_states, axis=1), paddle.unbind(image_states, axis=1),
                                            attention_mask, first_token_only=not self.text_only,
                                            text_only=self.text_only)
        return self.head(self.model, fused)


def _fold_attention(base: Any, max_text_len: int, text_only: bool) -> None:
    """Choose what attention folds (`kernels.folding`), as a program is made before it meets the sizes of its inputs.

    Text and image read each other folded where this saves multiplications for the longest text; most are shorter. The
    only query of the last layers, which compute the first tokens, reads its own sequence folded.
    """
    config: BridgeTowerConfig = base.config
    share = kernels.folded_share(max_text_len, config.vision_config.num_tokens, config.hidden_size,
                                 config.num_attention_heads)
    pairs = list(zip(base.cross_modal_text_layers, base.cross_modal_image_layers, strict=True))
    for text_layer, image_layer in pairs:
        is_last = text_layer is pairs[-1][0]
        if share < 1:
            text_layer.cross_attention.folding = "context"
            image_layer.cross_attention.folding = "nothing" if is_last else "queries"
        if is_last and not text_only:
            text_layer.self_attention.folding = image_layer.self_attention.folding = "context"


@dataclass(frozen=True)
class Part:
    """One program.

    Attributes:
        layer: what it computes; the weights are the model's.
        inputs: their names, types and shapes; batch size and text length are free.
        outputs: their names.
    """

    layer: nn.Layer
    inputs: list[InputSpec]
    outputs: tuple[str, ...]


def num_states(config: BridgeTowerConfig) -> int:
    """States K that each tower hands to the cross-modal layers."""
    return max(config.num_bridges, 1)


def make_parts(model: Any, target: Target, max_text_len: int) -> dict[str, Part]:
    """The programs of a model, by name; texts have up to `max_text_len` tokens."""
    config: BridgeTowerConfig = model.config
    vision, states, width = config.vision_config, num_states(config), config.hidden_size
    size = vision.image_size
    ids, mask = (InputSpec([None, None], "int64", name) for name in ("input_ids", "attention_mask"))
    pixels = InputSpec([None, vision.num_channels, size, size], "float32", "pixel_values")
    text = InputSpec([None, states, None, width], "float32", "text_states")
    image = InputSpec([None, states, vision.num_tokens, width], "float32", "image_states")
    kinds = ("states", "vectors") if target.has_vectors else ("states",)
    return {
        "text": Part(_TextPart(model, target), [ids, mask], tuple(f"text_{kind}" for kind in kinds)),
        "image": Part(_ImagePart(model, target), [pixels], tuple(f"image_{kind}" for kind in kinds)),
        "fusion": Part(_FusionPart(model, target, max_text_len), [text, image, mask], (target.output,)),
    }
