"""Losses: tensors in, tensors out."""

from .classes import class_cross_entropy
from .contrastive import (
    contrastive_loss,
    contrastive_similarity,
    draw_negatives,
    negative_weights,
)
from .float32 import in_float32
from .masked import masked_cross_entropy
from .vqa import vqa_loss

__all__ = ["class_cross_entropy", "contrastive_loss", "contrastive_similarity", "draw_negatives", "in_float32",
           "masked_cross_entropy", "negative_weights", "vqa_loss"]
