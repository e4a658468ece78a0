"""How much the attention heads of a layer differ: the Kullback-Leibler divergence between their weights.

B pairs, H heads, Q queries, N attended tokens, K cross-modal layers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .explained_model import ExplainedModel
from .fused_attention import cross_modal_attention

__all__ = ["KINDS", "HeadDivergence", "head_divergence", "pairwise_divergence"]

#: As in the paper's figure, and the names that `LayerWeights` has for them.
KINDS = {"visual self-attention": "image_self", "textual self-attention": "text_self",
         "visual cross-attention": "image_to_text", "textual cross-attention": "text_to_image"}
_SMALLEST = 1e-9


@dataclass(frozen=True)
class HeadDivergence:
    """Divergence between the heads of each cross-modal layer of a model.

    Attributes:
        name: of the model.
        pairs: number of pairs of a picture and a text that it is a mean over.
        heads: by kind of attention (K, H), of each head the mean divergence from the other ones, in nats.
    """

    name: str
    pairs: int
    heads: dict[str, np.ndarray]

    @property
    def layers(self) -> dict[str, np.ndarray]:
        """By kind of attention (K,), the mean over all pairs of heads."""
        return {kind: values.mean(1) for kind, values in self.heads.items()}

    def to_json(self) -> dict[str, Any]:
        """All numbers as lists."""
        return {"model": self.name, "pairs": self.pairs,
                "layers": {kind: np.round(values, 4).tolist() for kind, values in self.layers.items()},
                "heads": {kind: np.round(values, 4).tolist() for kind, values in self.heads.items()}}


def pairwise_divergence(weights: np.ndarray, query_mask: np.ndarray) -> np.ndarray:
    """Mean divergence of each head from the other ones, in each row.

    Args:
        weights: (B, H, Q, N) attention weights, each query's adding up to 1.
        query_mask: (B, Q), 1 = counted.

    Returns:
        (B, H), KL(head || other) as a mean over the counted queries and over the other heads.
    """
    logs = np.log(np.maximum(weights, _SMALLEST))
    own = (weights * logs).sum(-1)  # (B, H, Q)
    crossed = np.einsum("bhqn,bgqn->bhgq", weights, logs)
    divergence = np.maximum(own[:, :, None] - crossed, 0)  # of a head from itself 0
    counted = query_mask[:, None, None, :]
    means = (divergence * counted).sum(-1) / counted.sum(-1)
    return means.sum(-1) / max(weights.shape[1] - 1, 1)


def head_divergence(opened: ExplainedModel, pairs: Iterable[tuple[Any, str]], name: str, batch_size: int = 16
                    ) -> HeadDivergence:
    """Measure the divergence between the heads of a model.

    Args:
        opened: see `explain`.
        pairs: pictures, as its image processor reads them, and texts.
        name: what to call the model.
        batch_size: pairs that pass the model together.

    Raises:
        ValueError: there are no pairs, a model without cross-modal layers, or one with a single head.
    """
    _check(opened)
    rows: dict[str, list[np.ndarray]] = {kind: [] for kind in KINDS}
    batch: list[tuple[Any, str]] = []
    for pair in pairs:
        batch.append(pair)
        if len(batch) == batch_size:
            _add(opened, batch, rows)
            batch = []
    if batch:
        _add(opened, batch, rows)
    count = sum(len(each) for each in rows["visual self-attention"])
    if not count:
        raise ValueError("there are no pairs of a picture and a text to compare heads on")
    return HeadDivergence(name, count, {kind: np.concatenate(found).mean(0) for kind, found in rows.items()})


def _check(opened: ExplainedModel) -> None:
    if getattr(opened, "model", None) is None:
        raise ValueError(f"{opened.source} is an export, which returns no attention; give the checkpoint that it was "
                         "made from")
    if not hasattr(opened.base, "fuse"):
        raise ValueError(f"{opened.source} ({opened.model_class}) has no cross-modal layers, whose heads are compared")
    if opened.base.config.num_attention_heads < 2:
        raise ValueError(f"{opened.source} has one attention head per layer; there is nothing to compare")


def _add(opened: ExplainedModel, batch: list[tuple[Any, str]], rows: dict[str, list[np.ndarray]]) -> None:
    """Add the divergences (B, K, H) of a batch."""
    pictures, texts = zip(*batch, strict=True)
    encoded = opened.tokenizer(list(texts), padding=True, truncation=True, max_length=opened.max_text_len,
                               return_tensors="np")
    pixels = np.concatenate([opened.image_processor(picture, return_tensors="np")["pixel_values"]
                             for picture in pictures])
    mask = encoded["attention_mask"]
    layers = cross_modal_attention(opened, encoded["input_ids"], mask, pixels)
    whole = np.ones((len(batch), layers[0].image_self.shape[-1]), np.int64)
    for kind, field in KINDS.items():
        queries = mask if field.startswith("text") else whole
        rows[kind].append(np.stack([pairwise_divergence(getattr(layer, field), queries) for layer in layers], axis=1))
