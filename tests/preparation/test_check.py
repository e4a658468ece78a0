"""Validation of arrow files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from bridgetower.preparation.check import MAX_PROBLEMS
from bridgetower.preparation.schemas import CAPTIONS, NLVR2, SNLI_VE, VG_CAPTIONS, VQA, VQA_TEST
from tests.preparation.own_data.pictures import write_tar
from tests.preparation.raw_data import encoded_image, run, write_arrow

IMAGE = encoded_image(1)
GOOD: dict[str, tuple[pa.Schema, dict[str, Any]]] = {
    "captions": (CAPTIONS, {"image": IMAGE, "caption": ["a", "b"], "image_id": "1.jpg", "split": "train"}),
    "VG captions": (
        VG_CAPTIONS,
        {"image": IMAGE, "caption": ["a"], "width": [1], "height": [1], "x": [0], "y": [0], "image_id": "1"},
    ),
    "VQA": (
        VQA,
        {
            "image": IMAGE,
            "questions": ["q", "r"],
            "answers": [["yes", "no"], ["yes"]],
            "answer_labels": [[0, 3128], [0]],
            "answer_scores": [[1.0, 0.3], [0.6]],
            "image_id": 1,
            "question_id": [1, 2],
            "split": "train",
        },
    ),
    "VQA test": (
        VQA_TEST,
        {
            "image": IMAGE,
            "questions": ["q"],
            "answers": [],
            "answer_labels": [],
            "answer_scores": [],
            "image_id": 1,
            "question_id": [1],
            "split": "test",
        },
    ),
    "NLVR2": (
        NLVR2,
        {"image_0": IMAGE, "image_1": IMAGE, "questions": ["q"], "answers": ["True"], "identifier": "dev-1-0"},
    ),
    "SNLI-VE": (SNLI_VE, {"image": IMAGE, "sentences": [["p", "h"]], "labels": [2]}),
}


def write_rows(path: Path, schema: pa.Schema, *rows: dict[str, Any]) -> Path:
    return write_arrow(path, schema, **{name: [row[name] for row in rows] for name in schema.names})


def large(schema: pa.Schema) -> pa.Schema:
    """The types that newer pandas versions write."""

    def enlarge(kind: pa.DataType) -> pa.DataType:
        if pa.types.is_list(kind):
            return pa.large_list(enlarge(kind.value_type))
        return {pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}.get(kind, kind)

    return pa.schema([(column.name, enlarge(column.type)) for column in schema])


@pytest.mark.parametrize("family", GOOD)
@pytest.mark.parametrize("convert", [lambda schema: schema, large], ids=["string", "large_string"])
def test_good_files_of_every_family(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], family: str, convert: Any
) -> None:
    schema, row = GOOD[family]
    second = {**row, **({"question_id": [n + 5 for n in row["question_id"]]} if "question_id" in row else {})}
    write_rows(tmp_path / "x.arrow", convert(schema), row, second)
    assert run("check", "--source", tmp_path) == 0
    header, line = capsys.readouterr().out.splitlines()
    texts = 2 * len(row.get("caption") or row.get("questions") or row["sentences"])
    assert line.split() == [str(tmp_path / "x.arrow"), *family.split(), "2", str(texts), "none"]


@pytest.mark.parametrize(
    ("family", "change", "message"),
    [
        ("captions", {"image": IMAGE[:-30]}, "row 1: embedded image: not a readable image"),
        ("captions", {"image": None}, "row 1: embedded image: not a readable image"),
        ("captions", {"caption": []}, "row 1: no text"),
        ("captions", {"caption": ["a", None]}, "row 1: caption: no value"),
        ("VG captions", {"x": [1, 2]}, "row 1: lists of different lengths: 1 caption, 1 width, 1 height, 2 x, 1 y"),
        ("VQA", {"question_id": [9]}, "row 1: lists of different lengths: 2 questions, 1 question_id"),
        ("VQA", {"answers": [["yes"], ["yes"]]}, "row 1: 1 answers, 2 labels and 2 scores of a question"),
        ("VQA", {"answer_labels": [[0, 3129], [0]]}, "row 1: answer label 3129 is not from 0 to 3128"),
        ("VQA", {"answer_labels": [[-1, 3128], [0]]}, "row 1: answer label -1 is not"),
        ("VQA", {"answers": [["yes", "no"], ["maybe"]]}, "row 1: label 0 is 'maybe' here and 'yes' in another row"),
        ("VQA", {"answer_scores": [[1.0, 0.3], [1.1]]}, "row 1: answer score 1.1 is not above 0 and up to 1"),
        ("VQA", {"question_id": [9, 2]}, "row 1: question_id 2 occurs a second time"),
        ("VQA test", {"question_id": [1]}, "row 1: question_id 1 occurs a second time"),
        ("VQA test", {"question_id": [8, 9]}, "row 1: lists of different lengths: 1 questions, 2 question_id"),
        ("NLVR2", {"image_1": b"x"}, "row 1: embedded image: not a readable image"),
        ("NLVR2", {"answers": ["true"]}, "row 1: answer 'true' is neither True nor False"),
        ("NLVR2", {"answers": []}, "row 1: lists of different lengths: 1 questions, 0 answers"),
        ("SNLI-VE", {"labels": [3]}, "row 1: label 3 is not from 0 to 2"),
        ("SNLI-VE", {"labels": [1, 2]}, "row 1: lists of different lengths: 1 sentences, 2 labels"),
        ("SNLI-VE", {"sentences": [["h"]]}, "row 1: 1 sentences where a pair should be"),
    ],
)
def test_each_problem_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], family: str, change: dict[str, Any], message: str
) -> None:
    schema, row = GOOD[family]
    other = {"question_id": [n + 5 for n in row["question_id"]]} if "question_id" in row else {}
    path = write_rows(tmp_path / "x.arrow", schema, row, {**row, **other, **change})
    assert run("check", "--source", path) == 2
    captured = capsys.readouterr()
    (line,) = (line for line in captured.err.splitlines() if line.startswith("error: "))
    assert line.startswith(f"error: {path}: {message}")
    assert captured.out.splitlines()[1].split()[-1] == "1"


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (pa.schema([("image", pa.binary()), ("text", pa.string())]), "columns image, text are those of no data set"),
        (
            CAPTIONS.set(1, pa.field("caption", pa.string())),
            "column caption holds string and should hold list<item: string>",
        ),
        (VQA.set(3, pa.field("answer_labels", pa.list_(pa.int64()))), "column answer_labels holds list<item: int64>"),
    ],
)
def test_other_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str], schema: pa.Schema, message: str) -> None:
    write_arrow(tmp_path / "x.arrow", schema, **{schema.names[0]: [None]})
    assert run("check", "--source", tmp_path) == 2
    assert message in capsys.readouterr().err


def test_empty_shards_of_the_original_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_arrow(tmp_path / "sbu_9.arrow", pa.schema([(name, pa.null()) for name in CAPTIONS.names]), image=[])
    assert run("check", "--source", tmp_path) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[1:] == ["unknown", "0", "0", "none"]


def test_classes_come_from_the_answer_list_or_the_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schema, row = GOOD["VQA"]
    write_rows(tmp_path / "my_vqa_train.arrow", schema, row)
    (tmp_path / "my_vqa_answers.json").write_text(json.dumps(["yes", "no"]))
    assert run("check", "--source", tmp_path) == 2
    assert "answer label 3128 is not from 0 to 1" in capsys.readouterr().err
    assert run("check", "--source", tmp_path, "--num_labels", 3129) == 0


def test_all_files_are_reported_and_long_lists_of_problems_are_cut(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema, row = GOOD["SNLI-VE"]
    write_rows(tmp_path / "a.arrow", schema, *[{**row, "labels": [7]}] * (MAX_PROBLEMS + 3))
    (tmp_path / "b.arrow").write_bytes(b"cut off")
    write_rows(tmp_path / "c.arrow", schema, row)
    assert run("--check", tmp_path) == 2
    captured = capsys.readouterr()
    assert [line.split()[-1] for line in captured.out.splitlines()[1:]] == [str(MAX_PROBLEMS + 3), "1", "none"]
    errors = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == MAX_PROBLEMS + 2
    assert errors[-2] == f"error: {tmp_path / 'a.arrow'}: and 3 more"
    assert errors[-1].startswith(f"error: {tmp_path / 'b.arrow'}: not a complete arrow file")


def test_shards_are_checked_where_no_arrow_file_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = [("1.png", IMAGE), ("1.txt", b"x"), ("2.png", IMAGE), ("2.json", b'{"caption": "y"}')]
    write_tar(tmp_path / "0.tar", good)
    assert run("check", "--source", tmp_path) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == [f"{tmp_path}/0.tar", "tar", "shard", "2", "2", "none"]
    lacking = [(f"{n}.txt", b"x") for n in range(MAX_PROBLEMS + 5)]
    write_tar(tmp_path / "1.tar", [*good, ("3.png", IMAGE[:40]), ("3.txt", b"z"), *((f"a/{n}", x) for n, x in lacking)])
    (tmp_path / "2.tar").write_bytes((tmp_path / "0.tar").read_bytes()[:700])
    assert run("check", "--source", tmp_path) == 2
    captured = capsys.readouterr()
    assert captured.out.splitlines()[2].split()[-3:] == ["3", "3", "16"]
    for message in ("1.tar: sample 2: ", "1.tar: left out, a/0 (no picture)", "and 6 more", "2.tar: cannot be read"):
        assert message in captured.err, captured.err
