"""Visual Genome: captions, the VG-QA split and VG-QA."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from bridgetower.preparation.schemas import VG_CAPTIONS, VQA
from tests.preparation.raw_data import (
    SHARED,
    genome_questions,
    genome_regions,
    genome_release,
    has_schema,
    row_order,
    rows,
    run,
    vqa_release,
)


@pytest.fixture
def genome(tmp_path: Path) -> Path:
    genome_release(tmp_path / "data" / "vg")
    vqa_release(tmp_path / "data" / SHARED)
    return tmp_path / "data" / "vg"


def test_captions(genome: Path, tmp_path: Path) -> None:
    genome_regions(genome)
    assert run("vg", "--source", tmp_path / "data", "--output", tmp_path / "out") == 0
    path = tmp_path / "out" / "vg.arrow"
    assert has_schema(path, VG_CAPTIONS)
    names = [f"VG_100K/{n}.jpg" for n in range(1, 13, 2)] + [f"VG_100K_2/{n}.jpg" for n in range(2, 13, 2)]
    order = [int(Path(name).stem) for name in row_order(names)]
    found = rows(path)
    assert [row["image_id"] for row in found] == [str(n) for n in order if n != 12]
    last = {row["image_id"]: row for row in found}["10"]
    assert last.pop("image") == (genome / "images/VG_100K_2/10.jpg").read_bytes()
    assert last == {
        "caption": ["10 a", "the 10 b"], "width": [5, 5], "height": [6, 6], "x": [4, 8], "y": [8, 8], "image_id": "10"
    }  # fmt: skip


def split(tmp_path: Path, held_out: int = 3) -> int:
    data = tmp_path / "data"
    return run("vgqa_split", "--source", data, "--output", data / "vg" / "vgqa", "--held_out", held_out)


def test_split(genome: Path, tmp_path: Path) -> None:
    assert split(tmp_path) == 0
    coco, ids = (json.loads((genome / "vgqa" / f"{name}.json").read_text()) for name in ("coco_ids", "ids"))
    assert coco == {"train": [1, 2, 3], "val": [4], "test": [5]}
    rest = list(range(6, 13))
    random.seed(0)
    random.shuffle(rest)
    assert ids == {"train": [1, 2, 3, *rest[:3]], "val": [4, rest[4], rest[3]], "test": [5, rest[6], rest[5]]}


@pytest.mark.parametrize(
    ("held_out", "message"), [(5, "val has 1 COCO images and 3 others"), (None, "test has 1 COCO")]
)
def test_a_split_that_cannot_be(
    genome: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], held_out: int | None, message: str
) -> None:
    assert split(tmp_path, held_out or 5000) == 2
    assert message in capsys.readouterr().err


@pytest.fixture
def questions(genome: Path) -> None:
    genome_questions(genome)


def test_questions(genome: Path, tmp_path: Path, questions: None) -> None:
    assert split(tmp_path) == 0
    for name, others in (("vgqa", {6}), ("vgqa_coco", set())):
        assert run(name, "--source", tmp_path / "data", "--output", tmp_path / "out") == 0
        files = {part: tmp_path / "out" / f"{name}_{part}.arrow" for part in ("train", "val")}
        found = {part: {row["image_id"]: row for row in rows(path)} for part, path in files.items()}
        assert all(has_schema(path, VQA) for path in files.values())
        assert {*found["train"], *found["val"]} == {1, 4, 5} | others
        assert {1} <= found["train"].keys() and {4, 5} <= found["val"].keys()
    assert found["train"][1] == {
        "image": (genome / "images/VG_100K/1.jpg").read_bytes(),
        "questions": ["is it?", "How many?"],
        "answers": [["yes"], ["2"]],
        "answer_labels": [[0], [1]],
        "answer_scores": [[1.0], [1.0]],
        "image_id": 1,
        "question_id": [101, 105],
        "split": "train",
    }


def test_without_the_split_the_command_is_named(
    genome: Path, tmp_path: Path, questions: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("vgqa", "--source", tmp_path / "data", "--output", tmp_path / "out") == 2
    assert "vgqa/ids.json" in (error := capsys.readouterr().err) and "vgqa_split" in error
