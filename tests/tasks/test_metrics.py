"""Running metrics: weighted means that add up."""

from __future__ import annotations

import paddle
import pytest

from bridgetower.tasks.metrics import Metrics, num_correct, vqa_scores


def test_means_are_weighted_and_mergeable() -> None:
    whole, left, right = Metrics(), Metrics(), Metrics()
    for part, mean, count in ((left, 2.0, 3), (right, 5.0, 1), (right, 1.0, 4)):
        part.add_mean("loss", paddle.to_tensor(mean), count)
        whole.add_mean("loss", mean, count)
    left.merge(right.state())
    assert left.compute() == whole.compute() == {"loss": pytest.approx((2 * 3 + 5 + 4) / 8)}
    left.reset()
    assert left.compute() == {}


def test_what_saw_nothing_is_left_out() -> None:
    metrics = Metrics()
    metrics.add_mean("mlm_loss", float("nan"), 0)
    metrics.add("mlm_accuracy", 0, 0)
    assert metrics.compute() == {}


def test_num_correct() -> None:
    logits = paddle.to_tensor([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]])
    assert num_correct(logits, paddle.to_tensor([1, 1, 1])) == 2
    assert num_correct(paddle.zeros([0, 2]), paddle.zeros([0], dtype="int64")) == 0


def test_vqa_scores_read_the_chosen_answer_only() -> None:
    logits = paddle.to_tensor([[0.1, 3.0, 0.2], [2.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    targets = paddle.to_tensor([[1.0, 0.3, 0.0], [0.6, 0.0, 0.0], [1.0, 1.0, 0.0]])
    assert vqa_scores(logits, targets).tolist() == pytest.approx([0.3, 0.6, 0.0])
