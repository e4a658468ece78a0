"""A submission meets its questions: scores, question types, and refusals of files that do not belong together."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from bridgetower.datasets.arrow import ArrowTable
from bridgetower.report import AnsweredQuestion, TypeAccuracy, accuracy_by_type, read_answered_questions

Submit = Callable[[dict[int, str]], Path]
MakeTable = Callable[..., ArrowTable]


def test_easy_vqa_is_grouped_by_its_own_question_types(shapes: ArrowTable, submit: Submit) -> None:
    questions = read_answered_questions(submit({103: "no", 100: "red", 101: "no", 102: "circle"}), shapes)
    assert questions[2] == AnsweredQuestion(1, "what shape is present?", "circle", "rectangle", 0.0, "shape")
    assert accuracy_by_type(questions) == [
        TypeAccuracy("color", 1, 1.0),
        TypeAccuracy("presence", 2, 0.5),
        TypeAccuracy("shape", 1, 0.0),
        TypeAccuracy("all", 4, 0.5),
    ]


def test_other_data_is_grouped_by_answer_type_and_scored_softly(make_table: MakeTable, submit: Submit) -> None:
    table = make_table(
        [
            [("is it hot?", {"yes": 0.3, "no": 1.0}), ("is there a triangle?", {"yes": 1.0})],
            [("how many?", {"3": 1.0}), ("why?", {}), ("what?", {"a dog": 0.6, "dog": 1.0})],
        ]
    )
    questions = read_answered_questions(submit({100: "yes", 101: "yes", 102: "3", 103: "because", 104: "a dog"}), table)
    assert [question.truth for question in questions] == ["no", "yes", "3", "", "dog"]
    assert accuracy_by_type(questions) == [
        TypeAccuracy("number", 1, 1.0),
        TypeAccuracy("other", 2, pytest.approx(0.3)),
        TypeAccuracy("yes/no", 2, pytest.approx(0.65)),
        TypeAccuracy("all", 5, pytest.approx(0.58)),
    ]


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (
            {100: "red", 101: "no", 102: "circle"},
            r"leaves 1 of the questions .*data.arrow without an answer \(question_id 103\)",
        ),
        ({100: "red"}, r"leaves 3 of the questions .*\(question_id 101, 102, 103\)"),
        (
            {n: "no" for n in range(100, 109)},
            r"answers 5 questions that .*data.arrow does not hold \(question_id 104, 105, 106, ...\)",
        ),
    ],
)
def test_a_submission_for_other_questions_is_refused(
    shapes: ArrowTable, submit: Submit, answers: dict[int, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        read_answered_questions(submit(answers), shapes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not a JSON list"),
        ('{"100": "red"}', "is not a JSON list .* it holds {'100': 'red'}"),
        ('[{"question_id": "100", "answer": "red"}]', "it holds {'question_id': '100'"),
        ('[{"question_id": 100}]', "it holds {'question_id': 100}"),
        ('["red"]', "it holds red"),
        ('[{"question_id": 1, "answer": "a"}, {"question_id": 1, "answer": "b"}]', "answers question 1 twice"),
    ],
)
def test_a_file_that_is_no_submission_is_refused(shapes: ArrowTable, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "submission.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as raised:
        read_answered_questions(path, shapes)
    assert str(path) in str(raised.value)


def test_a_missing_submission_is_an_error_that_says_who_writes_it(shapes: ArrowTable, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none.json does not exist; train.py --do_predict"):
        read_answered_questions(tmp_path / "none.json", shapes)


def test_data_without_answers_cannot_be_scored(make_table: MakeTable, submit: Submit) -> None:
    with pytest.raises(ValueError, match="data.arrow holds no answers"):
        read_answered_questions(submit({100: "red"}), make_table([[("what?", {})]]))


def test_lists_of_different_lengths_are_named_with_their_row(make_table: MakeTable, submit: Submit) -> None:
    table = make_table([[("what?", {"dog": 1.0})]] * 2, question_id=[[100], [101, 102]])
    with pytest.raises(ValueError, match="data.arrow row 1 holds 2 question_id, 1 questions"):
        read_answered_questions(submit({100: "dog"}), table)


def test_an_arrow_file_of_another_kind_is_refused(submit: Submit, tmp_path: Path) -> None:
    path = tmp_path / "captions.arrow"
    table = pa.table({"image": [b""], "caption": [["a dog"]]})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(KeyError, match="captions.arrow has no column question_id, questions"):
        read_answered_questions(submit({100: "red"}), ArrowTable(path))
