"""The easy-VQA data set: question types, captions and arrow files."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from bridgetower.datasets import DatasetOptions, build_dataset
from bridgetower.preparation import PreparationError
from bridgetower.preparation.easy_vqa import (
    COLORS,
    SHAPES,
    Question,
    captions,
    determined,
    load_answers,
    load_questions,
    question_type,
)
from bridgetower.preparation.schemas import CAPTIONS, IMAGE_CLASSES, VQA
from tests.preparation.raw_data import make_image, read_arrow, rows, run

QUESTIONS = [
    ["what is the blue shape?", "rectangle", 0],
    ["is there a red shape?", "no", 0],
    ["is no circle present?", "yes", 1],
    ["does the image contain a triangle?", "no", 1],
    ["is there not a teal shape in the image?", "no", 2],
    ["is a gray shape present?", "no", 3],
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A miniature in the package's layout: four images per split."""
    folder = tmp_path / "raw"
    for split in ("train", "test"):
        for number in range(4):
            make_image(folder / "data" / split / "images" / f"{number}.png")
        (folder / "data" / split / "questions.json").write_text(json.dumps(QUESTIONS))
    answers = ["circle", "yes", "rectangle", "no"]
    (folder / "data" / "answers.txt").write_text("\n".join(answers) + "\n")
    return folder


def test_every_question_of_the_package_has_a_type() -> None:
    questions = load_questions("train") + load_questions("test")
    assert [question.id for question in questions] == list(range(48_248))
    counts = Counter(question_type(question.text) for question in questions)
    assert counts == {"shape": 6_259, "color": 6_446, "presence": 17_718, "negated presence": 17_825}
    for question in questions:
        yes_no = question_type(question.text) in ("presence", "negated presence")
        assert (question.answer in ("yes", "no")) == yes_no
        assert (question.answer in COLORS) == (question_type(question.text) == "color")


@pytest.mark.parametrize("question", ["", "what is that?", "is there a pink shape?", "is there a red shape? no"])
def test_other_questions_are_refused(question: str) -> None:
    with pytest.raises(ValueError, match="not an easy-VQA question"):
        question_type(question)


def test_captions_of_the_package_agree_with_every_question() -> None:
    assert load_answers()[:3] == ["circle", "green", "red"] and len(load_answers()) == 13
    by_image: dict[int, list[Question]] = {}
    for question in load_questions("train"):
        by_image.setdefault(question.image_id, []).append(question)
    found = {image: determined(questions) for image, questions in by_image.items()}
    assert sum(any(facts) for facts in found.values()) == 3_971
    for image, (color, shape) in found.items():
        for question in by_image[image]:
            kind = question_type(question.text)
            if kind == "color":
                assert color == question.answer
            elif kind == "shape":
                assert shape == question.answer
            else:
                said = {word.strip("?") for word in question.text.split()} & {*COLORS, *SHAPES}
                known = {color} & {*COLORS} if said & {*COLORS} else {shape} & {*SHAPES}
                present = (question.answer == "yes") == (kind == "presence")
                assert not known or (known == said) == present


@pytest.mark.parametrize(
    ("texts", "facts"),
    [
        ([("what is the blue shape?", "circle")], ("blue", "circle")),
        ([("what color is the triangle?", "red")], ("red", "triangle")),
        ([("what color is the shape?", "red")], ("red", None)),
        ([("is there a circle?", "no"), ("is there not a triangle?", "yes")], (None, "rectangle")),
        ([("is a gray shape present?", "no")], (None, None)),
        ([("is no gray shape present?", "no")], ("gray", None)),
    ],
)
def test_facts_of_questions(texts: list[tuple[str, str]], facts: tuple[str | None, str | None]) -> None:
    assert determined([Question(n, text, answer, 0) for n, (text, answer) in enumerate(texts)]) == facts


def test_contradicting_answers_are_an_error() -> None:
    questions = [Question(0, "is there a circle?", "yes", 9), Question(1, "what shape is present?", "triangle", 9)]
    with pytest.raises(PreparationError, match="image 9: .*contradict"):
        determined(questions)


@pytest.mark.parametrize("color", [None, "red"])
@pytest.mark.parametrize("shape", [None, "circle"])
def test_captions_say_what_is_known_and_nothing_else(color: str | None, shape: str | None) -> None:
    made, known = captions(color, shape), {color, shape} - {None}
    assert len(made) == len(set(made)) and bool(made) == bool(known)
    said = [set(caption.split()) & {*COLORS, *SHAPES} for caption in made]
    assert all(said) and all(facts <= known for facts in said) and (not made or said[0] == known)
    # Some say the shape alone: otherwise matching is learned from the colours.
    assert shape is None or {shape} in said


def test_arrow_files(source: Path, tmp_path: Path) -> None:
    assert run("easy_vqa", "--source", source, "--output", tmp_path / "out") == 0
    out = tmp_path / "out"
    assert json.loads((out / "easy_vqa_answers.json").read_text()) == ["circle", "yes", "rectangle", "no"]
    for name, schema in (("easy_vqa", VQA), ("easy_vqa_caption", CAPTIONS), ("easy_vqa_shape", IMAGE_CLASSES)):
        for split in ("train", "test"):
            assert read_arrow(out / f"{name}_{split}.arrow").schema.equals(schema, check_metadata=False)
    (row,) = (row for row in rows(out / "easy_vqa_test.arrow") if row["image_id"] == 1)
    image = (source / "data" / "test" / "images" / "1.png").read_bytes()
    assert row == {
        "image": image,
        "questions": ["is no circle present?", "does the image contain a triangle?"],
        "answers": [["yes"], ["no"]],
        "answer_labels": [[1], [3]],
        "answer_scores": [[1.0], [1.0]],
        "image_id": 1,
        "question_id": [8, 9],
        "split": "test",
    }
    captioned = {row["image_id"]: row["caption"][0] for row in rows(out / "easy_vqa_caption_train.arrow")}
    assert captioned == {"0.png": "a blue rectangle", "1.png": "a rectangle", "2.png": "a teal shape"}
    shapes = {row["identifiers"][0]: row["labels"] for row in rows(out / "easy_vqa_shape_train.arrow")}
    assert shapes == {name: [SHAPES.index("rectangle")] for name in ("0.png", "1.png")}


def test_the_classes_of_the_shapes_train(source: Path, tmp_path: Path) -> None:
    assert run("easy_vqa", "--source", source, "--output", tmp_path) == 0
    options = DatasetOptions(mode="image_only", image_size=16, transform="clip")
    dataset = build_dataset(["easy_vqa_shape"], "train", tmp_path, options)
    assert len(dataset) == 2 and {dataset[index].label for index in range(2)} == {1}


def test_seed_and_splits(source: Path, tmp_path: Path) -> None:
    orders = {}
    for seed in range(4):
        out = tmp_path / str(seed)
        assert run("easy_vqa", "--source", source, "--output", out, "--seed", seed, "--splits", "train") == 0
        assert not (out / "easy_vqa_test.arrow").exists()
        orders[seed] = [row["image_id"] for row in rows(out / "easy_vqa_train.arrow")]
        assert sorted(orders[seed]) == [0, 1, 2, 3]
    assert len(set(map(tuple, orders.values()))) > 1
    assert run("easy_vqa", "--source", source, "--output", tmp_path / "again", "--splits", "train") == 0
    assert [row["image_id"] for row in rows(tmp_path / "again" / "easy_vqa_train.arrow")] == orders[0]


@pytest.mark.parametrize(
    ("breakage", "message"),
    [
        ("answers.txt", "answers.txt"),
        ("train/questions.json", "questions.json: No such file"),
        ("train/images/2.png", "1 annotated images are not on disk"),
    ],
)
def test_missing_parts_are_named(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], breakage: str, message: str
) -> None:
    (source / "data" / breakage).unlink()
    assert run("easy_vqa", "--source", source, "--output", tmp_path / "out") == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and message in error


def test_an_answer_outside_the_list_is_named(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (source / "data" / "answers.txt").write_text("yes\nno\n")
    assert run("easy_vqa", "--source", source, "--output", tmp_path / "out") == 2
    assert "answer 'rectangle' is not in answers.txt" in capsys.readouterr().err
