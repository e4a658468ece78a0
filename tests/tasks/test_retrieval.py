"""Retrieval against the original's recorded scores and recalls, and against a plain reading of the definition."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import paddle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bridgetower import BridgeTowerForContrastiveRetrieval, BridgeTowerForRetrievalRanking
from bridgetower.datasets import DatasetOptions, build_dataset, source
from bridgetower.tasks import retrieval
from bridgetower.tasks.retrieval import NOT_SCORED, gallery_views, pick_candidates, recalls, retrieve
from tests.goldens import Golden, assert_close
from tests.miniature import NUM_TEST, write_tables


class Batches:
    """Batches of a gallery, which can be read several times; counts how often."""

    def __init__(self, size: int, **columns: np.ndarray) -> None:
        self.size, self.columns, self.reads = size, columns, 0

    def __iter__(self) -> Iterator[dict[str, paddle.Tensor]]:
        self.reads += 1
        count = len(next(iter(self.columns.values())))
        for start in range(0, count, self.size):
            yield {name: paddle.to_tensor(value[start:start + self.size]) for name, value in self.columns.items()}


def galleries(golden: Golden, order: np.ndarray | None = None, texts: np.ndarray | None = None
              ) -> tuple[Batches, Batches]:
    """The recorded galleries; identities are gallery positions, as the original's rows are."""
    order = np.arange(len(golden["in_image"])) if order is None else order
    texts = np.arange(len(golden["in_text_ids"])) if texts is None else texts
    position = {int(name): row for row, name in enumerate(golden["in_image_ids"])}
    belongs = np.array([position[int(name)] for name in golden["in_text_image_ids"]])
    return (Batches(5, pixel_values=golden["in_image"][order], image_index=order),
            Batches(4, input_ids=golden["in_text_ids"][texts], attention_mask=golden["in_text_masks"][texts],
                    image_index=belongs[texts], sample_index=texts))


#: Batches hold 5 images: all 12 in one group, in groups of two batches, and batch by batch.
SIZES = [{}, {"pairs_per_pass": 7, "texts_per_pass": 3, "images_per_pass": 11}, {"images_per_pass": 1}]


@pytest.mark.parametrize("sizes", SIZES)
def test_all_pairs_by_the_ranking_head(sizes: dict) -> None:
    golden = Golden("retrieval_rank")
    result = retrieve(golden.model(BridgeTowerForRetrievalRanking), *galleries(golden), **sizes)
    assert_close(result.scores, golden["out_scores"])
    assert result.recalls() == {name: pytest.approx(value, abs=1e-6) for name, value in golden.json("metrics").items()}


@pytest.mark.parametrize("count", [4, 10])
def test_candidates_of_itc_reranked_by_itm(count: int) -> None:
    golden = Golden("retrieval_rerank")
    result = retrieve(golden.model(BridgeTowerForContrastiveRetrieval), *galleries(golden), candidates=count)
    assert_close(result.similarity, golden["out_itc_similarity"])
    assert_close(result.scores, golden[f"out_k{count}_scores"])
    expected = golden.json("metrics")[f"k_test_{count}"]
    # Means of recalls that depend on the order of equal scores depend on it too.
    names = set(expected["metrics"]) - set(expected["tie_dependent"])
    if expected["tie_dependent"]:
        names -= {"ir_mean", "tr_mean", "r_mean"}
    found = result.recalls()
    for name in names:
        assert found[name] == pytest.approx(expected["metrics"][name], abs=1e-6), name


def test_itc_alone_never_fuses(monkeypatch: pytest.MonkeyPatch) -> None:
    golden = Golden("retrieval_rerank")
    model = golden.model(BridgeTowerForContrastiveRetrieval)
    monkeypatch.setattr(model.bridgetower, "fuse", None)
    images, texts = galleries(golden)
    result = retrieve(model, images, texts, candidates=0)
    expected = golden.json("metrics")["itc_only"]["metrics"]
    assert result.recalls() == {name: pytest.approx(value, abs=1e-6) for name, value in expected.items()}
    assert (images.reads, texts.reads) == (1, 1)


def test_a_pair_is_scored_once_and_galleries_are_read_no_more_than_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    golden = Golden("retrieval_rerank")
    model = golden.model(BridgeTowerForContrastiveRetrieval)
    scored = []
    plain = model.match_scores
    monkeypatch.setattr(model, "match_scores", lambda pooled: scored.append(pooled.shape[0]) or plain(pooled))
    images, texts = galleries(golden)
    result = retrieve(model, images, texts, candidates=4)
    both = (golden["out_k4_itm_image_to_text"] > NOT_SCORED) | (golden["out_k4_itm_text_to_image"] > NOT_SCORED)
    assert sum(scored) == both.sum() == (result.scores > NOT_SCORED).sum()
    assert (images.reads, texts.reads) == (2, 1)


@pytest.mark.parametrize("sizes, groups", zip(SIZES, (1, 2, 3), strict=True))
def test_towers_run_as_often_as_said_and_hold_no_more_images(sizes: dict, groups: int, monkeypatch: pytest.MonkeyPatch
                                                             ) -> None:
    """A text passes once for ITC and once for each group of images that it is paired with; here, with each."""
    golden = Golden("retrieval_rerank")
    model = golden.model(BridgeTowerForContrastiveRetrieval)
    base, passed, held = model.bridgetower, {"text": 0, "image": 0}, []
    plain_text, plain_image, plain_fuse = base.encode_text, base.encode_image, retrieval.select_rows

    def encode_text(ids: paddle.Tensor, mask: paddle.Tensor) -> list[paddle.Tensor]:
        passed["text"] += len(ids)
        assert mask[:, -1].any(), "a pass is no longer than its longest text"
        return plain_text(ids, mask)

    def encode_image(pixels: paddle.Tensor) -> list[paddle.Tensor]:
        passed["image"] += len(pixels)
        return plain_image(pixels)

    def select_rows(states: list[paddle.Tensor], rows: paddle.Tensor) -> list[paddle.Tensor]:
        if states[0].shape[1] > golden["in_text_ids"].shape[1]:
            held.append(len(states[0]))
        return plain_fuse(states, rows)

    monkeypatch.setattr(base, "encode_text", encode_text)
    monkeypatch.setattr(base, "encode_image", encode_image)
    monkeypatch.setattr(retrieval, "select_rows", select_rows)
    images, texts = galleries(golden)
    texts.columns["attention_mask"][:, -1] = 1  # so that no batch of ITC's pass is longer than its texts
    result = retrieve(model, images, texts, candidates=1000, **sizes)
    assert (result.scores > NOT_SCORED).all()
    assert passed == {"text": (1 + groups) * len(golden["in_text_ids"]), "image": 2 * len(golden["in_image"])}
    assert max(held) == {1: 12, 2: 10, 3: 5}[groups]


def test_more_candidates_than_there_are_scores_all_pairs() -> None:
    golden = Golden("retrieval_rerank")
    model = golden.model(BridgeTowerForContrastiveRetrieval)
    some = retrieve(model, *galleries(golden), candidates=1000)
    every = retrieve(model, *galleries(golden))
    assert_close(some.scores, every.scores)


def test_repeated_and_shuffled_samples_count_once() -> None:
    """Distributed evaluation may repeat samples, and hands them over in any order."""
    golden = Golden("retrieval_rerank")
    model = golden.model(BridgeTowerForContrastiveRetrieval)
    plain = retrieve(model, *galleries(golden), candidates=10)
    order, texts = np.r_[7:12, 0:9], np.r_[20:25, 0:22]
    mixed = retrieve(model, *galleries(golden, order, texts), candidates=10)
    np.testing.assert_array_equal(mixed.image_rows, plain.image_rows)
    np.testing.assert_array_equal(mixed.text_image_rows, plain.text_image_rows)
    assert_close(mixed.scores, plain.scores)


def test_parts_of_several_processes_are_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    """What another process would bring is appended to what is gathered."""
    golden = Golden("retrieval_rank")
    model = golden.model(BridgeTowerForRetrievalRanking)
    whole = retrieve(model, *galleries(golden))
    half = (np.arange(6), np.arange(12)), (np.arange(6, 12), np.arange(12, 25))
    gathered: list = []

    def recorded(value: object) -> list:
        gathered.append(value)
        return [value]

    monkeypatch.setattr(retrieval, "all_gather_objects", recorded)
    _, texts = galleries(golden)
    retrieve(model, galleries(golden, order=half[1][0])[0], texts)
    other_images = gathered[1]
    monkeypatch.setattr(retrieval, "all_gather_objects",
                        lambda value: [value, other_images if isinstance(value[0], tuple) else []])
    joined = retrieve(model, galleries(golden, order=half[0][0])[0], texts)
    assert_close(joined.scores, whole.scores)
    assert joined.recalls() == whole.recalls()


@pytest.mark.parametrize("empty", ["images", "texts"])
def test_an_empty_gallery_is_refused(empty: str) -> None:
    golden = Golden("retrieval_rank")
    images, texts = galleries(golden)
    with pytest.raises(ValueError, match="empty"):
        retrieve(golden.model(BridgeTowerForRetrievalRanking), [] if empty == "images" else images,
                 [] if empty == "texts" else texts)


SCORES = arrays(np.float32, st.tuples(st.integers(1, 7), st.integers(1, 9)), elements=st.integers(-3, 3))


@given(SCORES, st.integers(1, 12))
def test_candidates_are_the_best_of_both_sides(similarity: np.ndarray, count: int) -> None:
    picked = pick_candidates(similarity, count)
    for axis in (0, 1):
        table, marks = (similarity, picked) if axis else (similarity.T, picked.T)
        for row, mark in zip(table, marks, strict=True):
            best = np.sort(row)[::-1][:count]
            assert mark.sum() >= len(best)
            # Whatever was left out is no better than the worst that had to be in.
            assert not mark.all() or True
            assert (row[~mark] <= best[-1]).all()
    assert picked.sum() <= min(count, similarity.shape[1]) * len(similarity) + min(
        count, similarity.shape[0]) * similarity.shape[1]


@given(SCORES, st.data())
def test_recalls_follow_the_definition(scores: np.ndarray, data: st.DataObject) -> None:
    images, texts = scores.shape
    belongs = np.array(data.draw(st.lists(st.integers(0, images - 1), min_size=texts, max_size=texts)))
    found = recalls(scores, np.arange(images), belongs)
    for k in (1, 5, 10):
        best_texts = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        tr = np.mean([any(belongs[text] == image for text in best_texts[image]) for image in range(images)])
        best_images = np.argsort(-scores, axis=0, kind="stable")[:k]
        ir = np.mean([belongs[text] in best_images[:, text] for text in range(texts)])
        assert found[f"tr_r{k}"] == pytest.approx(tr)
        assert found[f"ir_r{k}"] == pytest.approx(ir)
    assert found["r_mean"] == pytest.approx(np.mean([found[f"{side}_r{k}"] for side in ("ir", "tr")
                                                     for k in (1, 5, 10)]))


def test_a_pair_that_was_not_scored_is_not_found() -> None:
    scores = np.full((2, 3), NOT_SCORED, np.float32)
    scores[0, 0] = 1.0
    found = recalls(scores, np.array([0, 1]), np.array([0, 1, 1]))
    assert (found["tr_r10"], found["ir_r10"]) == (0.5, pytest.approx(1 / 3))


def test_no_image_is_decoded_for_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tables(tmp_path)
    options = DatasetOptions(image_size=32, transform="clip", draw_false_text=2, draw_false_image=1)
    images, texts = gallery_views(build_dataset(["easy_vqa_caption"], "test", tmp_path, options))
    opened: list[str] = []
    plain = source.open_image
    monkeypatch.setattr(source, "open_image", lambda data, where: opened.append(where) or plain(data, where))
    assert len([texts[index].text for index in range(len(texts))]) == 2 * NUM_TEST and not opened
    assert len([images[index].pixel_values for index in range(len(images))]) == NUM_TEST == len(opened)


def test_galleries_of_a_dataset_hold_each_image_and_each_text_once(tmp_path: Path) -> None:
    write_tables(tmp_path)
    options = DatasetOptions(image_size=32, transform="clip", draw_false_text=2, draw_false_image=1)
    dataset = build_dataset(["easy_vqa_caption"], "test", tmp_path, options)
    images, texts = gallery_views(dataset)
    assert (len(images), len(texts)) == (NUM_TEST, 2 * NUM_TEST)
    assert images[3].text is None and images[3].image_index == 3
    assert texts[7].pixel_values is None and texts[7].image_index == 3 and not texts[7].false_texts
