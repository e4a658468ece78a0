"""Samples shared between threads: the same results and gradients, and threads given back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import paddle
import pytest
from threadpoolctl import threadpool_info

from bridgetower import BridgeTowerForImageAndTextRetrieval, BridgeTowerForImagesAndTextClassification, BridgeTowerModel
from bridgetower.modules.attention import attend
from bridgetower.modules.cpu import map_rows
from bridgetower.runtime import cpu_threads, set_cpu_threads
from tests.models import small_batch, small_model


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = cpu_threads()
    yield
    set_cpu_threads(before)


def threads_of(model: Any, run: Any) -> tuple[list[int], Any]:
    """The thread of each run of the first image block, and the result."""
    seen: list[int] = []
    block = getattr(model, "bridgetower", model).image_tower.layers[0]
    hook = block.register_forward_pre_hook(lambda *_: seen.append(threading.get_ident()))
    result = run()
    hook.remove()
    return seen, result


def threads_of_products() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["prefix"] == "libiomp"]


@pytest.mark.parametrize("needed", ["all", "first", "text"])
@pytest.mark.parametrize("threads, rows, shared", [(2, 1, 1), (2, 2, 2), (2, 3, 1), (3, 6, 3), (2, 9, 2), (4, 2, 2)])
def test_results_do_not_depend_on_the_threads(threads: int, rows: int, shared: int, needed: str) -> None:
    model, batch = small_model(BridgeTowerModel), small_batch(rows)
    outputs = []
    for count in (1, threads):
        set_cpu_threads(count)
        with paddle.no_grad():
            seen, output = threads_of(model, lambda: model(**batch, needed=needed))
        assert len(seen) == (shared if count > 1 else 1)
        assert (threading.get_ident() in seen) == (len(seen) == 1)
        outputs.append(output)
    assert {**outputs[0]}.keys() == {**outputs[1]}.keys()
    for name, expected in outputs[0].items():
        np.testing.assert_allclose(outputs[1][name].numpy(), expected.numpy(), atol=1e-5, err_msg=name)
    assert threads_of_products() == [threads]


def test_two_images_and_keywords() -> None:
    model = small_model(BridgeTowerForImagesAndTextClassification, num_labels=2)
    batch = small_batch(4, images=8)
    batch["pixel_values"] = batch["pixel_values"].reshape([4, 2, *batch["pixel_values"].shape[1:]])
    results = []
    for count in (1, 2):
        set_cpu_threads(count)
        with paddle.no_grad():
            states = model.bridgetower.encode_image(pixel_values=batch["pixel_values"][:, 0])
            results.append([model(**batch).logits, *states])
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("training, gradients", [(True, True), (True, False), (False, True)])
def test_layers_stay_in_one_thread_where_gradients_or_dropout_are_wanted(training: bool, gradients: bool) -> None:
    set_cpu_threads(2)
    model, batch = small_model(BridgeTowerForImageAndTextRetrieval), small_batch(4)
    model.train() if training else model.eval()
    with paddle.set_grad_enabled(gradients):
        seen, _ = threads_of(model, lambda: model(**batch))
    assert seen == [threading.get_ident()]


def test_an_error_comes_through_and_gives_the_threads_back() -> None:
    set_cpu_threads(2)
    model, batch = small_model(BridgeTowerModel), small_batch(2)
    batch["attention_mask"] = batch["attention_mask"][:, 1:]
    with paddle.no_grad(), pytest.raises(ValueError):
        model(**batch)
    assert threads_of_products() == [2]


@pytest.mark.parametrize("rows, width, shared", [(4, 1 << 17, 2), (4, 100, 1), (3, 1 << 18, 1), (1, 1 << 19, 1)])
def test_only_large_inputs_are_worth_sharing(rows: int, width: int, shared: int) -> None:
    set_cpu_threads(2)
    seen = set()

    def twice_and_sum(x: paddle.Tensor, nothing: None, factor: float) -> list[paddle.Tensor]:
        assert nothing is None
        seen.add(threading.get_ident())
        return [x * factor, x.sum(1)]

    x = paddle.rand([rows, width])
    twice, total = map_rows(twice_and_sum, x, None, 2.0)
    np.testing.assert_array_equal(twice.numpy(), 2 * x.numpy())
    assert total.shape == [rows]
    assert len(seen) == shared and (threading.get_ident() in seen) == (shared == 1)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_attention_of_many_does_not_depend_on_the_threads(dropout: float) -> None:
    draw = np.random.default_rng(0)
    parts = [draw.standard_normal((4, length, 8, 64), dtype=np.float32) for length in (260, 30, 30)]
    mask = paddle.to_tensor(np.where(draw.random((4, 1, 1, 30)) < 0.5, -1e9, 0.0).astype(np.float32))
    results = []
    for threads in (1, 2):
        set_cpu_threads(threads)
        paddle.seed(1)
        inputs = [paddle.to_tensor(part, stop_gradient=False) for part in parts]
        states = attend(*inputs, mask, dropout, training=True)
        results.append([states, *paddle.grad((states * states).sum(), inputs)])
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-5)
    assert threads_of_products() == [2]
