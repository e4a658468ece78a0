"""VQAv2, fixed and legacy, from a miniature of its release."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bridgetower.preparation import vqav2
from bridgetower.preparation.schemas import VQA, VQA_TEST
from tests.preparation.raw_data import SHARED, has_schema, row_order, rows, run, vqa_release


@pytest.fixture
def images(tmp_path: Path) -> dict[int, bytes]:
    return vqa_release(tmp_path / SHARED)


def prepare(tmp_path: Path, name: str = "vqa", *options: object) -> Path:
    assert run(name, "--source", tmp_path, "--output", tmp_path / "out", "--held_out", 3, *options) == 0
    return tmp_path / "out"


def test_fixed_targets_filters_and_types(tmp_path: Path, images: dict[int, bytes]) -> None:
    out = prepare(tmp_path)
    assert json.loads((out / "vqav2_answers.json").read_text()) == ["yes", "2"]
    train = {row["image_id"]: row for row in rows(out / "vqav2_train_fix.arrow")}
    assert train.keys() == {1, 3}  # no answer about image 2 is in the vocabulary
    assert train[1]["answers"] == [["yes", "2"]] * 9 and train[1]["answer_labels"] == [[0, 1]] * 9
    assert train[1]["answer_scores"] == [[1.0, 0.9]] * 9
    assert train[3] == {
        "image": images[3],
        "questions": ["question 1 of 3?"],
        "answers": [["yes"]],
        "answer_labels": [[0]],
        "answer_scores": [[0.3]],
        "image_id": 3,
        "question_id": [3001],
        "split": "train",
    }
    for split in ("train", "val", "trainable_val", "rest_val"):
        assert has_schema(out / f"vqav2_{split}_fix.arrow", VQA)


def test_legacy_compares_raw_answers_with_the_normalised_vocabulary(tmp_path: Path, images: dict[int, bytes]) -> None:
    out = prepare(tmp_path, "vqa_legacy", "--splits", "train", "test")
    (first,) = (row for row in rows(out / "vqav2_train.arrow") if row["image_id"] == 1)
    assert first["answers"][0] == ["yes", "2"] and first["answer_scores"][0] == [1.0, 0.3]
    assert has_schema(out / "vqav2_test.arrow", VQA_TEST)
    # "Two" is not spelled as in the vocabulary, so no validation question would be left.
    assert run("vqa_legacy", "--source", tmp_path, "--output", out, "--splits", "val") == 2


def test_test_splits_keep_every_question_without_answers(tmp_path: Path, images: dict[int, bytes]) -> None:
    out = prepare(tmp_path)
    assert has_schema(out / "vqav2_test_fix.arrow", VQA_TEST) and has_schema(out / "vqav2_test-dev_fix.arrow", VQA_TEST)
    test = {row["image_id"]: row for row in rows(out / "vqav2_test_fix.arrow")}
    assert test.keys() == {100, 101}
    assert test[100]["question_id"] == [100000, 100001] and test[100]["image"] == images[100]
    assert test[100]["answers"] == test[100]["answer_labels"] == test[100]["answer_scores"] == []
    (dev,) = rows(out / "vqav2_test-dev_fix.arrow")
    assert (dev["image_id"], dev["split"]) == (101, "test-dev")


def test_the_last_validation_images_are_set_aside(tmp_path: Path, images: dict[int, bytes]) -> None:
    out = prepare(tmp_path)
    val = rows(out / "vqav2_val_fix.arrow")
    names = [f"COCO_val2014_{number:012}.jpg" for number in range(10, 18)]
    assert [f"COCO_val2014_{row['image_id']:012}.jpg" for row in val] == row_order(names)
    assert rows(out / "vqav2_trainable_val_fix.arrow") == val[:-3]
    assert rows(out / "vqav2_rest_val_fix.arrow") == val[-3:]


def test_too_few_validation_images(
    tmp_path: Path, images: dict[int, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("vqa", "--source", tmp_path, "--output", tmp_path / "out") == 2
    assert "8 images, of which rest_val would take 1000; give --held_out" in capsys.readouterr().err
    assert run("vqa", "--source", tmp_path, "--output", tmp_path / "new", "--splits", "rest_val") == 2
    assert "prepare the split val first" in capsys.readouterr().err


def test_files_beside_the_image_folders(tmp_path: Path, images: dict[int, bytes]) -> None:
    for path in (tmp_path / SHARED / "vqav2").iterdir():
        path.rename(tmp_path / SHARED / path.name)
    assert len(rows(prepare(tmp_path, "vqa", "--splits", "val") / "vqav2_val_fix.arrow")) == 8


def test_the_official_files_must_give_the_official_classes(
    tmp_path: Path, images: dict[int, bytes], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(vqav2, "OFFICIAL_QUESTIONS", 12 + 9)
    assert run("vqa", "--source", tmp_path, "--output", tmp_path / "out") == 2
    assert "21 VQAv2 annotations give 2 answer classes; the official files give 3129" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("val2014/COCO_val2014_000000000012.jpg", "1 annotated images are not on disk"),
        ("val2014", "val2014"),
        ("vqav2/v2_mscoco_val2014_annotations.json", "v2_mscoco_val2014_annotations.json"),
    ],
)
def test_missing_files_are_named(
    tmp_path: Path, images: dict[int, bytes], capsys: pytest.CaptureFixture[str], path: str, message: str
) -> None:
    (tmp_path / SHARED / path).rename(tmp_path / "elsewhere")
    assert run("vqa", "--source", tmp_path, "--output", tmp_path / "out") == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_an_unannotated_question_is_named(
    tmp_path: Path, images: dict[int, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / SHARED / "vqav2/v2_mscoco_train2014_annotations.json"
    value = json.loads(path.read_text())
    del value["annotations"][-1]
    path.write_text(json.dumps(value))
    assert run("vqa", "--source", tmp_path, "--output", tmp_path / "out") == 2
    assert "no annotation of question 3001" in capsys.readouterr().err


def test_a_stray_file_among_the_images_is_named(
    tmp_path: Path, images: dict[int, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / SHARED / "train2014" / "copy.jpg").write_bytes(images[1])
    assert run("vqa", "--source", tmp_path, "--output", tmp_path / "out") == 2
    assert "train2014/copy.jpg: its name has no image number" in capsys.readouterr().err
