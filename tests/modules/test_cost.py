"""How many multiplications a pre-training step takes, against the original's plan on the same layers.

Matrix products of the forward pass are counted while it runs; the backward pass has two for each of them. The count
grows by the same number with each layer of a kind, so that four shallow models of base width tell it for any depth.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle import Tensor

from bridgetower import BridgeTowerConfig, BridgeTowerForPreTraining

#: A batch as pre-training draws it: 15% of the words are masked, half of the texts meet a false image.
ROWS, LENGTH, MASKED, SIZE = 4, 50, 30, 288
PASSES = 3  # forward, and the gradients of both factors
Step = Callable[[BridgeTowerForPreTraining, dict[str, Tensor]], Any]

pytestmark = pytest.mark.slow


def base_model(text: int, image: int, cross: int) -> BridgeTowerForPreTraining:
    """The base model with other depths and weights of zeros, as drawing a hundred million of them takes seconds."""
    with paddle.LazyGuard():
        model = BridgeTowerForPreTraining(BridgeTowerConfig(
            text_config={"num_hidden_layers": text}, num_hidden_layers=cross,
            vision_config={"num_hidden_layers": image, "image_size": SIZE, "patch_size": 16}))
    for parameter in model.parameters():
        paddle.zeros(parameter.shape)._share_underline_tensor_to(parameter)
    return model


def batch() -> dict[str, Tensor]:
    labels = np.full(ROWS * LENGTH, -100)
    labels[:MASKED] = 5
    ids = paddle.full([ROWS, LENGTH], 5, "int64")
    return {"input_ids": ids, "attention_mask": paddle.ones_like(ids), "mlm_input_ids": ids,
            "mlm_labels": paddle.to_tensor(labels.reshape(ROWS, LENGTH)),
            "pixel_values": paddle.zeros([ROWS, 3, SIZE, SIZE]), "itm_labels": paddle.to_tensor([1, 0, 1, 0]),
            "false_pixel_values": paddle.zeros([ROWS // 2, 3, SIZE, SIZE])}


def our_step(model: BridgeTowerForPreTraining, inputs: dict[str, Tensor]) -> None:
    model(**inputs)


def original_step(model: BridgeTowerForPreTraining, inputs: dict[str, Tensor]) -> None:
    """Both objectives pass everything: `compute_mlm` and `compute_itm` of the original's objectives.py."""
    pairs = {name: inputs[name] for name in ("input_ids", "attention_mask", "pixel_values")}
    model.mlm_head(model.bridgetower(**pairs).text_features)
    model.itm_head(model.bridgetower(**pairs).pooler_output)


@paddle.no_grad()
def multiplications(step: Step, model: BridgeTowerForPreTraining, inputs: dict[str, Tensor]) -> int:
    """Of the matrix products of a step with gradients; each is a `Tensor.matmul`, `addmm` or `F.linear`."""
    counts: list[int] = []

    # Zeros stand for the products: no value matters here, and computing them takes seconds.
    def counted_matmul(x: Tensor, y: Tensor, transpose_x: bool = False, transpose_y: bool = False) -> Tensor:
        rows, inner = x.shape[-2:][::-1] if transpose_x else x.shape[-2:]
        result = paddle.zeros([*x.shape[:-2], rows, y.shape[-2 if transpose_y else -1]])
        counts.append(result.size * inner * PASSES)
        return result

    def counted_addmm(bias: Tensor, x: Tensor, y: Tensor) -> Tensor:
        counts.append(x.size * y.shape[1] * PASSES)
        return paddle.zeros([x.shape[0], y.shape[1]])

    def counted_linear(x: Tensor, weight: Tensor, *rest: Any, **named: Any) -> Tensor:
        counts.append(x.size * weight.shape[1] * PASSES)
        return paddle.zeros([*x.shape[:-1], weight.shape[1]])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paddle.Tensor, "matmul", counted_matmul)
        patch.setattr(paddle, "addmm", counted_addmm)
        patch.setattr(F, "linear", counted_linear)
        step(model, inputs)
    return sum(counts)


@cache
def of_both(depths: tuple[int, int, int]) -> np.ndarray:
    """Multiplications of our step and of the original's."""
    model, inputs = base_model(*depths), batch()
    return np.array([multiplications(step, model, inputs) for step in (our_step, original_step)])


def of_base() -> np.ndarray:
    """Of both steps with 12 text, 12 image and 6 cross-modal layers."""
    start, more_text, more_image, more_of_all = map(of_both, ((1, 1, 1), (2, 1, 1), (1, 2, 1), (2, 2, 2)))
    text, image = more_text - start, more_image - start
    return start + 11 * text + 11 * image + 5 * (more_of_all - start - text - image)


def image_block(rows: int) -> int:
    """Four projections, two feed-forward maps and two attention products of 325 tokens, of width 768."""
    tokens, width = 1 + (SIZE // 16) ** 2, 768
    return rows * PASSES * (tokens * 12 * width ** 2 + 2 * tokens ** 2 * width)


def test_the_count_is_that_of_a_block() -> None:
    assert (of_both((1, 2, 1)) - of_both((1, 1, 1)))[0] == image_block(ROWS + ROWS // 2)


def test_a_step_takes_at_most_80_percent_of_the_originals() -> None:
    ours, original = of_base()
    assert ours / original <= 0.80, f"{ours:.4g} of {original:.4g}"
