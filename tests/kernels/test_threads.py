"""Samples shared between threads: results and gradients are the same, and the number of threads is restored."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import paddle
import pytest
from threadpoolctl import threadpool_info

from bridgetower import BridgeTowerForImageAndTextRetrieval, BridgeTowerForImagesAndTextClassification, BridgeTowerModel
from bridgetower.kernels import attention, forced_kernels
from bridgetower.kernels.threads import map_rows
from bridgetower.runtime import cpu_threads, set_cpu_threads
from tests.models import small_batch, small_model


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = cpu_threads()
    yield
    set_cpu_threads(before)


def shares_of(model: Any, run: Any) -> tuple[list[tuple[int, bool]], Any]:
    """The result, and for each run of the first image block: its rows, and whether it was in the main thread."""
    seen: list[tuple[int, bool]] = []
    block = getattr(model, "bridgetower", model).image_tower.layers[0]
    hook = block.register_forward_pre_hook(
        lambda _, inputs: seen.append((inputs[0].shape[0], threading.current_thread() is threading.main_thread())))
    result = run()
    hook.remove()
    return seen, result


def threads_of_products() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["prefix"] == "libiomp"]


@pytest.mark.parametrize("wanted", [{}, {"first_token_only": True}, {"text_only": True}])
@pytest.mark.parametrize("threads, rows, shares", [(2, 1, [1]), (2, 2, [1, 1]), (2, 3, [3]), (3, 6, [2, 2, 2]),
                                                   (2, 9, [4, 5]), (4, 2, [1, 1])])
def test_results_do_not_depend_on_the_threads(threads: int, rows: int, shares: list[int], wanted: dict[str, bool]
                                              ) -> None:
    model, batch = small_model(BridgeTowerModel), small_batch(rows)
    outputs = []
    for count in (1, threads):
        set_cpu_threads(count)
        with paddle.no_grad():
            seen, output = shares_of(model, lambda: model(**batch, **wanted))
        expected_shares = shares if count > 1 else [rows]
        assert sorted(seen) == [(share, len(expected_shares) == 1) for share in expected_shares]
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
        seen, _ = shares_of(model, lambda: model(**batch))
    assert seen == [(4, True)]


def test_paddles_own_operators_run_in_one_thread() -> None:
    set_cpu_threads(2)
    model, batch = small_model(BridgeTowerModel), small_batch(4)
    with paddle.no_grad(), forced_kernels("paddle"):
        seen, _ = shares_of(model, lambda: model(**batch))
    assert seen == [(4, True)]


def test_an_error_comes_through_and_gives_the_threads_back() -> None:
    set_cpu_threads(2)
    model, batch = small_model(BridgeTowerModel), small_batch(2)
    batch["attention_mask"] = batch["attention_mask"][:, 1:]
    with paddle.no_grad(), pytest.raises(ValueError):
        model(**batch)
    assert threads_of_products() == [2]


@pytest.mark.parametrize("rows, width, shares", [(4, 1 << 17, [2, 2]), (4, 100, [4]), (3, 1 << 18, [3]),
                                                 (1, 1 << 19, [1])])
def test_only_large_inputs_are_worth_sharing(rows: int, width: int, shares: list[int]) -> None:
    """Which threads take the shares is up to the pool; one alone may take them all."""
    set_cpu_threads(2)
    seen: list[tuple[int, bool]] = []

    def twice_and_sum(x: paddle.Tensor, nothing: None, factor: float) -> list[paddle.Tensor]:
        assert nothing is None
        seen.append((x.shape[0], threading.current_thread() is threading.main_thread()))
        return [x * factor, x.sum(1)]

    x = paddle.rand([rows, width])
    twice, total = map_rows(twice_and_sum, x, None, 2.0)
    np.testing.assert_array_equal(twice.numpy(), 2 * x.numpy())
    assert total.shape == [rows]
    assert seen == [(share, len(shares) == 1) for share in shares]


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
        states = attention(*inputs, mask, dropout, training=True)
        results.append([states, *paddle.grad((states * states).sum(), inputs)])
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-5)
    assert threads_of_products() == [2]
