"""The sheet of examples: what it shows, and that it can be drawn from any question."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from bridgetower.datasets.arrow import ArrowTable
from bridgetower.report import AnsweredQuestion, choose_examples, plot_predictions, read_answered_questions
from bridgetower.report.figure import RIGHT, WRONG


def _questions(right: int, wrong: int, rows: int = 1000) -> list[AnsweredQuestion]:
    scores = [1.0] * right + [0.0] * wrong
    kinds = ["color", "presence", "presence", "presence"]
    return [AnsweredQuestion(n % rows, "?", "a", "b", score, kinds[n % 4]) for n, score in enumerate(scores)]


@pytest.mark.parametrize(
    ("right", "wrong", "expected"),
    [(500, 40, (12, 6)), (500, 2, (16, 2)), (500, 0, (18, 0)), (3, 500, (3, 15)), (4, 1, (4, 1))],
)
def test_a_third_is_wrong_as_far_as_possible(right: int, wrong: int, expected: tuple[int, int]) -> None:
    chosen = choose_examples(_questions(right, wrong))
    assert [example.score for example in chosen] == [1.0] * expected[0] + [0.0] * expected[1]
    assert len({example.row for example in chosen}) == len(chosen)


def test_an_image_is_shown_once() -> None:
    chosen = choose_examples(_questions(60, 30, rows=5))
    assert sorted(example.row for example in chosen) == [0, 1, 2, 3, 4]


def test_rare_question_types_are_shown_as_often_as_frequent_ones() -> None:
    assert Counter(example.kind for example in choose_examples(_questions(400, 100))) == {"color": 9, "presence": 9}


def test_the_choice_depends_on_the_seed_alone() -> None:
    questions = _questions(200, 50)
    assert (
        choose_examples(questions, seed=3) == choose_examples(questions, seed=3) != choose_examples(questions, seed=4)
    )


def _count(path: Path, color: str) -> int:
    """Pixels of just this colour."""
    pixels = np.asarray(Image.open(path).convert("RGB"), dtype=int)
    return int((np.abs(pixels - np.round(255 * np.array(to_rgb(color)))).max(axis=-1) <= 1).sum())


@pytest.mark.parametrize(("answer", "shown", "hidden"), [("rectangle", RIGHT, WRONG), ("circle", WRONG, RIGHT)])
def test_right_and_wrong_answers_differ_in_colour(
    shapes: ArrowTable, submit: Callable[[dict[int, str]], Path], tmp_path: Path, answer: str, shown: str, hidden: str
) -> None:
    questions = read_answered_questions(submit({100: "red", 101: "no", 102: answer, 103: "yes"}), shapes)
    path = tmp_path / "new" / "predictions.png"
    plot_predictions(questions, questions[2:3], shapes, path)
    assert _count(path, shown) > 1000
    assert _count(path, hidden) == 0
    assert [file.name for file in path.parent.iterdir()] == ["predictions.png"]


def test_signs_that_mean_something_to_the_drawing_library_are_plain_text(
    make_table: Callable[..., ArrowTable], submit: Callable[[dict[int, str]], Path], tmp_path: Path
) -> None:
    table = make_table([[("how much, $5 or $^_{?" + " word" * 60, {"$10$_": 1.0})], [("why?", {})]])
    questions = read_answered_questions(submit({100: "$10$_", 101: ""}), table)
    plot_predictions(questions, choose_examples(questions), table, tmp_path / "predictions.png")
    assert Image.open(tmp_path / "predictions.png").size[0] > 1000


@pytest.mark.parametrize("image", [b"no image", None])
def test_an_unreadable_image_is_named_and_leaves_no_file(
    make_table: Callable[..., ArrowTable], submit: Callable[[dict[int, str]], Path], tmp_path: Path, image: bytes | None
) -> None:
    table = make_table([[("why?", {"so": 1.0})]], image=[image])
    questions = read_answered_questions(submit({100: "so"}), table)
    with pytest.raises(ValueError, match="data.arrow row 0: the image cannot be read"):
        plot_predictions(questions, questions, table, tmp_path / "out" / "predictions.png")
    assert not (tmp_path / "out").exists()
