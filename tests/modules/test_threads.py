"""Samples shared between threads: the same results, only where no gradient is wanted, and threads given back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import paddle
import pytest
from threadpoolctl import threadpool_info

from bridgetower import BridgeTowerForImageAndTextRetrieval, BridgeTowerForImagesAndTextClassification, BridgeTowerModel
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
def test_gradients_and_dropout_stay_in_one_thread(training: bool, gradients: bool) -> None:
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
