"""Our kernels against Paddle's operators: values, gradients, frozen inputs, tracing; and the odds of dropout."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle import Tensor, nn

from bridgetower.kernels import (
    SWITCH,
    add_bias,
    attention,
    dropout,
    gelu,
    patch_embedding,
    quick_gelu,
    scaled_dot_product,
)
from bridgetower.modules.layers import Dropout, LayerNorm, Linear

#: Other orders of float32 sums over up to 24 rows of numbers around 1.
TOLERANCE = 2e-5


@pytest.fixture(autouse=True)
def ours_for_small_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "ours")


def random(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    tensor = paddle.to_tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32) * scale)
    tensor.stop_gradient = False
    return tensor


def plain_quick_gelu(x: Tensor) -> Tensor:
    return x * F.sigmoid(1.702 * x)


def linear(kind: type[nn.Linear]) -> tuple[Callable[[Tensor], Tensor], list[Tensor]]:
    layer = kind(6, 9)
    layer.weight.set_value(random(6, 9, seed=1))
    layer.bias.set_value(random(9, seed=2))
    return layer, list(layer.parameters())


def layer_norm(kind: type[nn.LayerNorm], epsilon: float) -> tuple[Callable[[Tensor], Tensor], list[Tensor]]:
    layer = kind(6, epsilon)
    layer.weight.set_value(random(6, seed=1))
    layer.bias.set_value(random(6, seed=2))
    return layer, list(layer.parameters())


def biased(add: Callable[[Tensor, Tensor], Tensor]) -> tuple[Callable[[Tensor], Tensor], list[Tensor]]:
    bias = random(6, seed=1)
    return lambda x: add(x, bias), [bias]


#: Ours and Paddle's, each with its parameters.
PAIRS = {
    "linear": lambda: (linear(Linear), linear(nn.Linear)),
    "layer norm": lambda: (layer_norm(LayerNorm, 1e-5), layer_norm(nn.LayerNorm, 1e-5)),
    "layer norm of the original": lambda: (layer_norm(LayerNorm, 1e-12), layer_norm(nn.LayerNorm, 1e-12)),
    "bias": lambda: (biased(add_bias), biased(lambda x, bias: x + bias)),
    "gelu": lambda: ((gelu, []), (F.gelu, [])),
    "quick_gelu": lambda: ((quick_gelu, []), (plain_quick_gelu, [])),
}


@pytest.mark.parametrize("shape", [(4, 6), (2, 3, 6), (2, 2, 3, 6)])
@pytest.mark.parametrize("name", PAIRS)
def test_same_values_and_gradients(name: str, shape: tuple[int, ...]) -> None:
    results = []
    for run, parameters in PAIRS[name]():
        x = random(*shape, scale=3.0)
        y = run(x)
        (y * random(*y.shape, seed=4).detach()).sum().backward()
        with paddle.no_grad():
            inferred = run(x)
        results.append([y, inferred, x.grad, *(parameter.grad for parameter in parameters)])
    for found, expected in zip(*results, strict=True):
        assert found.shape == expected.shape
        np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("name", ["linear", "layer norm"])
def test_frozen_parts_get_no_gradient(name: str) -> None:
    for frozen in ("input", "weight", "bias"):
        (ours, parameters), _ = PAIRS[name]()
        x = random(2, 3, 6)
        parts = dict(zip(("weight", "bias"), parameters, strict=True)) | {"input": x}
        parts[frozen].stop_gradient = True
        ours(x).sum().backward()
        assert {part for part, tensor in parts.items() if tensor.grad is None} == {frozen}


@pytest.mark.parametrize("name", ["linear", "layer norm"])
@pytest.mark.parametrize("frozen", [("weight",), ("bias",), ("weight", "bias")])
def test_what_is_frozen_does_not_change_the_other_gradients(name: str, frozen: tuple[str, ...], both_kernels: str
                                                            ) -> None:
    gradients = []
    for kept in ((), frozen):
        (run, parameters), _ = PAIRS[name]()
        for part, parameter in zip(("weight", "bias"), parameters, strict=True):
            parameter.stop_gradient = part in kept
        x = random(2, 3, 6, scale=3.0)
        (run(x) * random(*run(x).shape, seed=4).detach()).sum().backward()
        gradients.append(x.grad.numpy())
    np.testing.assert_allclose(gradients[1], gradients[0], atol=TOLERANCE, rtol=TOLERANCE)


def test_layer_norm_of_a_constant_row_and_of_a_far_mean() -> None:
    """The deviation comes from a product, which must neither divide by zero nor lose its digits."""
    for x in (np.ones((2, 6)), np.random.default_rng(0).standard_normal((2, 6)) + 100):
        grads = []
        for kind in (LayerNorm, nn.LayerNorm):
            tensor = paddle.to_tensor(x.astype(np.float32), stop_gradient=False)
            run, _ = layer_norm(kind, 1e-5)
            (run(tensor) * random(2, 6, seed=4)).sum().backward()
            grads.append(tensor.grad.numpy())
        np.testing.assert_allclose(grads[0], grads[1], rtol=1e-4, atol=1e-4 * np.abs(grads[1]).max())


@pytest.fixture(params=["weights kept", "weights computed again"])
def attention_weights(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to the gradient, of which the size of the weights chooses one."""
    if request.param == "weights computed again":
        monkeypatch.setattr(scaled_dot_product, "_KEPT_WEIGHTS", 0)


@pytest.mark.usefixtures("attention_weights")
@pytest.mark.parametrize("masked", [None, "padding", "all"])
def test_attention_equals_paddles(masked: str | None) -> None:
    mask = paddle.zeros([2, 1, 1, 5])
    if masked:
        mask[1, 0, 0, 3 if masked == "padding" else 0:] = float(paddle.finfo(paddle.float32).min)
    results = []
    for kernel in (attention, None):
        parts = [random(2, rows, 2, 4, seed=seed) for seed, rows in enumerate((3, 5, 5))]
        if kernel:
            states = kernel(*parts, mask if masked else None, 0.5, False)
        else:
            states = F.scaled_dot_product_attention(*parts, attn_mask=mask if masked else None)
        (states * random(2, 3, 2, 4, seed=4)).sum().backward()
        results.append([states, *(part.grad for part in parts)])
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=TOLERANCE)


@pytest.mark.usefixtures("attention_weights")
@pytest.mark.parametrize("frozen", [(), (0,), (1, 2)])
def test_attention_drops_the_same_weights_in_its_gradient(frozen: tuple[int, ...]) -> None:
    """Against the definition, step by step, with the same draw."""
    mask = paddle.to_tensor([0.0, 0.0, 0.0, 0.0, -1e9]).reshape([1, 1, 1, 5])

    def by_definition(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        query, key, value = (part.transpose([0, 2, 1, 3]) for part in (query, key, value))
        weights = F.softmax(query.matmul(key, transpose_y=True) / 4 ** 0.5 + mask)
        return dropout(weights, 0.4, training=True).matmul(value).transpose([0, 2, 1, 3])

    results = []
    for kernel in (lambda *parts: attention(*parts, mask, 0.4, True), by_definition):
        parts = [random(2, rows, 2, 4, seed=seed) for seed, rows in enumerate((3, 5, 5))]
        for index in frozen:
            parts[index].stop_gradient = True
        paddle.seed(7)
        states = kernel(*parts)
        (states * random(2, 3, 2, 4, seed=4)).sum().backward()
        results.append([states, *(part.grad for part in parts)])
    for found, expected in zip(*results, strict=True):
        assert (found is None) == (expected is None)
        if found is not None:
            np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=TOLERANCE)


def test_attention_may_drop_everything() -> None:
    query = random(2, 3, 2, 4)
    states = attention(query, query, query, None, 1.0, True)
    states.sum().backward()
    assert not states.any() and not query.grad.any()


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_share_and_the_mean(p: float) -> None:
    paddle.seed(0)
    x = paddle.ones([400, 251])
    x.stop_gradient = False
    y = dropout(x, p, training=True)
    kept = y.numpy() != 0
    deviation = np.sqrt(p * (1 - p) / kept.size)
    assert abs(kept.mean() - (1 - p)) < 4 * deviation
    np.testing.assert_allclose(y.numpy()[kept], 1 / (1 - p), rtol=1e-4)
    # Neighbours, rows and columns are independent.
    for one, other in ((kept[:, :-1], kept[:, 1:]), (kept[:-1], kept[1:])):
        assert abs((one & other).mean() - (1 - p) ** 2) < 4 * deviation
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy())


def test_dropout_follows_the_seed_of_paddle() -> None:
    x, layer = paddle.ones([50, 50]), Dropout(0.5)
    first, second = (layer(x).numpy() for _ in range(2))
    assert (first != second).any()
    state = paddle.get_rng_state()
    expected = layer(x).numpy()
    paddle.set_rng_state(state)
    np.testing.assert_array_equal(layer(x).numpy(), expected)
    assert layer.eval()(x) is x and dropout(x, 0.0, training=True) is x
    assert not dropout(x, 1.0, training=True).any()


@pytest.mark.parametrize("size", [8, 11])
@pytest.mark.parametrize("has_bias", [True, False])
def test_patches_are_a_convolution(size: int, has_bias: bool) -> None:
    """Pixels beyond the last whole patch are not read."""
    results = []
    for run in (patch_embedding, lambda *parts: F.conv2d(*parts, stride=4)):
        parts = [random(2, 3, size, size), random(5, 3, 4, 4, seed=1), random(5, seed=2) if has_bias else None]
        embedded = run(*parts)
        (embedded * random(*embedded.shape, seed=4).detach()).sum().backward()
        results.append([embedded, *(part.grad for part in parts if part is not None)])
    for found, expected in zip(*results, strict=True):
        assert found.shape == expected.shape
        np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("full_graph", [True, False])
def test_traced_layers_are_the_same(full_graph: bool) -> None:
    class Block(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.linear, self.dropout = LayerNorm(6), Linear(6, 6), Dropout(0.5)

        def forward(self, x: Tensor) -> Tensor:
            return self.dropout(quick_gelu(self.linear(gelu(self.norm(x)))))

    block, x = Block(), random(3, 6)
    block.eval()
    expected = block(x)
    traced = paddle.jit.to_static(block, full_graph=full_graph)
    np.testing.assert_allclose(traced(x).numpy(), expected.numpy(), atol=1e-6)
    traced.train()
    traced(x).sum().backward()
    assert np.isfinite(block.linear.weight.grad.numpy()).all()
