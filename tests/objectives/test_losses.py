"""Losses against plain NumPy readings of their definitions, and their edges."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bridgetower.objectives import (
    class_cross_entropy,
    contrastive_loss,
    contrastive_similarity,
    draw_negatives,
    masked_cross_entropy,
    negative_weights,
    vqa_loss,
)

SCORES = st.floats(-8, 8, width=32)


def log_softmax(scores: np.ndarray) -> np.ndarray:
    shifted = scores - scores.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


@st.composite
def similarities(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores of both directions, and positives: at least one per row."""
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    first, second = (draw(arrays(np.float32, (rows, columns), elements=SCORES)) for _ in range(2))
    positives = draw(arrays(np.float32, (rows, columns), elements=st.sampled_from([0.0, 1.0])))
    positives[np.arange(rows), np.arange(rows) % columns] = 1.0
    return first, second, positives


@given(similarities())
def test_contrastive_loss(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """Cross entropy against targets that a row's positives share evenly, the mean of both directions."""
    *scores, positives = case
    targets = positives / positives.sum(axis=1, keepdims=True)
    expected = np.mean([-(log_softmax(one) * targets).sum(axis=1).mean() for one in scores])
    found = contrastive_loss(*(paddle.to_tensor(one) for one in scores), paddle.to_tensor(positives))
    np.testing.assert_allclose(float(found), expected, rtol=1e-5, atol=1e-5)


def test_similarity_is_divided_by_the_temperature() -> None:
    texts, images = np.eye(2, 3, dtype=np.float32), np.eye(3, dtype=np.float32)
    found = contrastive_similarity(paddle.to_tensor(texts), paddle.to_tensor(images), paddle.to_tensor(0.5))
    np.testing.assert_allclose(found, [[2, 0, 0], [0, 2, 0]])


@given(similarities())
def test_negatives_are_drawn_from_the_others(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    scores, _, positives = case
    tensor = paddle.to_tensor(scores, stop_gradient=False)
    weights = negative_weights(tensor, paddle.to_tensor(positives))
    assert weights.stop_gradient
    drawn = draw_negatives(weights).numpy()
    hopeless = (np.exp(log_softmax(scores)) * (1 - positives)).sum(axis=1) == 0
    for row in range(len(scores)):
        if hopeless[row]:  # nothing but positives: any of them, evenly
            np.testing.assert_allclose(weights[row], 1e-5)
        else:
            assert positives[row, drawn[row]] == 0
            np.testing.assert_allclose(weights[row], np.exp(log_softmax(scores))[row] * (1 - positives[row]),
                                       rtol=1e-4, atol=1e-7)


def test_likelier_negatives_are_drawn_more_often() -> None:
    paddle.seed(0)
    weights = paddle.to_tensor([[0.0, 0.2, 0.6]]).tile([4000, 1])
    counts = np.bincount(draw_negatives(weights).numpy(), minlength=3) / 4000
    np.testing.assert_allclose(counts, [0, 0.25, 0.75], atol=0.03)


@pytest.mark.parametrize("labels", [[1, 0, 2], [1, -100, 2], [-100] * 3, [[1], [-100], [0]]], ids=str)
@pytest.mark.parametrize("dtype", ["int64", "int32"])
def test_class_cross_entropy_is_the_mean_over_labelled_rows(labels: list, dtype: str) -> None:
    scores = np.array([[0, 1, 2], [3, 1, -1], [0.5, 0, 0]], np.float32)
    flat = np.ravel(labels)
    rows = [log_softmax(scores)[row, label] for row, label in enumerate(flat) if label >= 0]
    logits = paddle.to_tensor(scores, stop_gradient=False)
    loss = class_cross_entropy(logits, paddle.to_tensor(labels, dtype))
    loss.backward()
    assert float(loss) == pytest.approx(-np.mean(rows) if rows else 0, rel=1e-6)
    assert np.isfinite(logits.grad.numpy()).all() and not logits.grad.numpy()[flat < 0].any()


def test_class_cross_entropy_with_probabilities() -> None:
    scores, shares = np.array([[0, 1], [3, 1]], np.float32), np.array([[0.2, 0.8], [1, 0]])
    loss = class_cross_entropy(paddle.to_tensor(scores), paddle.to_tensor(shares))
    assert float(loss) == pytest.approx(-(shares * log_softmax(scores)).sum(1).mean(), rel=1e-6)


def test_masked_cross_entropy_and_its_empty_batch() -> None:
    logits = paddle.to_tensor([[0.0, 1.0], [2.0, 0.0]], stop_gradient=False)
    expected = -log_softmax(logits.numpy())[[0, 1], [1, 1]].mean()
    assert float(masked_cross_entropy(logits, paddle.to_tensor([1, 1]))) == pytest.approx(expected, rel=1e-6)
    loss = masked_cross_entropy(logits[:0], paddle.zeros([0], "int64"))
    loss.backward()
    assert float(loss) == 0.0
    np.testing.assert_array_equal(logits.grad, np.zeros((2, 2)))


@given(arrays(np.float32, (3, 4), elements=SCORES), arrays(np.float32, (3, 4), elements=st.floats(0, 1, width=32)))
def test_vqa_loss(logits: np.ndarray, targets: np.ndarray) -> None:
    """Binary cross entropy summed over answers, averaged over questions."""
    each = np.log1p(np.exp(-np.abs(logits))) + np.maximum(logits, 0) - logits * targets
    found = vqa_loss(paddle.to_tensor(logits), paddle.to_tensor(targets))
    np.testing.assert_allclose(float(found), each.sum(axis=1).mean(), rtol=1e-5, atol=1e-5)
