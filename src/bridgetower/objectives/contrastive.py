"""Image-text contrastive learning (ITC) and the hard negatives that its similarities pick (ALBEF, section 3.2)."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import Tensor

from .float32 import in_float32

__all__ = ["contrastive_loss", "contrastive_similarity", "draw_negatives", "negative_weights"]


def contrastive_similarity(queries: Tensor, candidates: Tensor, temperature: Tensor) -> Tensor:
    """Similarities of unit vectors over the temperature, (B, C) and (A, C) -> (B, A).

    In float32 whatever the vectors are: a temperature of 0.001 multiplies the error of a cosine by a thousand.
    """
    with paddle.amp.auto_cast(enable=False):
        return in_float32(queries).matmul(in_float32(candidates), transpose_y=True) / in_float32(temperature)


def contrastive_loss(image_to_text: Tensor, text_to_image: Tensor, positives: Tensor) -> Tensor:
    """Mean cross entropy of both directions; the positives of a row share its target evenly.

    Args:
        image_to_text: (B, A) similarities, rows are images.
        text_to_image: (B, A) similarities, rows are texts.
        positives: (B, A), 1 where row and column belong together; each row has at least one.

    Returns:
        Scalar.
    """
    positives = in_float32(positives)
    targets = positives / positives.sum(axis=1, keepdim=True)
    losses = [-(F.log_softmax(similarity, axis=1) * targets).sum(axis=1).mean()
              for similarity in (image_to_text, text_to_image)]
    return (losses[0] + losses[1]) / 2


def negative_weights(similarity: Tensor, positives: Tensor) -> Tensor:
    """The weight with which each candidate is drawn as a negative: softmax of the similarities, zero at positives.

    A row whose candidates are all positives gets equal weights of 1e-5, so that a draw is possible. Its "negatives" are
    then positives with label 0, as in the original, which catches the failed draw and draws with such weights.

    Args:
        similarity: (B, A).
        positives: (B, A), 1 where row and column belong together.

    Returns:
        (B, A) without a gradient, not normalised.
    """
    weights = F.softmax(similarity.detach(), axis=1) * (1 - positives)
    hopeless = (weights.sum(axis=1, keepdim=True) == 0).astype(weights.dtype)
    return weights + 1e-5 * hopeless


def draw_negatives(weights: Tensor) -> Tensor:
    """Draw one candidate per row in proportion to its weight, (B, A) -> (B,) int64."""
    return paddle.multinomial(weights, num_samples=1).squeeze(1)
