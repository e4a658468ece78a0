"""SNLI-VE and NLVR2, whose annotations are JSON lines in the order of the rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bridgetower.preparation.schemas import NLVR2, SNLI_VE

from .raw_data import has_schema, make_image, rows, run, write_json_lines


def pair(image: int, hypothesis: str, label: str) -> dict[str, Any]:
    return {
        "Flickr30K_ID": str(image), "sentence1": f"premise {image}", "sentence2": hypothesis, "gold_label": label
    }  # fmt: skip


@pytest.fixture
def entailment(tmp_path: Path) -> Path:
    root = tmp_path / "mscoco_flickr30k_vqav2_snli_ve"
    lines = [pair(3, "a ", "entailment"), pair(1, "b", "neutral"), pair(3, "c", "contradiction")]
    for split in ("train", "dev", "test"):
        write_json_lines(root / f"snli_ve/snli_ve_{split}.jsonl", lines)
    for image in (1, 3):
        make_image(root / f"flickr30k-images/{image}.jpg")
    return root


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
    write_json_lines(entailment / "snli_ve/snli_ve_dev.jsonl", [pair(3, "a", "entailment"), pair(3, "b", "-")])
    assert run("snli", "--source", tmp_path, "--output", tmp_path / "out", "--splits", "dev") == 2
    assert "snli_ve_dev.jsonl, line 2: label '-' is none of contradiction" in capsys.readouterr().err


def statement(identifier: str, label: str = "True", **more: str) -> dict[str, str]:
    return {"identifier": identifier, "sentence": f"about {identifier}", "label": label, **more}


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    root = tmp_path / "nlvr"
    folders = {"train-5-0": "images/train/17", "train-6-1": "images/train/2", "dev-7-0": "dev", "test1-8-1": "test1"}
    for key, folder in folders.items():
        for number in (0, 1):
            make_image(root / folder / f"{key}-img{number}.png")
    train = [
        statement("train-6-1-0", directory="2"),
        statement("train-5-0-0", "False", directory="17"),
        statement("train-6-1-1", "False", directory="99"),  # the directory of the first line counts
    ]
    write_json_lines(root / "nlvr2/data/train.json", train)
    for split, line in (("dev", statement("dev-7-0-1")), ("test1", statement("test1-8-1-0", "False"))):
        for name in (split, f"balanced/balanced_{split}", f"unbalanced/unbalanced_{split}"):
            write_json_lines(root / f"nlvr2/data/{name}.json", [line])
    return root


@pytest.mark.parametrize("source", [".", "nlvr"])
def test_image_pairs(pairs: Path, tmp_path: Path, source: str) -> None:
    assert run("nlvr2", "--source", tmp_path / source, "--output", tmp_path / "out") == 0
    files = {path.stem: path for path in (tmp_path / "out").iterdir()}
    others = {f"nlvr2_{kind}{split}" for kind in ("", "balanced_", "unbalanced_") for split in ("dev", "test1")}
    assert files.keys() == {"nlvr2_train"} | others
    assert all(has_schema(path, NLVR2) for path in files.values())
    first, second = rows(files["nlvr2_train"])
    assert first == {
        "image_0": (pairs / "images/train/2/train-6-1-img0.png").read_bytes(),
        "image_1": (pairs / "images/train/2/train-6-1-img1.png").read_bytes(),
        "questions": ["about train-6-1-0", "about train-6-1-1"],
        "answers": ["True", "False"],
        "identifier": "train-6-1",
    }
    assert (second["identifier"], second["answers"]) == ("train-5-0", ["False"])
    for name in others:
        (row,) = rows(files[name])
        assert row["identifier"] == ("dev-7-0" if name.endswith("dev") else "test1-8-1")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (statement("train-6-1-0"), "train.json, line 1: no directory"),
        (statement("train-6-1-0", "maybe", directory="2"), "line 1: label 'maybe' is neither True nor False"),
        ({"sentence": "x", "label": "True"}, "line 1 is no object with 'identifier'"),
        (statement("train-9-1-0", directory="2"), "train-9-1-img0.png: No such file"),
    ],
)
def test_image_pair_errors(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], line: dict[str, str], message: str
) -> None:
    write_json_lines(pairs / "nlvr2/data/train.json", [line])
    assert run("nlvr2", "--source", tmp_path, "--output", tmp_path / "out", "--splits", "train") == 2
    assert message in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*"))
