"""Samples: their order, contents, randomness, and images that cannot be read."""

from __future__ import annotations

import io
import logging
import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bridgetower.datasets import DatasetOptions, ImageTextDataset, UnreadableImageError, build_dataset


def options(**changes: Any) -> DatasetOptions:
    return DatasetOptions(**{"image_size": 8, "transform": "clip", **changes})


def texts(dataset: ImageTextDataset) -> list[str | None]:
    return [dataset[index].text for index in range(len(dataset))]


@pytest.fixture
def coco(captions, tmp_path: Path) -> Path:  # type: ignore[no-untyped-def]
    """Two tables, 3 + 2 images; one caption is repeated within its row, one in another row."""
    captions("coco_caption_karpathy_train", [["a", "b", "a"], ["c"], ["a", "d"]])
    captions("coco_caption_karpathy_restval", [["e"], ["f", "g"]], first=3)
    return tmp_path


def test_order_of_captions_without_repeats(coco: Path, numbers) -> None:  # type: ignore[no-untyped-def]
    dataset = build_dataset(["coco"], "train", coco, options())
    assert texts(dataset) == ["a", "b", "c", "a", "d", "e", "f", "g"]
    samples = [dataset[index] for index in range(len(dataset))]
    assert [sample.image_index for sample in samples] == dataset.image_rows.tolist() == [0, 0, 1, 2, 2, 3, 4, 4]
    assert [int(numbers(sample.pixel_values)) for sample in samples] == [0, 0, 1, 2, 2, 3, 4, 4]
    assert [sample.sample_index for sample in samples] == list(range(8))
    assert [sample.table_index for sample in samples] == [0] * 5 + [1] * 3
    assert samples[0].pixel_values.shape == (3, 8, 8) and samples[0].pixel_values.dtype == np.float32
    assert dataset.image_rows.dtype == np.int64 and dataset.num_images == 5


def test_repeated_questions_stay(write, picture, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write("easy_vqa_train", {"image": [picture(0)], "questions": [["a", "b", "a"]], "answers": [[["x"]] * 3],
                             "answer_labels": [[[0]] * 3], "answer_scores": [[[1.0]] * 3], "image_id": [7],
                             "question_id": [[1, 2, 3]]})
    assert texts(build_dataset(["easy_vqa"], "train", tmp_path, options())) == ["a", "b", "a"]


def test_index_offsets_of_a_concatenation(coco: Path, captions, numbers) -> None:  # type: ignore[no-untyped-def]
    captions("vg", [["v", "w"], ["x"]], first=10)
    dataset = build_dataset(["coco", "vg"], "train", coco, options())
    last = dataset[10]
    assert (last.text, last.sample_index, last.image_index, last.table_index) == ("x", 10, 6, 2)
    assert numbers(last.pixel_values) == 11
    with pytest.raises(IndexError, match="sample 11 does not exist; the dataset has 11"):
        dataset[11]


def test_modes_agree_on_order(coco: Path, numbers) -> None:  # type: ignore[no-untyped-def]
    pairs, images, only_texts = (
        build_dataset(["coco"], "train", coco, options(mode=mode, draw_false_image=1))
        for mode in ("pairs", "image_only", "text_only")
    )
    assert texts(only_texts) == texts(pairs)
    assert only_texts.image_rows.tolist() == pairs.image_rows.tolist()
    assert all(only_texts[index].pixel_values is None for index in range(8))
    assert len(images) == 5 and texts(images) == [None] * 5
    assert [int(numbers(images[index].pixel_values)) for index in range(5)] == [0, 1, 2, 3, 4]
    assert [images[index].image_index for index in range(5)] == [0, 1, 2, 3, 4]
    assert images[0].false_image is None and only_texts[0].false_image is None


def test_text_only_needs_no_readable_image(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write("vg", {"image": [b"broken"], "caption": [["a"]]})
    assert texts(build_dataset(["vg"], "train", tmp_path, options(mode="text_only"))) == ["a"]


@pytest.mark.parametrize("mode", ["pairs", "image_only", "text_only"])
@pytest.mark.parametrize("limit, expected", [(4, 4), (0, None), (99, None)])
def test_debug_limit(mode: str, limit: int, expected: int | None, coco: Path) -> None:
    expected = expected or (5 if mode == "image_only" else 8)
    assert len(build_dataset(["coco"], "train", coco, options(mode=mode, debug_limit=limit))) == expected


def test_debug_limit_applies_to_each_data_set(coco: Path, captions) -> None:  # type: ignore[no-untyped-def]
    captions("vg", [["v", "w"], ["x"]])
    dataset = build_dataset(["coco", "vg"], "train", coco, options(debug_limit=2))
    assert texts(dataset) == ["a", "b", "v", "w"]


def test_questions_with_answers(questions, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    questions("easy_vqa_train", per_image=2, images=3)
    dataset = build_dataset(["easy_vqa"], "train", tmp_path, options())
    target = dataset[5].vqa
    assert (target.question_id, target.labels, target.scores) == (105, [0, 2], [1.0, 0.3])
    assert dataset[5].label is None and "easy_vqa_train.arrow row 2" in target.where
    record = dataset.record(5)
    assert (record.table_name, record.row, record.text) == ("easy_vqa_train", 2, "what is 5?")
    assert (record.identifier, record.question_id, record.answers) == ("2", 105, ("yes", "answer2"))


def test_questions_without_answers(questions, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    questions("vqav2_test", test=True)
    dataset = build_dataset(["vqa"], "test", tmp_path, options())
    assert dataset[3].vqa.labels is None and dataset[3].vqa.question_id == 103
    assert dataset.record(3).answers == ()


def test_snli_reads_the_stripped_hypothesis(write, picture, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write("snli_train", {"image": [picture(0), picture(1)], "labels": [[0, 1], [2]],
                         "sentences": [[["premise", " no. "], ["premise", "no. "]], [["other", "yes\n"]]]})
    dataset = build_dataset(["snli"], "train", tmp_path, options())
    assert texts(dataset) == ["no.", "no.", "yes"]  # equal hypotheses of one image are kept
    assert [dataset[index].label for index in range(3)] == [0, 1, 2]


def test_snli_label_out_of_range(write, picture, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write("snli_train", {"image": [picture(0)], "sentences": [[["p", "h"]]], "labels": [[-1]]})
    with pytest.raises(ValueError, match=r"snli_train.arrow row 0: labels\[0\] is -1, expected one of \[0, 1, 2\]"):
        build_dataset(["snli"], "train", tmp_path, options())[0]


@pytest.fixture
def nlvr2(write, picture, tmp_path: Path) -> Path:  # type: ignore[no-untyped-def]
    write("nlvr2_train", {"image_0": [picture(0), picture(2)], "image_1": [picture(1), picture(2)],
                          "questions": [["q0", "q1"], ["q2"]], "answers": [["True", "False"], ["True"]],
                          "identifier": ["train-1-0", "train-2-0"]})
    return tmp_path


def test_nlvr2_pairs(nlvr2: Path, numbers) -> None:  # type: ignore[no-untyped-def]
    dataset = build_dataset(["nlvr2"], "train", nlvr2, options())
    assert [dataset[index].label for index in range(3)] == [1, 0, 1]
    assert dataset[0].pixel_values.shape == (2, 3, 8, 8)
    assert numbers(dataset[0].pixel_values).tolist() == [0, 1]
    assert dataset.record(1).identifier == "train-1-0" and dataset.record(1).answers == ("False",)
    assert dataset.image(0, view=1).getpixel((0, 0)) == (21, 21, 21)


def test_nlvr2_views_are_augmented_apart(write, picture, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(stream, "PNG")
    same = stream.getvalue()
    write("nlvr2_train", {"image_0": [same], "image_1": [same], "questions": [["q"]], "answers": [["True"]],
                          "identifier": ["x"]})
    dataset = build_dataset(["nlvr2"], "train", tmp_path, options(transform="blip_randaug_wc", training=True))
    first, second = dataset[0].pixel_values
    assert (first != second).any()


def test_negatives_come_from_the_same_data_set(coco: Path, captions, numbers) -> None:  # type: ignore[no-untyped-def]
    captions("vg", [["v", "w"], ["x"]], first=10)
    drawing = options(training=True, draw_false_image=1, draw_false_text=3)
    dataset = build_dataset(["coco", "vg"], "train", coco, drawing)
    own = {index: ({*range(5)}, set("abcdefg")) if index < 8 else ({10, 11}, set("vwx")) for index in range(11)}
    drawn_images, drawn_texts = set(), set()
    for epoch in range(10):
        dataset.set_epoch(epoch)
        for index in range(11):
            sample = dataset[index]
            image = int(numbers(sample.false_image()))
            assert image in own[index][0] and set(sample.false_texts) <= own[index][1]
            assert len(sample.false_texts) == 3
            drawn_images.add(image)
            drawn_texts |= set(sample.false_texts)
    assert drawn_images == {0, 1, 2, 3, 4, 10, 11} and drawn_texts == set("abcdefgvwx")


def test_false_images_are_weighted_by_captions(captions, tmp_path: Path, numbers) -> None:  # type: ignore[no-untyped-def]
    captions("vg", [["a"], ["b", "c", "d"]])
    dataset = build_dataset(["vg"], "train", tmp_path, options(training=True, draw_false_image=1))
    drawn = []
    for epoch in range(200):
        dataset.set_epoch(epoch)
        drawn += [int(numbers(dataset[index].false_image())) for index in range(4)]
    assert 0.70 < np.mean(drawn) < 0.80  # three captions of four belong to image 1


def test_false_image_is_decoded_only_when_asked_for(write, picture, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write("vg", {"image": [picture(0), *[b"broken"] * 9], "caption": [["a"]] + [["b"]] * 9})
    sample = build_dataset(["vg"], "train", tmp_path, options(draw_false_image=1))[0]
    with pytest.raises(UnreadableImageError, match="vg.arrow row"):
        sample.false_image()


def augmented(path: Path, **changes: Any) -> ImageTextDataset:
    settings = {"transform": "blip_randaug_wc", "training": True, "draw_false_image": 1, "draw_false_text": 2}
    return build_dataset(["vg"], "train", path, options(**{**settings, **changes}))


@pytest.fixture
def noisy(write, tmp_path: Path) -> Path:  # type: ignore[no-untyped-def]
    images = []
    for seed in range(6):
        stream = io.BytesIO()
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (30, 40, 3), np.uint8)).save(stream, "PNG")
        images.append(stream.getvalue())
    write("vg", {"image": images, "caption": [[f"c{n}a", f"c{n}b"] for n in range(6)]})
    return tmp_path


def fingerprint(dataset: ImageTextDataset, order: list[int]) -> dict[int, tuple]:
    out = {}
    for index in order:
        sample = dataset[index]
        out[index] = (sample.pixel_values.tobytes(), sample.false_image().tobytes(), sample.false_texts)
    return out


def test_draws_depend_on_seed_epoch_and_sample_alone(noisy: Path) -> None:
    first = fingerprint(augmented(noisy), list(range(12)))
    assert fingerprint(augmented(noisy), list(range(12))[::-1]) == first  # order of reading, and thus workers and ranks
    other_seed, other_epoch = augmented(noisy, seed=1), augmented(noisy)
    other_epoch.set_epoch(1)
    for other in (other_seed, other_epoch):
        changed = fingerprint(other, list(range(12)))
        # Two augmentations may both end in a plain black picture.
        assert sum(changed[index][0] != first[index][0] for index in range(12)) >= 9
        assert any(changed[index][2] != first[index][2] for index in range(12))
    assert len({value[0] for value in first.values()}) >= 9  # two captions of one image get different crops
    other_epoch.set_epoch(0)
    assert fingerprint(other_epoch, list(range(12))) == first


def test_evaluation_stays_at_epoch_0(noisy: Path) -> None:
    dataset = augmented(noisy, training=False)
    first = fingerprint(dataset, list(range(12)))
    dataset.set_epoch(3)
    assert fingerprint(dataset, list(range(12))) == first


def test_evaluation_decodes_an_image_once_for_its_questions(  # type: ignore[no-untyped-def]
    questions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bridgetower.datasets import source

    questions("easy_vqa_test", per_image=5, images=6)
    dataset = build_dataset(["easy_vqa"], "test", tmp_path, options())
    opened: list[str] = []
    real = source.open_image
    monkeypatch.setattr(source, "open_image", lambda data, where: opened.append(where) or real(data, where))
    arrays = [dataset[index].pixel_values for index in range(15)]
    assert len(opened) == 3
    assert (arrays[4] == arrays[0]).all() and (arrays[5] != arrays[0]).any()
    for index in [*range(15, 30), 0]:  # the first image has made room for others by then
        dataset[index]
    assert len(opened) == 7


BROKEN = [b"", b"not an image", None]


@pytest.fixture
def broken(write, picture, tmp_path: Path) -> Path:  # type: ignore[no-untyped-def]
    """Images 0, 2 and 4 are broken (empty, no picture, null), 5 is cut short; 1 and 3 can be read."""
    cut = picture(5, (64, 64))[:-30]
    write("vg", {"image": [BROKEN[0], picture(1), BROKEN[1], picture(3), BROKEN[2], cut],
                 "caption": [[f"c{n}"] for n in range(6)]})
    return tmp_path


def test_evaluation_stops_at_an_unreadable_image(broken: Path) -> None:
    dataset = build_dataset(["vg"], "train", broken, options())
    for index in (0, 2, 4, 5):
        with pytest.raises(UnreadableImageError, match=f"vg.arrow row {index}, column image: unreadable image"):
            dataset[index]
    assert dataset[1].text == "c1"


def test_training_replaces_counts_and_warns(  # type: ignore[no-untyped-def]
    broken: Path, numbers, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = build_dataset(["vg"], "train", broken, options(training=True, draw_false_image=1))
    with caplog.at_level(logging.WARNING):
        for epoch in range(10):
            dataset.set_epoch(epoch)
            for index in range(6):
                sample = dataset[index]
                number = int(numbers(sample.pixel_values))
                assert number in (1, 3) and sample.text == f"c{number}"
                assert sample.sample_index == sample.image_index == number
                assert int(numbers(sample.false_image())) in (1, 3)
    assert dataset.num_unreadable == 4  # distinct images, however often they were drawn
    assert len(caplog.records) == 4
    for row in (0, 2, 4, 5):
        assert f"vg.arrow row {row}, column image" in caplog.text


def test_a_replacement_comes_from_the_same_data_set(broken: Path, captions) -> None:  # type: ignore[no-untyped-def]
    captions("sbu_0", [["s"]] * 20)
    dataset = build_dataset(["sbu", "vg"], "train", broken, options(training=True))
    for epoch in range(5):
        dataset.set_epoch(epoch)
        assert {dataset[20 + index].text for index in range(6)} <= {"c1", "c3"}


def test_training_stops_past_the_limit(broken: Path) -> None:
    dataset = build_dataset(["vg"], "train", broken, options(training=True, max_unreadable_images=3))
    with pytest.raises(UnreadableImageError, match="unreadable image number 4, more than the limit of 3"):
        for epoch in range(20):
            dataset.set_epoch(epoch)
            for index in range(6):
                dataset[index]


def test_all_images_unreadable(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write("vg", {"image": [b"broken"] * 3, "caption": [["a"]] * 3})
    dataset = build_dataset(["vg"], "train", tmp_path, options(training=True))
    with pytest.raises(UnreadableImageError, match="vg.arrow row 1 and 99 images drawn in its place are unreadable"):
        dataset[1]


def test_other_errors_are_not_swallowed(write, picture, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write("vg", {"image": [picture(0)], "caption": [[None]]})
    with pytest.raises(ValueError, match=r"vg.arrow row 0: caption\[0\] is no text"):
        build_dataset(["vg"], "train", tmp_path, options(training=True))[0]


def read_all(dataset: ImageTextDataset, order: list[int], queue: Any) -> None:
    queue.put([dataset[index].text for index in order])


def test_workers_share_one_count(broken: Path) -> None:
    dataset = build_dataset(["vg"], "train", broken, options(training=True))
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    workers = [context.Process(target=read_all, args=(dataset, order, queue), daemon=True)
               for order in ([0, 2], [2, 4], [5, 0])]
    for worker in workers:
        worker.start()
    for _ in workers:
        assert all(text in ("c1", "c3") for text in queue.get(timeout=60))
    for worker in workers:
        worker.join(60)
    assert dataset.num_unreadable == 4
