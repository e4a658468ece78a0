"""The GLUE tasks: their fields, classes, parts and files."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..known import nearest

__all__ = ["GLUE", "GlueTask", "glue_task"]

@dataclass(frozen=True)
class GlueTask:
    """One task.

    Attributes:
        name: for instance `cola`.
        fields: columns of the sentence, or of both sentences.
        num_labels: classes; 1 when the label is a number.
        files: submission file of each part of the test split.
        parts: what the validation and test splits are divided into; empty when they are not.
        classes: names of the classes in submissions; empty when they are numbers.
    """

    name: str
    fields: tuple[str, ...]
    num_labels: int
    files: tuple[str, ...]
    parts: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()

    def predictions(self, scores: np.ndarray) -> np.ndarray:
        """What the scores (Q, C) say: a class (Q,) int64, or the number itself (Q,) float32."""
        return scores[:, 0] if self.num_labels == 1 else scores.argmax(axis=1)


_ENTAILMENT = ("entailment", "not_entailment")
_TWO = ("sentence1", "sentence2")
GLUE: dict[str, GlueTask] = {task.name: task for task in (
    GlueTask("cola", ("sentence",), 2, ("CoLA.tsv",)),
    GlueTask("sst2", ("sentence",), 2, ("SST-2.tsv",)),
    GlueTask("mrpc", _TWO, 2, ("MRPC.tsv",)),
    GlueTask("qqp", ("question1", "question2"), 2, ("QQP.tsv",)),
    GlueTask("stsb", _TWO, 1, ("STS-B.tsv",)),
    GlueTask("mnli", ("premise", "hypothesis"), 3, ("MNLI-m.tsv", "MNLI-mm.tsv"), ("matched", "mismatched"),
             ("entailment", "neutral", "contradiction")),
    GlueTask("qnli", ("question", "sentence"), 2, ("QNLI.tsv",), classes=_ENTAILMENT),
    GlueTask("rte", _TWO, 2, ("RTE.tsv",), classes=_ENTAILMENT),
    GlueTask("wnli", _TWO, 2, ("WNLI.tsv",)),
)}


def glue_task(name: str) -> GlueTask:
    """Look up a task.

    Raises:
        KeyError: an unknown name, with the nearest known one.
    """
    if name not in GLUE:
        raise KeyError(f"unknown GLUE task {name!r}{nearest(name, GLUE, cutoff=0.0)} Known: {', '.join(GLUE)}")
    return GLUE[name]
