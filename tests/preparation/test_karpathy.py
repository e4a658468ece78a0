"""COCO and Flickr30k captions in Karpathy's splits."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridgetower.preparation.schemas import CAPTIONS
from tests.preparation.raw_data import (
    SHARED,
    coco_release,
    flickr_release,
    has_schema,
    row_order,
    rows,
    run,
    tables,
    write_json,
)


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    coco_release(tmp_path / "data" / SHARED)
    return tmp_path / "data" / SHARED


def test_coco(coco: Path, tmp_path: Path) -> None:
    assert run("coco", "--source", tmp_path / "data", "--output", tmp_path / "out", "--seed", 3) == 0
    names = [str(path) for path in coco.glob("*2014/*.jpg")]
    order = [Path(name).name for name in row_order(names, seed=3)]
    members = {"train": (0, 1, 6), "restval": (2, 5), "val": (3, 7), "test": (4,)}
    for split, numbers in members.items():
        path = tmp_path / "out" / f"coco_caption_karpathy_{split}.arrow"
        assert has_schema(path, CAPTIONS)
        found = rows(path)
        assert [row["image_id"] for row in found] == [n for n in order if int(n[-6:-4]) in numbers]
        for row in found:
            number = int(row["image_id"][-6:-4])
            assert row["caption"] == [f" Caption {k} of {number}. " for k in range(number % 3 + 5)]
            assert row["split"] == split
            assert row["image"] == next(coco.glob(f"*/{row['image_id']}")).read_bytes()
    assert len(tables(tmp_path / "out")) == 4


def test_the_root_of_the_images_is_a_source_too(coco: Path, tmp_path: Path) -> None:
    assert run("coco", "--source", coco, "--output", tmp_path / "out", "--splits", "test") == 0
    assert [path.name for path in tables(tmp_path / "out")] == ["coco_caption_karpathy_test.arrow"]


def test_a_missing_image(coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (coco / "val2014/COCO_val2014_000000000005.jpg").unlink()
    arguments = ("coco", "--source", coco, "--output", tmp_path / "out")
    assert run(*arguments) == 2
    assert "the first is" in (error := capsys.readouterr().err) and "val2014/COCO_val2014_000000000005.jpg" in error
    assert run(*arguments, "--skip_bad") == 0
    assert "restval.arrow: 1 rows, 0.0 MB, 1 left out for bad images" in capsys.readouterr().out
    assert len(rows(tmp_path / "out/coco_caption_karpathy_restval.arrow")) == 1


def test_flickr30k(tmp_path: Path) -> None:
    flickr_release(tmp_path)
    assert run("f30k", "--source", tmp_path, "--output", tmp_path / "out") == 0
    assert {path.name: len(rows(path)) for path in tables(tmp_path / "out")} == {
        "f30k_caption_karpathy_train.arrow": 2,
        "f30k_caption_karpathy_val.arrow": 1,
        "f30k_caption_karpathy_test.arrow": 1,
    }
    assert rows(tmp_path / "out/f30k_caption_karpathy_val.arrow")[0]["caption"] == [
        f"1 said {k}" for k in range(5)]


def test_images_of_another_data_set(coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_json(coco / "karpathy/dataset_coco.json", {"images": []})
    assert run("coco", "--source", coco, "--output", tmp_path / "out") == 2
    assert "none of the images is annotated" in capsys.readouterr().err


def test_hidden_files_are_no_images(coco: Path, tmp_path: Path) -> None:
    (coco / "val2014" / "._COCO_val2014_000000000004.jpg").write_bytes(b"left by a file manager")
    assert run("coco", "--source", coco, "--output", tmp_path / "out") == 0
