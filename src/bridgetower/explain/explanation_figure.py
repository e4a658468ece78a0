"""The picture of an explanation: the photograph, and for each word where the model looks."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import PercentFormatter
from PIL import Image

from ..report.figure import FAINT, INK, new_figure, save_figure
from .explanation import Explanation

__all__ = ["draw_explanation", "explanation_png", "plot_explanation"]

_COLUMNS = 6
_CELL = 2.1  # inches
#: From nothing over yellow to dark red: ever darker, so that it also works in grey.
_HEAT = LinearSegmentedColormap.from_list("heat", ["#ffe680", "#ffb000", "#f0601e", "#c0142b", "#6a0032"])
_STRONGEST = 0.88  # opacity of the overlay


def plot_explanation(explanation: Explanation, path: Path) -> None:
    """Write the picture of an explanation as a PNG that is either complete or not there."""
    save_figure(draw_explanation(explanation), path)


def explanation_png(explanation: Explanation) -> bytes:
    """The picture of an explanation as the bytes of a PNG."""
    stream = io.BytesIO()
    draw_explanation(explanation).savefig(stream, format="png")
    return stream.getvalue()


def draw_explanation(explanation: Explanation) -> Figure:
    """Two blocks, attention and relevance, each with a picture in front, a panel per word and a colour bar."""
    rows = -(-len(explanation.words) // _COLUMNS)
    columns = -(-len(explanation.words) // rows) + 1
    figure = new_figure(_CELL * columns + 0.9, 2 * (_CELL + 0.3) * rows + 1.4)
    figure.suptitle(_heading(explanation), fontsize=13, color=INK, x=0.012, ha="left", parse_math=False)
    upper, lower = figure.subfigures(2, 1, squeeze=False, hspace=0.02)[:, 0]
    _block(upper, explanation, "Attention: what each word looks at", "what the model sees", None,
           explanation.attention, "share of the word's attention", rows, columns)
    _block(lower, explanation, f"Relevance: what “{explanation.answer}” rests on", "all words together",
           explanation.image_relevance, explanation.relevance, "share of all relevance", rows, columns)
    return figure


def _heading(explanation: Explanation) -> str:
    text = explanation.text if len(explanation.text) <= 90 else f"{explanation.text[:87]}..."
    return f"“{text}”  →  {explanation.answer} ({explanation.score:.2f})"


def _block(figure: SubFigure, explanation: Explanation, title: str, caption: str, first: np.ndarray | None,
           maps: np.ndarray, unit: str, rows: int, columns: int) -> None:
    """A row of panels; all words share a scale, so that words can be compared."""
    figure.suptitle(title, fontsize=11, color=INK, x=0.012, ha="left", weight="bold", parse_math=False)
    cells = figure.subplots(rows, columns, squeeze=False)
    for axes in cells.ravel():
        axes.set_axis_off()
    _panel(cells[0, 0], explanation.picture, None if first is None else _scale(first)(first), caption, FAINT)
    scale = _scale(maps)
    for index, (word, each) in enumerate(zip(explanation.words, maps, strict=True)):
        axes = cells[index // (columns - 1), 1 + index % (columns - 1)]
        _panel(axes, explanation.picture, scale(each), word, INK)
    bar = figure.colorbar(ScalarMappable(scale, _HEAT), ax=cells, fraction=0.02, pad=0.01, aspect=14)
    bar.set_label(unit, fontsize=8, color=INK)
    bar.ax.tick_params(labelsize=8, colors=INK)
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0 if (scale.vmax or 0) > 0.05 else 1))
    bar.outline.set_visible(False)


def _scale(maps: np.ndarray) -> Normalize:
    """From the lowest to the highest value of some maps; of equal values, the lowest."""
    low, high = float(maps.min()), float(maps.max())
    return Normalize(low, max(high, low + 1e-6))


def _panel(axes: Axes, picture: np.ndarray, heat: np.ndarray | None, title: str, color: str) -> None:
    """A picture below its title, and over it values between 0 and 1, (G, G), if there are any."""
    if heat is None:
        axes.imshow(picture)
    else:
        axes.imshow(_faded(picture))
        axes.imshow(_overlay(heat, len(picture)))
    short = title if len(title) <= 20 else f"{title[:19]}…"
    axes.set_title(short, fontsize=11 if color == INK else 9, color=color, pad=4, parse_math=False)


def _faded(picture: np.ndarray) -> np.ndarray:
    """A picture in pale grey, (P, P, 3) uint8, so that the colours of the heat map stand out."""
    grey = np.asarray(Image.fromarray(picture).convert("L"), np.float32)[..., None]
    return np.repeat(np.rint(255 - (255 - grey) * 0.85), 3, axis=2).astype(np.uint8)


def _overlay(heat: np.ndarray, side: int) -> np.ndarray:
    """Values between 0 and 1, (G, G) -> colours (P, P, 4), the opaquer the higher."""
    smooth = cv2.resize(np.asarray(heat, np.float32), (side, side), interpolation=cv2.INTER_LINEAR)
    smooth = cv2.GaussianBlur(smooth, (0, 0), side / len(heat) / 4).clip(0, 1)  # bicubic interpolation overshoots
    colours = _HEAT(smooth)
    colours[..., 3] = _STRONGEST * smooth ** 0.7
    return colours
