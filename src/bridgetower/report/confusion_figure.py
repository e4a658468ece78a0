"""The picture of a confusion matrix: which classes a model takes for which."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .figure import INK, new_figure, save_figure

__all__ = ["Confusion", "plot_confusion", "read_confusion"]

_MAX_NUMBERS = 20  # classes up to which the counts are written into the cells
_MAX_NAMES = 60
_SHOWN = 24  # letters of a class name


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix.

    Attributes:
        classes: names of the C classes.
        counts: (C, C) how many samples of each class (rows) were taken for which class (columns).
    """

    classes: tuple[str, ...]
    counts: np.ndarray


def read_confusion(path: Path) -> Confusion:
    """Read the file of a run, such as `test_confusion.json`.

    Raises:
        ValueError: the file is damaged or something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        classes, counts = tuple(map(str, values["classes"])), np.array(values["counts"], dtype=np.int64)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} holds no confusion matrix ({error!r}); evaluate with train.py again") from error
    if counts.shape != (len(classes), len(classes)) or not classes:
        raise ValueError(f"{path} has {len(classes)} classes, but counts of shape {counts.shape}; evaluate again")
    return Confusion(classes, counts)


def plot_confusion(confusion: Confusion, title: str, path: Path) -> None:
    """Draw a confusion matrix, each row coloured by its shares, and save it as a PNG."""
    number = len(confusion.classes)
    side = min(4 + 0.4 * number, 16)
    figure = new_figure(side, side)
    axes = figure.subplots()
    totals = confusion.counts.sum(axis=1, keepdims=True)
    shares = confusion.counts / np.maximum(totals, 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if number <= _MAX_NUMBERS:
        for row, column in np.ndindex(number, number):
            color = "white" if shares[row, column] > 0.5 else INK
            axes.text(column, row, f"{confusion.counts[row, column]}", ha="center", va="center", color=color,
                      fontsize=9)
    places = range(number) if number <= _MAX_NAMES else ()
    names = _short(confusion.classes) if number <= _MAX_NAMES else ()
    axes.set_xticks(places, names, rotation=45, ha="right", rotation_mode="anchor", fontsize=9, color=INK)
    axes.set_yticks(places, names, fontsize=9, color=INK)
    axes.set_xlabel("prediction", color=INK)
    axes.set_ylabel("class", color=INK)
    right = int(np.trace(confusion.counts))
    axes.set_title(f"{title}: {right} of {int(totals.sum())} right", fontsize=12, color=INK, loc="left")
    save_figure(figure, path)


def _short(names: Sequence[str]) -> list[str]:
    """Names that fit beside the axes; a dollar sign would begin a formula."""
    return [(name if len(name) <= _SHOWN else f"{name[:_SHOWN - 1]}…").replace("$", r"\$") for name in names]
