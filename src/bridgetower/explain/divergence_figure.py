"""The figure of head divergence: a column per model, a row per kind of attention."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ..report.figure import COLORS, FAINT, INK, new_figure, save_figure
from .divergence import KINDS, HeadDivergence

__all__ = ["plot_head_divergence"]


def plot_head_divergence(models: Sequence[HeadDivergence], path: Path) -> None:
    """Draw a panel per model and kind of attention, two models giving the eight panels of the paper, and save a PNG.

    Args:
        models: what was measured of each, in the order of the columns.
        path: the PNG.
    """
    figure = new_figure(3.1 * len(models) + 0.7, 2.1 * len(KINDS) + 0.5)
    cells = figure.subplots(len(KINDS), len(models), squeeze=False, sharex="col", sharey="row")
    for row, kind in enumerate(KINDS):
        for column, model in enumerate(models):
            _panel(cells[row, column], model, kind, COLORS[column % len(COLORS)])
        cells[row, 0].set_ylabel("KL divergence", color=INK, fontsize=9)
        cells[row, 0].set_ylim(bottom=0)  # shared by the row, and fixed at what all of its panels need
    for axes, model in zip(cells[0], models, strict=True):
        axes.set_title(f"{model.name}\n{next(iter(KINDS))}", fontsize=10, color=INK, parse_math=False)
    for axes in cells[-1]:
        axes.set_xlabel("cross-modal layer", color=INK, fontsize=9)
    save_figure(figure, path)


def _panel(axes: Axes, model: HeadDivergence, kind: str, color: str) -> None:
    """A small dot per head, and the mean of each layer as a large one."""
    heads = model.heads[kind]
    layers = range(1, len(heads) + 1)
    for layer, values in zip(layers, heads, strict=True):
        axes.scatter([layer] * len(values), values, s=14, color=color, alpha=0.45, linewidths=0)
    axes.plot(layers, model.layers[kind], color=color, marker="o", markersize=8, linewidth=1.4)
    axes.set_title(kind, fontsize=10, color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(0.5, len(heads) + 0.5)
    axes.grid(axis="y", color=FAINT, alpha=0.25)
    axes.tick_params(labelsize=8, colors=INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
