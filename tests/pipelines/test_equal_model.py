"""Pipelines give what the model gives that is called by hand, for every class and for exported folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from PIL import Image

import bridgetower
from bridgetower import pipeline
from bridgetower.export.companions import find_processor, find_tokenizer
from tests.saved_models import ANSWERS, CLASSES

Folders = Callable[[str], Path]
TEXTS = ["what is this?", "is it blue? is this a red square?", "red"]
#: Of the largest entry: other batches and oneDNN round sums in another order.
TOLERANCE = 1e-5


class ByHand:
    """A model with its inputs, one pair at a time."""

    def __init__(self, folder: Path, class_name: str) -> None:
        self.model = getattr(bridgetower, class_name).from_pretrained(folder)
        self.tokenizer = find_tokenizer(folder, None, self.model.config)
        self.processor = find_processor(folder, None, self.model.config.vision_config.image_size)

    def pixels(self, path: Path) -> paddle.Tensor:
        return paddle.to_tensor(self.processor(Image.open(path), return_tensors="np")["pixel_values"])

    def words(self, text: str) -> dict[str, paddle.Tensor]:
        encoded = self.tokenizer([text], return_tensors="np")
        return {name: paddle.to_tensor(encoded[name]) for name in ("input_ids", "attention_mask")}

    @paddle.no_grad()
    def __call__(self, path: Path, text: str) -> Any:
        return self.model(**self.words(text), pixel_values=self.pixels(path))


def close(found: Any, expected: Any) -> None:
    expected = np.asarray(expected)
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * max(1.0, np.abs(expected).max()))


def by_label(result: list[dict[str, Any]], labels: list[str], key: str = "label") -> list[float]:
    scores = {one[key]: one["score"] for one in result}
    assert set(scores) == set(labels)
    assert [one["score"] for one in result] == sorted(scores.values(), reverse=True)
    return [scores[label] for label in labels]


@pytest.fixture(params=["checkpoint", pytest.param("exported", marks=pytest.mark.slow)])
def folder_of(request: pytest.FixtureRequest) -> Folders:
    return request.getfixturevalue("saved" if request.param == "checkpoint" else "exported")


def test_question_answering(folder_of: Folders, saved: Folders, pictures: list[Path]) -> None:
    by_hand = ByHand(saved("vqa"), "BridgeTowerForQuestionAnswering")
    pipe = pipeline("visual-question-answering", folder_of("vqa"), batch_size=2)
    inputs = [{"image": str(path), "question": text} for path in pictures[:3] for text in TEXTS]
    for one, result in zip(inputs, pipe(inputs, top_k=None), strict=True):
        logits = by_hand(Path(one["image"]), one["question"]).logits[0]
        close(by_label(result, ANSWERS, "answer"), F.sigmoid(logits).numpy())


def test_entailment(folder_of: Folders, saved: Folders, pictures: list[Path]) -> None:
    by_hand = ByHand(saved("entailment"), "BridgeTowerForVisualEntailment")
    pipe = pipeline("image-text-classification", folder_of("entailment"), batch_size=4)
    for path, result in zip(pictures[:3], pipe(pictures[:3], TEXTS[0]), strict=True):
        expected = F.softmax(by_hand(path, TEXTS[0]).logits[0]).numpy()
        close(by_label(result, ["contradiction", "neutral", "entailment"]), expected)


def test_own_classes(saved: Folders, pictures: list[Path]) -> None:
    by_hand = ByHand(saved("vqa"), "BridgeTowerForQuestionAnswering")
    result = pipeline("image-text-classification", saved("vqa"))(pictures[0], TEXTS[1])
    close(by_label(result, ANSWERS), F.softmax(by_hand(pictures[0], TEXTS[1]).logits[0]).numpy())


def test_two_images(saved: Folders, pictures: list[Path]) -> None:
    by_hand = ByHand(saved("nlvr2"), "BridgeTowerForImagesAndTextClassification")
    pipe = pipeline("image-text-classification", saved("nlvr2"), batch_size=2)
    pairs = [(pictures[0], pictures[1]), (pictures[1], pictures[0]), (pictures[2], pictures[2])]
    for (left, right), text, result in zip(pairs, TEXTS, pipe(pairs, TEXTS), strict=True):
        both = paddle.stack([by_hand.pixels(left), by_hand.pixels(right)], axis=1)
        with paddle.no_grad():
            logits = by_hand.model(**by_hand.words(text), pixel_values=both).logits[0]
        close(by_label(result, ["False", "True"]), F.softmax(logits).numpy())
    close(pipe(pairs[1], TEXTS[1])[0]["score"], pipe([pairs[1]], TEXTS[1])[0][0]["score"])


def test_fill_mask(folder_of: Folders, saved: Folders, pictures: list[Path]) -> None:
    by_hand = ByHand(saved("mlm"), "BridgeTowerForMaskedLM")
    pipe = pipeline("fill-mask", folder_of("mlm"), batch_size=2)
    texts = ["a <mask> square", "is it [MASK]?", "<mask> is <mask>"]
    for path, text, result in zip(pictures[:3], texts, pipe(pictures[:3], texts, top_k=4), strict=True):
        text = text.replace("[MASK]", "<mask>")
        ids = by_hand.words(text)["input_ids"][0].numpy()
        logits = by_hand(path, text).logits[0].numpy()
        places = np.flatnonzero(ids == by_hand.tokenizer.mask_token_id)
        for place, words in zip(places, result if len(places) > 1 else [result], strict=True):
            scores = F.softmax(paddle.to_tensor(logits[place])).numpy()
            close([word["score"] for word in words], np.sort(scores)[::-1][:4])
            close([scores[word["token"]] for word in words], np.sort(scores)[::-1][:4])
            filled = ids.copy()
            filled[place] = words[0]["token"]
            assert words[0]["sequence"] == by_hand.tokenizer.decode(filled, skip_special_tokens=True).strip()


def test_matching(folder_of: Folders, saved: Folders, pictures: list[Path]) -> None:
    by_hand = ByHand(saved("itm"), "BridgeTowerForImageAndTextRetrieval")
    pipe = pipeline("image-text-matching", folder_of("itm"))
    for text, result in zip(TEXTS, pipe(pictures[0], TEXTS), strict=True):
        score = float(F.softmax(by_hand(pictures[0], text).logits[0])[1])
        close(result["score"], score)
        assert result["text"] == text and result["label"] == ("match" if score > 0.5 else "no match")


def test_ranking(folder_of: Folders, saved: Folders, pictures: list[Path]) -> None:
    by_hand = ByHand(saved("ranking"), "BridgeTowerForRetrievalRanking")
    found = pipeline("image-text-matching", folder_of("ranking"))(pictures[:2], TEXTS[0])
    for path, result in zip(pictures, found, strict=False):
        words = {name: rows.unsqueeze(1) for name, rows in by_hand.words(TEXTS[0]).items()}
        with paddle.no_grad():
            expected = by_hand.model(**words, pixel_values=by_hand.pixels(path)).rank_scores[0, 0]
        close(result["score"], float(expected))
        assert set(result) == {"text", "score"}


@pytest.mark.parametrize("name", ["contrastive", "itm_itc"])
def test_vectors(name: str, folder_of: Folders, saved: Folders, pictures: list[Path]) -> None:
    by_hand = ByHand(saved(name), CLASSES[name][0])
    pipe = pipeline("feature-extraction", folder_of(name), batch_size=2)
    base = by_hand.model.bridgetower
    for path, vector in zip(pictures[:3], pipe(pictures[:3]), strict=True):
        with paddle.no_grad():
            states = base.encode_image(by_hand.pixels(path))
            states = base.project_image(states) if name == "contrastive" else states
            close(vector, by_hand.model.embed_image(states)[0].numpy())
    for text, vector in zip(TEXTS, pipe(text=TEXTS), strict=True):
        with paddle.no_grad():
            close(vector, by_hand.model.embed_text(base.encode_text(*by_hand.words(text).values()))[0].numpy())


def test_vectors_of_pairs(folder_of: Folders, saved: Folders, pictures: list[Path]) -> None:
    by_hand = ByHand(saved("contrastive"), "BridgeTowerForContrastiveLearning")
    vectors = pipeline("feature-extraction", folder_of("contrastive"))(pictures[:3], TEXTS)
    for path, text, vector in zip(pictures[:3], TEXTS, vectors, strict=True):
        output = by_hand(path, text)
        close(vector, output.cross_embeds[0].numpy())


@pytest.mark.parametrize("name", ["bare", "vqa", "itm_itc"])
def test_pooled_vectors_of_pairs(name: str, saved: Folders, pictures: list[Path]) -> None:
    by_hand = ByHand(saved(name), "BridgeTowerModel")
    vector = pipeline("feature-extraction", saved(name))(pictures[0], TEXTS[0])
    close(vector, by_hand(pictures[0], TEXTS[0]).pooler_output[0].numpy())


def test_states_without_contrastive_heads(folder_of: Folders, saved: Folders, pictures: list[Path]) -> None:
    by_hand = ByHand(saved("vqa"), "BridgeTowerModel")
    pipe = pipeline("feature-extraction", folder_of("vqa"))
    model = by_hand.model
    with paddle.no_grad():
        close(pipe(pictures[0]), model.project_image(model.encode_image(by_hand.pixels(pictures[0])))[-1][0, 0].numpy())
        words = by_hand.words(TEXTS[1]).values()
        close(pipe(text=TEXTS[1]), model.project_text(model.encode_text(*words))[-1][0, 0].numpy())


@pytest.mark.parametrize("name", ["contrastive", "itm_itc", "itc", "pretrain"])
def test_zero_shot_by_vectors(name: str, saved: Folders, pictures: list[Path]) -> None:
    by_hand = ByHand(saved(name), CLASSES[name][0])
    pipe = pipeline("zero-shot-image-classification", saved(name))
    features = pipeline("feature-extraction", saved(name))
    labels = ["red square", "blue"]
    texts = np.stack(features(text=[f"a photo of a {label}." for label in labels]))
    scale = by_hand.model.logit_scale.exp() if name == "contrastive" else 1 / by_hand.model.temperature
    for path, result in zip(pictures[:3], pipe(pictures[:3], labels), strict=True):
        expected = F.softmax(paddle.to_tensor(texts @ features(path)) * scale).numpy()
        close(by_label(result, labels), expected)


@pytest.mark.parametrize("name", ["itm", "ranking"])
def test_zero_shot_by_matching(name: str, folder_of: Folders, saved: Folders, pictures: list[Path]) -> None:
    labels = ["red square", "blue", "this"]
    found = pipeline("zero-shot-image-classification", folder_of(name), batch_size=2)(pictures[0], ", ".join(labels))
    matching = pipeline("image-text-matching", saved(name))
    scores = np.array([one["score"] for one in matching(pictures[0], [f"a photo of a {label}." for label in labels])])
    logits = np.log(scores / (1 - scores)) if name == "itm" else scores
    close(by_label(found, labels), F.softmax(paddle.to_tensor(logits)).numpy())


def test_one_tower(saved: Folders, pictures: list[Path]) -> None:
    images, texts = (ByHand(saved(name), CLASSES[name][0]) for name in ("cifar", "glue"))
    results = pipeline("image-classification", saved("cifar"))(pictures[:2])
    with paddle.no_grad():
        for path, result in zip(pictures, results, strict=False):
            expected = F.softmax(images.model(pixel_values=images.pixels(path)).logits[0]).numpy()
            close(by_label(result, list("0123")), expected)
        result = pipeline("text-classification", saved("glue"))(TEXTS[0], top_k=None)
        close(by_label(result, list("012")), F.softmax(texts.model(**texts.words(TEXTS[0])).logits[0]).numpy())
