"""Samples, as a dataset hands them to the collator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Sample", "VqaTarget", "draw_stream"]

#: A different stream of random numbers for each purpose, so that adding one draw does not change the others.
_STREAMS = {"image": 0, "false_image": 1, "false_text": 2, "mlm": 3, "itm": 4, "replacement": 5}


def draw_stream(purpose: str, seed: int, epoch: int, *indices: int) -> np.random.Generator:
    """The generator of one purpose, a function of the seed, the epoch and the sample (or samples) alone."""
    return np.random.default_rng([_STREAMS[purpose], seed, epoch, *indices])


@dataclass(frozen=True)
class VqaTarget:
    """The answers of one question.

    Attributes:
        question_id: as in the annotation.
        labels: answer ids; None where the split has no answers.
        scores: soft score of each label, 0 to 1.
        where: file and row, for messages.
    """

    question_id: int
    labels: list[int] | None
    scores: list[float] | None
    where: str


@dataclass(frozen=True)
class Sample:
    """One sample, not yet batched.

    Attributes:
        seed, epoch: of the dataset; with `sample_index` they seed every random draw.
        sample_index: position in the (concatenated) dataset.
        image_index: row of the image, unique over a concatenation.
        table_index: which of the dataset's `table_names` the row came from.
        pixel_values: (3, S, S) float32, (2, 3, S, S) for NLVR2; None in text_only mode.
        text: None in image_only mode; two of them for a pair of sentences.
        false_image: makes the drawn non-matching image, (3, S, S); the collator calls it only when it is used.
        false_texts: drawn texts.
        vqa: target of a question.
        label: class of an SNLI-VE (0 contradiction, 1 neutral, 2 entailment), NLVR2 (0 false, 1 true), CIFAR or GLUE
            sample, or a number to be predicted (float).
    """

    seed: int
    epoch: int
    sample_index: int
    image_index: int
    table_index: int
    pixel_values: np.ndarray | None = None
    text: str | tuple[str, str] | None = None
    false_image: Callable[[], np.ndarray] | None = None
    false_texts: tuple[str, ...] = ()
    vqa: VqaTarget | None = None
    label: int | float | None = None
