"""SNLI-VE and NLVR2, whose annotations are JSON lines in the order of the rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridgetower.preparation.schemas import NLVR2_WITH_SENTENCES, SNLI_VE
from tests.preparation.raw_data import (
    SHARED,
    entailment_line,
    entailment_release,
    has_schema,
    nlvr2_line,
    nlvr2_release,
    rows,
    run,
    tables,
    write_json_lines,
)


@pytest.fixture
def entailment(tmp_path: Path) -> Path:
    entailment_release(tmp_path / SHARED)
    return tmp_path / SHARED


def test_entailment(entailment: Path, tmp_path: Path) -> None:
    assert run("snli", "--source", tmp_path, "--output", tmp_path / "out") == 0
    for split in ("train", "dev", "test"):
        path = tmp_path / "out" / f"snli_{split}.arrow"
        assert has_schema(path, SNLI_VE)
        assert rows(path) == [
            {
                "image": (entailment / "flickr30k-images/3.jpg").read_bytes(),
                "sentences": [["premise 3", "a "], ["premise 3", "c"]],
                "labels": [2, 0],
            },
            {
                "image": (entailment / "flickr30k-images/1.jpg").read_bytes(),
                "sentences": [["premise 1", "b"]],
                "labels": [1],
            },
        ]


def test_entailment_errors(entailment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (entailment / "flickr30k-images/1.jpg").unlink()
    assert run("snli", "--source", tmp_path, "--output", tmp_path / "out") == 2
    assert "flickr30k-images/1.jpg: No such file" in capsys.readouterr().err
    lines = [entailment_line(3, "a", "entailment"), entailment_line(3, "b", "-")]
    write_json_lines(entailment / "snli_ve/snli_ve_dev.jsonl", lines)
    assert run("snli", "--source", tmp_path, "--output", tmp_path / "out", "--splits", "dev") == 2
    assert "snli_ve_dev.jsonl, line 2: label '-' is none of contradiction" in capsys.readouterr().err


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    nlvr2_release(tmp_path / "nlvr")
    return tmp_path / "nlvr"


@pytest.mark.parametrize("source", [".", "nlvr"])
def test_image_pairs(pairs: Path, tmp_path: Path, source: str) -> None:
    assert run("nlvr2", "--source", tmp_path / source, "--output", tmp_path / "out") == 0
    files = {path.stem: path for path in tables(tmp_path / "out")}
    others = {f"nlvr2_{kind}{split}" for kind in ("", "balanced_", "unbalanced_") for split in ("dev", "test1")}
    assert files.keys() == {"nlvr2_train"} | others
    assert all(has_schema(path, NLVR2_WITH_SENTENCES) for path in files.values())
    first, second = rows(files["nlvr2_train"])
    assert first == {
        "image_0": (pairs / "images/train/2/train-6-1-img0.png").read_bytes(),
        "image_1": (pairs / "images/train/2/train-6-1-img1.png").read_bytes(),
        "questions": ["about train-6-1-0", "about train-6-1-1"],
        "answers": ["True", "False"],
        "identifier": "train-6-1",
        "identifiers": ["train-6-1-0", "train-6-1-1"],
    }
    assert (second["identifier"], second["answers"]) == ("train-5-0", ["False"])
    for name in others:
        (row,) = rows(files[name])
        pair, sentence = ("dev-7-0", "1") if name.endswith("dev") else ("test1-8-1", "0")
        assert row["identifier"] == pair and row["identifiers"] == [f"{pair}-{sentence}"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (nlvr2_line("train-6-1-0"), "train.json, line 1: no directory"),
        (nlvr2_line("train-6-1-0", "maybe", directory="2"), "line 1: label 'maybe' is neither True nor False"),
        ({"sentence": "x", "label": "True"}, "line 1 is not an object with 'identifier'"),
        (nlvr2_line("train-9-1-0", directory="2"), "train-9-1-img0.png: No such file"),
    ],
)
def test_image_pair_errors(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], line: dict[str, str], message: str
) -> None:
    write_json_lines(pairs / "nlvr2/data/train.json", [line])
    assert run("nlvr2", "--source", tmp_path, "--output", tmp_path / "out", "--splits", "train") == 2
    assert message in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*"))
