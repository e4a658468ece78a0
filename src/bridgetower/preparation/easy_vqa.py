"""The easy-VQA data set: drawings of one coloured shape, with questions about them.

The PyPI package `easy-vqa` carries the data. Questions become arrow files in the VQAv2 layout, and what the questions
and answers of an image give away about its shape and colour becomes captions in the layout of COCO. The shape also
becomes a class, for the task `classify`.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..datasets.specs import DATASETS
from ..files import write_json
from . import splits
from .json_stream import read_json
from .schemas import CAPTIONS, IMAGE_CLASSES, VQA
from .tables import (
    PreparationError,
    Row,
    Settings,
    Table,
    caption_rows,
    image_number,
    list_images,
    shuffled,
)
from .text_files import read_lines

SHAPES = DATASETS["easy_vqa_shape"].class_names
COLORS = ("black", "blue", "brown", "gray", "green", "red", "teal", "yellow")
QUESTION_TYPES = ("shape", "color", "presence", "negated presence")

_SUBJECT = re.compile(rf"\b({'|'.join(COLORS)}) shape\b|\b({'|'.join(SHAPES)})\b|(?<=the )shape\b")
# Every question is one of these with a subject: a coloured shape, a kind of shape, or just "shape".
_TYPE_OF_TEMPLATE = {
    "what shape is in the image?": "shape",
    "what shape does the image contain?": "shape",
    "what shape is present?": "shape",
    "what is the {}?": "shape",
    "what color is the {}?": "color",
    "what is the color of the {}?": "color",
    "is there a {}?": "presence",
    "is there a {} in the image?": "presence",
    "does the image contain a {}?": "presence",
    "is a {} present?": "presence",
    "is there not a {}?": "negated presence",
    "is there not a {} in the image?": "negated presence",
    "does the image not contain a {}?": "negated presence",
    "is no {} present?": "negated presence",
}


@dataclass(frozen=True)
class Question:
    """A question of the data set; `id` counts through the official order, the test split after the training split."""

    id: int
    text: str
    answer: str
    image_id: int


def _parse(question: str) -> tuple[str, str | None, str | None]:
    """Type of a question, and the colour and the shape that it speaks of.

    Raises:
        PreparationError: the question is none of this data set's.
    """
    text = question.strip().lower()
    subject = _SUBJECT.search(text)
    kind = _TYPE_OF_TEMPLATE.get(_SUBJECT.sub("{}", text, count=1))
    if kind is None:
        raise PreparationError(f"{question!r} is not an easy-VQA question")
    color, shape = subject.groups() if subject else (None, None)
    return kind, color, shape


def question_type(question: str) -> str:
    """Type of an easy-VQA question, one of `QUESTION_TYPES`.

    Raises:
        PreparationError: the question is none of this data set's.
    """
    return _parse(question)[0]


def data_folder(source: Path | None = None) -> Path:
    """Folder with `answers.txt`, `train/` and `test/`: `source` (or its `data/`), or that of the installed package.

    Raises:
        PreparationError: there is no such folder.
    """
    if source is None:
        spec = importlib.util.find_spec("easy_vqa")
        if spec is None or not spec.submodule_search_locations:
            raise PreparationError("the package easy-vqa is not installed; `pip install easy-vqa` or give --source")
        source = Path(spec.submodule_search_locations[0])
    for folder in (source, source / "data"):
        if (folder / "answers.txt").is_file():
            return folder
    raise PreparationError(f"{source}: no answers.txt; --source must have the layout of the package easy-vqa")


def load_answers(source: Path | None = None) -> list[str]:
    """The answers in the package's order, which is the order of the labels."""
    return [line for _, line in read_lines(data_folder(source) / "answers.txt")]


def load_questions(split: str, source: Path | None = None) -> list[Question]:
    """The questions of a split in the official order.

    Raises:
        PreparationError: a file is missing or not in the layout of the package.
    """
    folder = data_folder(source)
    questions: list[Question] = []
    for name in splits.EASY_VQA[: splits.EASY_VQA.index(split) + 1]:
        path = folder / name / "questions.json"
        first = len(questions)
        entries = read_json(path, [(str, str, int)])
        questions += [Question(first + n, *entry) for n, entry in enumerate(entries)]
    return questions[first:]


def determined(questions: Iterable[Question]) -> tuple[str | None, str | None]:
    """Colour and shape of an image as far as its questions and answers determine them, also by elimination.

    Raises:
        PreparationError: the answers contradict each other.
    """
    questions = list(questions)
    colors, shapes = set(COLORS), set(SHAPES)
    for question in questions:
        kind, color, shape = _parse(question.text)
        # "What is the red shape?" says that there is a red shape, whatever the answer.
        present = True
        if kind == "color":
            color = question.answer
        elif kind == "shape":
            shape = question.answer
        else:
            present = (question.answer == "yes") == (kind == "presence")
        if color is not None:
            colors = colors & {color} if present else colors - {color}
        if shape is not None:
            shapes = shapes & {shape} if present else shapes - {shape}
    if not colors or not shapes:
        raise PreparationError(f"image {questions[0].image_id}: its questions and answers contradict each other")
    return (colors.pop() if len(colors) == 1 else None), (shapes.pop() if len(shapes) == 1 else None)


def captions(color: str | None, shape: str | None) -> list[str]:
    """Sentences that say what is known of an image's colour and shape; none when nothing is.

    Some leave the colour out. A false caption has another colour seven times of eight, so that a model that matches
    captions with both would hardly need to look at the shape.
    """
    if color and shape:
        return [
            f"a {color} {shape}",
            f"there is a {color} {shape} in the image",
            f"the image contains a {shape} that is {color}",
            f"the color of the {shape} is {color}",
            f"there is a {shape} in the image",
            f"the shape in the image is a {shape}",
        ]
    if color:
        return [f"a {color} shape", f"there is a {color} shape in the image", f"the color of the shape is {color}"]
    if shape:
        return [f"a {shape}", f"there is a {shape} in the image", f"the shape in the image is a {shape}"]
    return []


def tables(settings: Settings) -> Iterator[Table]:
    """`easy_vqa_{train,test}`, `easy_vqa_caption_{train,test}`, `easy_vqa_shape_{train,test}` and the answers."""
    folder = data_folder(settings.source)
    answers = load_answers(folder)
    write_json(settings.output / "easy_vqa_answers.json", answers, indent=None)
    for split in filter(settings.wants, splits.EASY_VQA):
        by_image: dict[int, list[Question]] = {}
        for question in load_questions(split, folder):
            by_image.setdefault(question.image_id, []).append(question)
        paths = shuffled(list_images([folder / split / "images"], ".png"), settings.seed)
        images = [path for path in paths if image_number(path) in by_image]
        present = set(map(image_number, images))
        missing = [str(folder / split / "images" / f"{number}.png") for number in by_image if number not in present]
        try:
            known = {f"{number}.png": determined(questions) for number, questions in by_image.items()}
        except PreparationError as error:
            raise PreparationError(f"{folder / split / 'questions.json'}: {error}") from error
        yield Table(f"easy_vqa_{split}", VQA, images, _question_row(by_image, answers, split), missing)
        texts = {name: captions(*facts) for name, facts in known.items()}
        captioned = [path for path in images if texts[Path(path).name]]
        row = caption_rows(texts.__getitem__, split)
        yield Table(f"easy_vqa_caption_{split}", CAPTIONS, captioned, row, missing)
        shapes = {name: shape for name, (_, shape) in known.items() if shape}
        shaped = [path for path in images if Path(path).name in shapes]
        yield Table(f"easy_vqa_shape_{split}", IMAGE_CLASSES, shaped, _shape_row(shapes), missing)


def _shape_row(shapes: Mapping[str, str]) -> Callable[[str], Row]:
    def row(path: str) -> Row:
        name = Path(path).name
        return Row((Path(path),), {"labels": [SHAPES.index(shapes[name])], "identifiers": [name]})

    return row


def _question_row(by_image: dict[int, list[Question]], answers: list[str], split: str) -> Callable[[str], Row]:
    labels = {answer: label for label, answer in enumerate(answers)}

    def row(path: str) -> Row:
        questions = by_image[image_number(path)]
        unknown = {question.answer for question in questions} - labels.keys()
        if unknown:
            raise PreparationError(f"image {path}: answer {unknown.pop()!r} is not in answers.txt")
        values = {
            "questions": [question.text for question in questions],
            "answers": [[question.answer] for question in questions],
            "answer_labels": [[labels[question.answer]] for question in questions],
            "answer_scores": [[1.0] for _ in questions],
            "image_id": image_number(path),
            "question_id": [question.id for question in questions],
            "split": split,
        }
        return Row((Path(path),), values)

    return row
