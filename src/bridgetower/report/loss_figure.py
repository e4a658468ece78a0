"""The picture of a training: losses above, what the task measures below, one column for each run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from .curves import Curve
from .figure import COLORS, FAINT, INK, new_figure, save_figure

#: Ends of the names of measures between 0 and 1, whatever the task.
_MEASURES = ("accuracy", "score", "f1", "auc", "matthews", "pearson", "spearman")
#: The same for measures in percent: the mean recalls of retrieval.
_PERCENTAGES = ("r_mean",)
_WORDS = {"mlm": "MLM", "itm": "ITM", "itc": "ITC", "vqa": "VQA"}


def plot_loss_curves(runs: Mapping[str, Mapping[str, Curve]], path: Path) -> None:
    """Draw the losses and measures of some runs, of any task, and save them as a PNG.

    Training values are lines (thin as logged, bold smoothed), evaluation values dots joined by dashes. The loss and the
    accuracy of one objective have one colour. Recalls are drawn as fractions.

    Args:
        runs: for each run its title and its curves by logged name (`read_curves`).
        path: the PNG.
    """
    figure = new_figure(6 * len(runs), 6.4)
    grid = figure.subplots(2, len(runs), squeeze=False)
    for (title, curves), (losses, accuracies) in zip(runs.items(), grid.T, strict=True):
        color_of: dict[str, str] = {}
        _draw(losses, _losses(curves), color_of)
        measures = _measures(curves)
        _draw(accuracies, measures, color_of)
        losses.set_title(title, fontsize=13, fontweight="bold", color=INK, loc="left")
        losses.set_ylabel("loss", color=INK)
        losses.set_ylim(bottom=0)
        recalls = any(name.endswith(_PERCENTAGES) for name in curves)
        accuracies.set_ylabel("recall" if recalls else "accuracy", color=INK)
        lowest = min((value for curve in measures.values() for value in curve.values), default=0.0)
        accuracies.set_ylim(min(0.0, 1.03 * lowest), 1.03)  # correlations may be negative
        accuracies.set_xlabel("step", color=INK)
        accuracies.sharex(losses)
    save_figure(figure, path)


def _losses(curves: Mapping[str, Curve]) -> dict[str, Curve]:
    """The losses that differ: where there is one objective, `loss` is its loss."""
    # train_loss is the mean over a whole run, not a point of a curve.
    losses = {name: curve for name, curve in curves.items() if name.endswith("loss") and name != "train_loss"}
    parts = [name for name in losses if name != "loss" and not name.startswith("eval_")]
    return {name: curve for name, curve in losses.items() if name != "loss" or len(parts) != 1}


def _measures(curves: Mapping[str, Curve]) -> dict[str, Curve]:
    """The curves between 0 and 1 that say how well a model does."""
    fractions = {name: curve for name, curve in curves.items() if name.endswith(_MEASURES)}
    return fractions | {name: Curve(curve.steps, [value / 100 for value in curve.values])
                        for name, curve in curves.items() if name.endswith(_PERCENTAGES)}


def _draw(axes: Axes, curves: Mapping[str, Curve], color_of: dict[str, str]) -> None:
    for name, curve in curves.items():
        is_evaluation = name.startswith("eval_")
        words = name.removeprefix("eval_").split("_")
        color = color_of.setdefault("_".join(words[:-1]), COLORS[len(color_of) % len(COLORS)])
        label = " ".join(_WORDS.get(word, word) for word in words) + (" (evaluation)" if is_evaluation else "")
        if is_evaluation:
            axes.plot(curve.steps, curve.values, "o--", color=color, markersize=4, linewidth=1, label=label)
        else:
            axes.plot(curve.steps, curve.values, color=color, linewidth=0.8, alpha=0.3)
            axes.plot(curve.steps, _smoothed(curve.values), color=color, linewidth=1.8, label=label)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(color="#e4e9ed", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK)
    if curves:
        axes.legend(fontsize=9, framealpha=0.9, edgecolor="none")
    else:
        axes.text(0.5, 0.5, "not logged", transform=axes.transAxes, ha="center", color=FAINT)


def _smoothed(values: list[float]) -> np.ndarray:
    """Centred moving mean over a twentieth of the curve, narrower towards its ends."""
    reach = len(values) // 40
    sums = np.cumsum([0.0, *values])
    index = np.arange(len(values))
    width = np.minimum(np.minimum(index, len(values) - 1 - index), reach)
    return (sums[index + width + 1] - sums[index - width]) / (2 * width + 1)
