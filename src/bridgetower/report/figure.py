"""What the report's figures share: colours, and how a figure becomes a file."""

from __future__ import annotations

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from ..files import write_beside

INK = "#22303c"
FAINT = "#8795a1"
# Told apart also by readers who confuse red and green: Okabe and Ito's palette.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
RIGHT = "#009e73"
WRONG = "#d55e00"


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches, drawn without any screen and without pyplot's global state."""
    margins = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
    figure = Figure(figsize=(width, height), dpi=120, facecolor="white", layout=margins)
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG that is either complete or not there."""
    with write_beside(path) as beside:
        figure.savefig(beside, format="png")
