"""Choose which of a model's heads explains its look at a picture and a text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..explain.words import MASK
from .served import describe_served

__all__ = ["EXPLAINABLE", "explained_engine"]

#: The first that a model serves is explained, unless the text has a mask.
EXPLAINABLE = ("visual-question-answering", "image-text-classification", "image-text-matching", "fill-mask",
               "feature-extraction")


def explained_engine(engines: Mapping[str, Any], text: str, source: str | Path) -> Any:
    """The engine whose answer to a text is to be explained.

    Args:
        engines: those of a model by task, as `open_engines` returns them.
        text: a mask in it asks for the head of masked words.
        source: of the model, for messages.

    Raises:
        ValueError: the model has no head for the text.
    """
    if MASK.search(text):
        if "fill-mask" not in engines:
            raise ValueError(f"{source} has no head for fill-mask; {describe_served(engines)}")
        return engines["fill-mask"]
    found = next((engines[task] for task in EXPLAINABLE if task in engines), None)
    if found is None:
        raise ValueError(f"{source} cannot be explained, as it does not read a picture and a text together; "
                         f"{describe_served(engines)}")
    return found
