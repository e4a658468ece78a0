"""Which tables each data set reads in each split."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridgetower.datasets import DATASETS, DatasetOptions, build_dataset

OPTIONS = DatasetOptions(image_size=8, transform="clip")
COCO, F30K = "coco_caption_karpathy_", "f30k_caption_karpathy_"


@pytest.mark.parametrize(
    "key, split, clean, expected",
    [
        ("coco", "train", False, [COCO + "train", COCO + "restval"]),
        ("coco", "val", False, [COCO + "test"]),
        ("coco", "test", False, [COCO + "test"]),
        ("coco", "train", True, [COCO + "train", COCO + "restval"]),
        ("coco", "val", True, [COCO + "val"]),
        ("f30k", "train", False, [F30K + "train", F30K + "val"]),
        ("f30k", "val", False, [F30K + "test"]),
        ("f30k", "train", True, [F30K + "train"]),
        ("f30k", "val", True, [F30K + "val"]),
        ("f30k", "test", True, [F30K + "test"]),
        ("vg", "train", False, ["vg"]),
        ("vg", "val", False, []),
        ("gcc", "test", False, []),
        ("sbu", "val", False, []),
        ("cc12m", "train", False, ["cc12m"]),
        ("cc12m", "val", False, []),
        ("vqa", "train", False, ["vqav2_train_fix", "vqav2_val_fix"]),
        ("vqa", "val", False, ["vqav2_val_fix"]),
        ("vqa", "test", False, ["vqav2_test"]),
        ("vqa", "train", True, ["vqav2_train_fix", "vqav2_trainable_val_fix"]),
        ("vqa", "val", True, ["vqav2_rest_val_fix"]),
        ("nlvr2", "train", False, ["nlvr2_train"]),
        ("nlvr2", "val", False, ["nlvr2_dev", "nlvr2_test1"]),
        ("nlvr2", "test", False, ["nlvr2_dev", "nlvr2_test1"]),
        ("snli", "train", False, ["snli_train"]),
        ("snli", "val", False, ["snli_dev", "snli_test"]),
        ("snli", "test", True, ["snli_dev", "snli_test"]),
        ("easy_vqa", "train", False, ["easy_vqa_train"]),
        ("easy_vqa", "val", False, ["easy_vqa_test"]),
        ("easy_vqa_caption", "test", False, ["easy_vqa_caption_test"]),
    ],
)
def test_tables_of_splits(key: str, split: str, clean: bool, expected: list[str]) -> None:
    assert list(DATASETS[key].tables(split, clean)) == expected  # type: ignore[arg-type]


def test_several_data_sets_in_order(captions, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    captions("vg", [["v0"]])
    captions("sbu_0", [["s0"]])
    captions("sbu_1", [["s1", "s2"]])
    dataset = build_dataset(["vg", "sbu"], "train", tmp_path, OPTIONS)
    assert dataset.table_names == ["vg", "sbu_0", "sbu_1"]
    assert [dataset[index].text for index in range(len(dataset))] == ["v0", "s0", "s1", "s2"]
    assert [dataset[index].table_index for index in range(4)] == [0, 1, 2, 2]


def test_extra_tables_for_vqa_training_only(questions, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for name in ("vqav2_train_fix", "vqav2_val_fix", "vgqa_train"):
        questions(name)
    options = DatasetOptions(image_size=8, transform="clip", vqa_extra_train_tables=("vgqa_train",))
    assert build_dataset(["vqa"], "train", tmp_path, options).table_names[-1] == "vgqa_train"
    assert build_dataset(["vqa"], "val", tmp_path, options).table_names == ["vqav2_val_fix"]
    missing = DatasetOptions(image_size=8, transform="clip", vqa_extra_train_tables=("vgqa_val",))
    with pytest.raises(FileNotFoundError, match="bridgetower.preparation vgqa "):
        build_dataset(["vqa"], "train", tmp_path, missing)


@pytest.mark.parametrize("mode", ["pairs", "image_only", "text_only"])
def test_split_without_tables_is_empty(mode: str, tmp_path: Path) -> None:
    options = DatasetOptions(image_size=8, transform="clip", mode=mode)  # type: ignore[arg-type]
    dataset = build_dataset(["vg", "sbu"], "val", tmp_path, options)
    assert len(dataset) == dataset.num_images == len(dataset.image_rows) == 0


def test_shard_without_rows_adds_nothing(captions, write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    import pyarrow as pa

    captions("sbu_0", [["a", "b"]])
    write("sbu_1", {name: pa.array([], pa.null()) for name in ("image", "caption", "image_id", "split")})
    captions("sbu_2", [["c"]])
    dataset = build_dataset(["sbu"], "train", tmp_path, OPTIONS)
    assert [dataset[index].text for index in range(len(dataset))] == ["a", "b", "c"]
    assert dataset[2].table_index == 2


def test_home_folder_is_expanded(captions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    captions("vg", [["v0"]])
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(build_dataset(["vg"], "train", "~", OPTIONS)) == 1


def test_errors_name_what_is_wrong(captions, write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(KeyError, match="unknown data set 'flickr30k'; did you mean"):
        build_dataset(["flickr30k"], "train", tmp_path, OPTIONS)
    with pytest.raises(ValueError, match="split='dev' is unknown"):
        build_dataset(["vg"], "dev", tmp_path, OPTIONS)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match="easy_vqa_caption_train.arrow .*bridgetower.preparation easy_vqa "):
        build_dataset(["easy_vqa_caption"], "train", tmp_path, OPTIONS)
    with pytest.raises(ValueError, match=r"different kinds .*: vg \(caption\), vqa \(vqa\)"):
        build_dataset(["vg", "vqa"], "train", tmp_path, OPTIONS)
    write("vg", {"image": [b"x"], "text": [["a"]]})
    with pytest.raises(KeyError, match="vg.arrow has no column caption; it has image, text"):
        build_dataset(["vg"], "train", tmp_path, OPTIONS)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"mode": "images"}, "mode='images' is unknown"),
        ({"draw_false_image": 2}, "draw_false_image=2"),
        ({"draw_false_text": -1}, "draw_false_text=-1"),
        ({"debug_limit": -5}, "debug_limit=-5"),
    ],
)
def test_options_are_checked(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DatasetOptions(**{"image_size": 8, "transform": "clip", **arguments})
