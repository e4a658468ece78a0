"""The sheet of test images with question, prediction and truth."""

from __future__ import annotations

import io
import random
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from PIL import Image, UnidentifiedImageError

from bridgetower.datasets.arrow import ArrowTable
from bridgetower.report.accuracy import AnsweredQuestion
from bridgetower.report.figure import FAINT, INK, RIGHT, WRONG, new_figure, save_figure

from ..picture_files.picture_formats import open_picture_file
from ..picture_files.picture_reading import to_eight_bits

_COLUMNS = 6
_SHORT_SIDE = 256


def choose_examples(questions: Sequence[AnsweredQuestion], count: int = 18, seed: int = 0) -> list[AnsweredQuestion]:
    """A mix for the sheet: one question per image, the question types in turn, a third of them wrong and at the end.

    Fewer than a third where fewer are wrong, more where too few are right; fewer than `count` where the images run out.
    """
    order = list(questions)
    random.Random(seed).shuffle(order)
    wrong, right = ([one for one in order if (one.score > 0) == is_right] for is_right in (False, True))
    used: set[int] = set()
    chosen = _take_by_kind(wrong, count // 3, used)
    chosen += _take_by_kind(right, count - len(chosen), used)
    chosen += _take_by_kind(wrong, count - len(chosen), used)
    return sorted(chosen, key=lambda one: one.score == 0)


def plot_predictions(
    questions: Sequence[AnsweredQuestion], examples: Sequence[AnsweredQuestion], table: ArrowTable, path: Path
) -> None:
    """Draw some answered questions with their images and save them as a PNG.

    Args:
        questions: all answered questions, for the accuracy in the heading.
        examples: those to draw.
        table: arrow file that holds the images.
        path: the PNG.

    Raises:
        ValueError: an image cannot be read; with file and row.
    """
    rows = -(-len(examples) // _COLUMNS)
    figure = new_figure(2.2 * _COLUMNS, 3.1 * rows + 0.6)
    accuracy = sum(one.score for one in questions) / len(questions)
    wrong = sum(one.score == 0 for one in examples)
    figure.suptitle(
        f"{accuracy:.1%} of {len(questions):,} answers are right; "
        f"{wrong} wrong among these {len(examples)}, chosen to show both",
        fontsize=12, color=INK,
    )  # fmt: skip
    cells = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for axes, example in zip(cells, examples, strict=False):
        _draw(axes, example, _read_image(table, example.row))
    for axes in cells[len(examples) :]:
        axes.set_axis_off()
    save_figure(figure, path)


def _take_by_kind(pool: Sequence[AnsweredQuestion], count: int, used: set[int]) -> list[AnsweredQuestion]:
    """Up to `count` questions, one of each kind in turn, on rows that are not in `used`; their rows are added to it."""
    by_kind: dict[str, list[AnsweredQuestion]] = {}
    for question in pool:
        by_kind.setdefault(question.kind, []).append(question)
    queues = [iter(group) for _, group in sorted(by_kind.items())]
    taken: list[AnsweredQuestion] = []
    while queues and len(taken) < count:
        queue = queues.pop(0)
        for question in queue:
            if question.row not in used:
                taken.append(question)
                used.add(question.row)
                queues.append(queue)
                break
    return taken


def _draw(axes: Axes, example: AnsweredQuestion, image: np.ndarray) -> None:
    """One cell: the image in a frame of its colour, the question above it, the prediction and the truth below."""
    is_right = example.score > 0
    color = RIGHT if is_right else WRONG
    axes.imshow(image)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(color=color, linewidth=3, linestyle="-" if is_right else (0, (4, 2)))
    prediction = f"prediction: {example.prediction} {'✓' if is_right else '✗'}"
    for text, y, anchor, lines, look in (
        (example.question, 1.03, "bottom", 3, {"color": INK, "fontsize": 9}),
        (prediction, -0.03, "top", 1, {"color": color, "weight": "bold"}),
        (f"truth: {example.truth or 'none'}", -0.14, "top", 1, {"color": FAINT}),
    ):
        short = "\n".join(textwrap.wrap(text, 28, max_lines=lines, placeholder="..."))
        # parse_math: a dollar sign in an answer is money, not a formula.
        axes.text(0.5, y, short, transform=axes.transAxes, ha="center", va=anchor, parse_math=False, **look)


def _read_image(table: ArrowTable, row: int) -> np.ndarray:
    """(H, W, 3) bytes, large enough that drawing does not blur the pixels of a small image."""
    try:
        with open_picture_file(io.BytesIO(table.image_bytes("image", row) or b"")) as file:
            image = to_eight_bits(file).convert("RGB")
    except (OSError, ValueError, UnidentifiedImageError) as error:
        raise ValueError(f"{table.path} row {row}: the image cannot be read ({error}); make the file again") from error
    factor = -(-_SHORT_SIDE // min(image.size))
    return np.asarray(image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST))
