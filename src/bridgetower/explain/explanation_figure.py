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
    pale = _faded(explanation.picture)
    whole = explanation.picture if first is None else _heated(pale, _scale(first)(first))
    _panel(cells[0, 0], whole, caption, FAINT)
    scale = _scale(maps)
    for index, (word, each) in enumerate(zip(explanation.words, maps, strict=True)):
        axes = cells[index // (columns - 1), 1 + index % (columns - 1)]
        _panel(axes, _heated(pale, scale(each)), word, INK)
    bar = figure.colorbar(ScalarMappable(scale, _HEAT), ax=cells, fraction=0.02, pad=0.01, aspect=14)
    bar.set_label(unit, fontsize=8, color=INK)
    bar.ax.tick_params(labelsize=8, colors=INK)
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0 if (scale.vmax or 0) > 0.05 else 1))
    bar.outline.set_visible(False)


def _scale(maps: np.ndarray) -> Normalize:
    """From the lowest to the highest value of some maps; of equal values, the lowest."""
    low, high = float(maps.min()), float(maps.max())
    return Normalize(low, max(high, low + 1e-6))


def _panel(axes: Axes, picture: np.ndarray, title: str, color: str) -> None:
    """A picture below its title."""
    axes.imshow(picture)
    short = title if len(title) <= 20 else f"{title[:19]}…"
    # A title whose place is given needs no search for ticks in its way, which took a third of the time of drawing.
    axes.set_title(short, fontsize=11 if color == INK else 9, color=color, pad=4, y=1.0, parse_math=False)


def _faded(picture: np.ndarray) -> np.ndarray:
    """A picture (P, P, 3) in pale grey, (P, P, 1) from 0 to 1, so that the colours of the heat map stand out."""
    grey = np.asarray(Image.fromarray(picture).convert("L"), np.float32)[..., None] / 255
    return 1 - (1 - grey) * 0.85


def _heated(pale: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A pale picture, (P, P, 1), below the colours of values between 0 and 1, (G, G) -> (P, P, 3) uint8.

    The higher a value, the less of the picture shows through.
    """
    fine = cv2.resize(np.asarray(heat, np.float32), None, fx=8, fy=8, interpolation=cv2.INTER_LINEAR)
    smooth = cv2.resize(cv2.GaussianBlur(fine, (0, 0), 2), pale.shape[:2], interpolation=cv2.INTER_LINEAR)
    smooth = smooth.clip(0, 1)  # not cubic, which overshoots
    opacity = _STRONGEST * smooth[..., None] ** 0.7
    return np.rint(255 * (pale + (_HEAT(smooth)[..., :3] - pale) * opacity)).astype(np.uint8)
