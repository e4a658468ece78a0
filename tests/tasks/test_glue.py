"""GLUE metrics against their definitions, and submission files."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridgetower.datasets.glue_tasks import GLUE, glue_task
from bridgetower.tasks.glue import METRICS, evaluate_glue, pearson, spearman, submission

BITS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=2, max_size=20)
NUMBERS = st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=2, max_size=20)


@given(BITS)
def test_metrics_of_two_classes(pairs: list[tuple[int, int]]) -> None:
    predictions, labels = np.array(pairs).T
    tp, fp, fn, tn = (sum(pair == kind for pair in pairs) for kind in ((1, 1), (1, 0), (0, 1), (0, 0)))
    accuracy, f1 = METRICS["mrpc"].values()
    assert accuracy(labels, predictions) == pytest.approx((tp + tn) / len(pairs))
    assert f1(labels, predictions) == pytest.approx(2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 0.0)
    scale = ((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)) ** 0.5
    matthews = METRICS["cola"]["matthews"](labels, predictions)
    assert matthews == pytest.approx((tp * tn - fp * fn) / scale if scale else 0.0, abs=1e-9)


@given(NUMBERS)
def test_correlations(pairs: list[tuple[int, int]]) -> None:
    x, y = np.array(pairs, float).T
    if x.std() == 0 or y.std() == 0:
        assert pearson(x, y) == spearman(x, y) == 0.0
        return
    assert pearson(x, y) == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-9)
    # The rank of a value: how many are smaller, and the mean place among its equals.
    ranks = [np.array([(values < value).sum() + ((values == value).sum() + 1) / 2 for value in values])
             for values in (x, y)]
    assert spearman(x, y) == pytest.approx(np.corrcoef(*ranks)[0, 1], abs=1e-9)


def test_parts_are_measured_apart_and_selected_by_their_mean() -> None:
    scores = np.eye(3)[[0, 1, 2, 0]]
    found = evaluate_glue(GLUE["mnli"], scores, np.array([0, 0, 2, 0]), np.array([0, 0, 1, 1]))
    assert found == {"matched_accuracy": 0.5, "mismatched_accuracy": 1.0, "glue_score": 0.75}


def test_the_last_metric_selects() -> None:
    scores, labels = np.eye(2)[[1, 1, 0, 0]], np.array([1, 0, 0, 1])
    found = evaluate_glue(GLUE["mrpc"], scores, labels, np.zeros(4, int))
    assert found["glue_score"] == found["f1"] == 0.5
    numbers = evaluate_glue(GLUE["stsb"], np.array([[1.0], [2.0], [9.0]]), np.array([0.0, 3.0, 4.0]), np.zeros(3, int))
    assert numbers["glue_score"] == numbers["spearman"] == pytest.approx(1.0)
    assert numbers["pearson"] < 1


def test_submissions() -> None:
    assert submission(GLUE["cola"], np.eye(2)[[1, 0]]) == "index\tprediction\n0\t1\n1\t0\n"
    assert submission(GLUE["rte"], np.eye(2)[[1]]) == "index\tprediction\n0\tnot_entailment\n"
    assert submission(GLUE["stsb"], np.array([[2.34567], [-1.0], [7.0]])).splitlines()[1:] == [
        "0\t2.346", "1\t0.000", "2\t5.000"]


def test_every_task_is_whole() -> None:
    for name, task in GLUE.items():
        assert glue_task(name) is task and METRICS[name]
        assert len(task.files) == max(len(task.parts), 1)
        assert len(task.classes) in (0, task.num_labels)
    with pytest.raises(KeyError, match="did you mean 'mnli'"):
        glue_task("mnly")
