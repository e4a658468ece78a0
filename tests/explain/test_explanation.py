"""Explanations: attention equal to the port's, relevance by hand, every class, errors, the picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import paddle
import pytest
import torch
from PIL import Image

import bridgetower
from bridgetower.explain import cross_modal_attention, deletion_scores, explain, plot_explanation
from bridgetower.explain.deletion import deletion_order, without_patches
from bridgetower.explain.explained_model import find_head
from bridgetower.explain.explanation import _propagate, _weights_and_gradients
from bridgetower.explain.explanation_figure import explanation_png
from bridgetower.explain.fused_attention import LayerWeights, encode_pairs, fuse_with_weights
from bridgetower.explain.words import read_words
from bridgetower.pipelines import pipeline
from bridgetower.pipelines.engine import open_engines
from bridgetower.pipelines.explaining import explained_engine
from tests.goldens import assert_close
from tests.modules.port import inputs, port_model

Folders = Callable[[str], Path]
TEXT = "is it a red square?"


@pytest.fixture(scope="module")
def vqa(saved: Folders) -> Any:
    return pipeline("visual-question-answering", saved("vqa")).engine


def test_attention_equals_that_of_the_port(tmp_path: Path) -> None:
    """Self-attention by `output_attentions`, cross-attention as the port's layers return it beside."""
    port = port_model("BridgeTowerModel", tmp_path, depth=3)
    ours = bridgetower.BridgeTowerModel.from_pretrained(tmp_path)
    caught: dict[str, list[Any]] = {"text": [], "image": []}
    for kind, found in caught.items():
        for layer in getattr(port, f"cross_modal_{kind}_layers"):
            layer.register_forward_hook(lambda _, __, output, found=found: found.append(output[2]))
    values = inputs()
    with torch.no_grad():
        output = port(**{name: torch.tensor(value) for name, value in values.items()}, output_attentions=True)
    layers = cross_modal_attention(SimpleNamespace(base=ours, model=ours), **values)  # type: ignore[arg-type]
    assert len(layers) == len(output.attentions) == 2
    for index, layer in enumerate(layers):
        assert_close(layer.text_self, output.attentions[index][0].numpy())
        assert_close(layer.image_self, output.attentions[index][1].numpy())
        assert_close(layer.text_to_image, caught["text"][index].numpy())
        assert_close(layer.image_to_text, caught["image"][index].numpy())


def test_attention_of_words(vqa: Any, pictures: list[Path]) -> None:
    pixels = vqa.image_processor(str(pictures[0]), return_tensors="np")["pixel_values"]
    encoded = vqa.tokenizer([TEXT], return_tensors="np")
    layers = cross_modal_attention(vqa, encoded["input_ids"], encoded["attention_mask"], pixels)
    found = explain(vqa, str(pictures[0]), TEXT, layer=2, head=1)
    assert found.words == ("is", "it", "a", "red", "square")
    spans = encoded.encodings[0].offsets
    red = [index for index, (start, end) in enumerate(spans) if start < 11 and end > 8]
    np.testing.assert_allclose(found.attention[3], layers[1].text_to_image[0, 0, red].mean(0)[1:].reshape(2, 2),
                               atol=1e-6)
    mean = np.mean([layer.text_to_image[0] for layer in layers], axis=(0, 1))
    np.testing.assert_allclose(explain(vqa, str(pictures[0]), TEXT).attention[3],
                               mean[red].mean(0)[1:].reshape(2, 2), atol=1e-6)


def test_relevance_by_finite_differences(vqa: Any, pictures: list[Path], both_kernels: str) -> None:
    """A link's relevance is its weight times how the score changes with it, where that is positive; mean of heads."""
    pixels = vqa.image_processor(str(pictures[0]), return_tensors="np")["pixel_values"]
    ids = vqa.tokenizer([TEXT], return_tensors="np")["input_ids"]
    found = explain(vqa, str(pictures[0]), TEXT, answer="blue")
    states = encode_pairs(vqa, ids, np.ones_like(ids), pixels)
    heads: list[paddle.Tensor] = []
    layer = vqa.base.cross_modal_text_layers[1].cross_attention
    plain = layer.forward

    def shifted(amount: float, head: int, patch: int) -> float:
        def forward(x: Any, context: Any, mask: Any, attentions: Any) -> Any:
            shift = np.zeros((1, layer.num_heads, x.shape[1], context.shape[1]), np.float32)
            shift[0, head, 0, patch] = amount  # of the first token, which the classifier reads
            value = layer._split(layer.v_proj(context)).transpose([0, 2, 1, 3])
            weights: list[paddle.Tensor] = []
            plain(x, context, mask, weights)
            heads[:] = weights
            attentions.append(weights[0])
            states = (weights[0] + paddle.to_tensor(shift)).matmul(value).transpose([0, 2, 1, 3])
            return layer.out_proj(states.flatten(2))

        layer.forward = forward
        try:
            with paddle.no_grad():
                output, _ = fuse_with_weights(vqa, states)
                return float(vqa.model.classifier(output.pooler_output)[0, 2])
        finally:
            del layer.forward

    expected = np.zeros((2, layer.num_heads))
    for place, patch in enumerate((1, 3)):
        for head in range(layer.num_heads):
            slope = (shifted(0.05, head, patch) - shifted(-0.05, head, patch)) / 0.1
            expected[place, head] = max(slope * float(heads[0][0, head, 0, patch]), 0)
    weights, gradients, _, _ = _weights_and_gradients(vqa, find_head(vqa), read_words(vqa.tokenizer, TEXT, 26), pixels,
                                                      "blue")
    products = np.maximum(weights[1].text_to_image * gradients[1].text_to_image, 0)[0, :, 0]
    np.testing.assert_allclose(products[:, [1, 3]].T, expected, atol=2e-3 * max(1e-2, float(products.max())), rtol=2e-2)
    assert found.answer == "blue" and found.relevance.min() >= 0


def test_relevance_is_propagated() -> None:
    """One layer by hand: the first tokens read text token 1 and image token 2 directly, 1 through the other stream."""
    layer = LayerWeights(np.zeros((2, 2)), np.zeros((3, 3)), np.array([[0, 0, 0.5], [0, 0, 0]]),
                         np.array([[0, 0.25], [0, 0], [0, 0]]))
    text, image = _propagate([layer], None)
    np.testing.assert_allclose(text, [1, 0.25])
    np.testing.assert_allclose(image, [1, 0, 0.5])
    only_text, only_image = _propagate([layer], 0)
    np.testing.assert_allclose(only_text, [1, 0])
    np.testing.assert_allclose(only_image, [0, 0, 0.5])
    second = replace(layer, text_self=np.array([[0, 1.0], [0, 0]]))
    text, image = _propagate([layer, second], None)
    np.testing.assert_allclose(text, [1 + 0.25 * 0 + 0, 1 + 0.25 + 0.25])
    np.testing.assert_allclose(image, [1, 0, 0.5 + 0.5])


@pytest.mark.parametrize("name, text, answer", [
    ("vqa", TEXT, "red"), ("entailment", "a red square", "neutral"), ("itm", "a red square", "match"),
    ("ranking", "a red square", "match"), ("itm_itc", "a red square", "match"),
    ("contrastive", "a red square", "similarity"), ("mlm", "a [MASK] square", "a"),
    ("pretrain", "a <mask> square", None), ("pretrain", "a red square", "match")])
def test_every_class(name: str, text: str, answer: str | None, saved: Folders, pictures: list[Path]) -> None:
    opened = explained_engine(open_engines(saved(name)), text, name)
    found = explain(opened, Image.open(pictures[1]), text, answer)
    assert answer is None or found.answer == answer
    count = len(found.words)
    assert found.attention.shape == found.relevance.shape == (count, 2, 2) and found.word_relevance.shape == (count,)
    for shares in (found.relevance, found.image_relevance, found.word_relevance):
        assert shares.min() >= 0 and shares.sum() == pytest.approx(1, abs=1e-5)
    assert (0 <= found.attention).all() and (found.attention.sum((1, 2)) < 1).all()
    assert found.picture.shape == (384, 384, 3) and found.picture.dtype == np.uint8
    assert all(parameter.grad is None for parameter in opened.model.parameters())
    scores = deletion_scores(opened, Image.open(pictures[1]), text, [deletion_order(found.image_relevance)],
                             answer, (0.0, 0.5))
    assert scores.shape == (1, 2) and scores[0, 0] == pytest.approx(found.score, abs=1e-5)


def test_equal_with_paddles_operators(vqa: Any, pictures: list[Path], both_kernels: str) -> None:
    found = pipeline("visual-question-answering", vqa.source)(str(pictures[0]), TEXT, top_k=1)[0]
    explained = explain(vqa, str(pictures[0]), TEXT)
    assert (explained.answer, explained.score) == (found["answer"], pytest.approx(found["score"], abs=1e-5))


@pytest.mark.parametrize("name, text, message", [
    ("itc", "a red square", "has no head behind its cross-modal layers"),
    ("nlvr2", "a red square", "one picture and one text together"),
    ("cifar", "a red square", "does not read a picture and a text together"),
    ("mlm", "a red square", "has no <mask>"), ("vqa", "a <mask>", "has no head for fill-mask"),
    ("vqa", "?", "has no words")])
def test_what_cannot_be_explained(name: str, text: str, message: str, saved: Folders, pictures: list[Path]) -> None:
    with pytest.raises(ValueError, match=message) as error:
        explain(explained_engine(open_engines(saved(name)), text, name), str(pictures[0]), text)
    assert "\n" not in str(error.value)


def test_exports_have_no_gradients() -> None:
    with pytest.raises(ValueError, match="is an export, which has no gradients"):
        find_head(SimpleNamespace(source="static", model_class="X", labels=None))  # type: ignore[arg-type]


def test_gradients_of_parameters_stay(vqa: Any, pictures: list[Path]) -> None:
    weight = vqa.model.classifier.fc2.weight
    (weight.sum() * 3).backward()
    explain(vqa, str(pictures[0]), TEXT)
    np.testing.assert_array_equal(weight.grad.numpy(), np.full(weight.shape, 3, np.float32))
    weight.clear_gradient(False)
    assert vqa.base.text_projection.weight.grad is None


@pytest.mark.parametrize("choice, message", [({"layer": 3}, "layer 3 does not exist.*1 to 2"),
                                             ({"head": 9}, "head 9 does not exist"),
                                             ({"answer": "rde"}, "did you mean 'red'")])
def test_choices_that_do_not_exist(choice: dict[str, Any], message: str, vqa: Any, pictures: list[Path]) -> None:
    with pytest.raises(ValueError, match=message):
        explain(vqa, str(pictures[0]), TEXT, **choice)


def test_the_picture_is_what_the_model_sees(vqa: Any, tmp_path: Path) -> None:
    """The central square of a wide picture, its colours unchanged."""
    wide = Image.new("RGB", (300, 100), (10, 200, 30))
    wide.paste((250, 0, 0), (100, 0, 200, 100))
    shown = explain(vqa, wide, TEXT).picture
    assert abs(shown[100:-100, 100:-100].astype(int) - (250, 0, 0)).max() <= 1


@pytest.mark.slow
def test_figure(vqa: Any, pictures: list[Path], tmp_path: Path) -> None:
    long = "is it $a$ very red square and not a blue one?"
    found = explain(vqa, str(pictures[0]), long)
    plot_explanation(found, tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as image:
        assert image.format == "PNG" and image.width > 1000 and image.height > 1000
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]
    flat = replace(found, attention=found.attention * 0, relevance=found.relevance * 0)
    assert explanation_png(flat).startswith(b"\x89PNG")


def test_numbers_as_json(vqa: Any, pictures: list[Path]) -> None:
    values = explain(vqa, str(pictures[0]), TEXT).to_json()
    assert set(values) == {"text", "answer", "score", "words", "attention", "relevance", "image_relevance",
                           "word_relevance"}
    assert np.shape(values["attention"]) == (5, 2, 2)


def test_patches_are_removed() -> None:
    pixels = np.arange(3 * 4 * 4, dtype=np.float32).reshape(3, 4, 4)
    found = without_patches(pixels, np.array([1, 2]), 2)
    np.testing.assert_array_equal(found[:, :2, :2], pixels[:, :2, :2])
    np.testing.assert_array_equal(found[:, 2:, 2:], pixels[:, 2:, 2:])
    np.testing.assert_array_equal(found[:, :2, 2:], np.broadcast_to(pixels.mean((1, 2))[:, None, None], (3, 2, 2)))
    assert deletion_order(np.array([[0.1, 0.4], [0.3, 0.1]])).tolist() == [1, 2, 0, 3]
