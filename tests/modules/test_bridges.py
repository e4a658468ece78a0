"""Bridges: each definition against its formula, its gradients, and the parameter counts of the paper's table."""

from __future__ import annotations

import math

import numpy as np
import paddle
import pytest

from bridgetower import BridgeTowerConfig, BridgeTowerModel
from bridgetower.config import BRIDGE_TYPES
from bridgetower.modules.attention import additive_mask
from bridgetower.modules.bridges import Bridge
from tests.models import small_config

WIDTH = 32
#: Thousands of parameters of all bridges and input norms at D = 768, K = 6 (paper, table 1).
COUNTS = {"add": 18.4, "multiply": 18.4, "gate": 26.0, "dynamic_gate": 11.8e3, "linear": 11.8e3, "mlp": 35.4e3,
          "cross_attention": 23.6e3, "cross_attention_mlp": 70.8e3, "add_linear": 11.8e3}


def random_bridge(kind: str) -> Bridge:
    paddle.seed(1)
    bridge = Bridge(small_config(bridge_type=kind))
    for parameter in bridge.parameters():
        parameter.set_value(parameter + 0.2 * paddle.randn(parameter.shape))
    bridge.eval()
    return bridge


def states() -> tuple[paddle.Tensor, paddle.Tensor]:
    draw = np.random.default_rng(2)
    x, y = (paddle.to_tensor(draw.standard_normal((2, 5, WIDTH)).astype(np.float32)) for _ in range(2))
    x.stop_gradient = y.stop_gradient = False
    return x, y


def layer_norm(bridge: Bridge, x: np.ndarray) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    normal = centred / np.sqrt((centred ** 2).mean(-1, keepdims=True) + 1e-5)
    return normal * bridge.norm.weight.numpy() + bridge.norm.bias.numpy()


def gelu(x: np.ndarray) -> np.ndarray:
    return x * (1 + np.vectorize(math.erf)(x / np.sqrt(2))) / 2


def attention(bridge: Bridge, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Multi-head attention with two heads, from x to y."""
    layer = bridge.cross_attention

    def project(name: str, value: np.ndarray) -> np.ndarray:
        linear = getattr(layer, name)
        return value @ linear.weight.numpy() + linear.bias.numpy()

    def heads(value: np.ndarray) -> np.ndarray:
        return value.reshape(*value.shape[:2], 2, -1).transpose(0, 2, 1, 3)

    query, key, value = heads(project("q_proj", x)), heads(project("k_proj", y)), heads(project("v_proj", y))
    scores = np.exp(query @ key.transpose(0, 1, 3, 2) / np.sqrt(query.shape[-1]))
    mixed = scores / scores.sum(-1, keepdims=True) @ value
    return project("out_proj", mixed.transpose(0, 2, 1, 3).reshape(x.shape))


def combination(bridge: Bridge, kind: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The paper's formula of x, the cross-modal state, and y, the tower state."""
    both = np.concatenate([x, y], axis=-1)

    def product(name: str, value: np.ndarray) -> np.ndarray:
        return value @ getattr(bridge, name).weight.numpy()

    def mixture(share: np.ndarray) -> np.ndarray:
        return share * x + (1 - share) * y

    return {
        "add": lambda: x + y,
        "multiply": lambda: x * y,
        "gate": lambda: mixture(bridge.gate.numpy()),
        "dynamic_gate": lambda: mixture(1 / (1 + np.exp(-product("linear", both)))),
        "linear": lambda: product("linear", both),
        "mlp": lambda: product("fc2", gelu(product("fc1", both))),
        "cross_attention": lambda: attention(bridge, x, y),
        "cross_attention_mlp": lambda: product("fc2", gelu(product("fc1", attention(bridge, x, y)))),
        "add_linear": lambda: x + y + product("linear", both),
        "scaled_add": lambda: x + y * bridge.scale.numpy(),
        "interpolate": lambda: mixture(bridge.scale.numpy()),
    }[kind]()


@pytest.mark.parametrize("kind", BRIDGE_TYPES)
def test_definition(kind: str) -> None:
    bridge, (x, y) = random_bridge(kind), states()
    found = bridge(x, y)
    assert found.shape == x.shape
    expected = layer_norm(bridge, combination(bridge, kind, x.numpy(), y.numpy()))
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-5)


@pytest.mark.parametrize("kind", BRIDGE_TYPES)
def test_gradients_reach_both_states_and_all_parameters(kind: str) -> None:
    bridge, (x, y) = random_bridge(kind), states()
    weights = paddle.to_tensor(np.random.default_rng(3).standard_normal(x.shape).astype(np.float32))
    (bridge(x, y) * weights).sum().backward()
    for name, tensor in [("x", x), ("y", y), *bridge.named_parameters()]:
        largest = np.abs(tensor.grad.numpy()).max()
        assert np.isfinite(largest), name
        # Adding one number to all keys of an attention changes nothing, so that this gradient is rounding alone.
        assert name.endswith("k_proj.bias") or largest > 1e-6, name


@pytest.mark.parametrize("kind", BRIDGE_TYPES)
def test_padding_of_the_tower_state_is_not_attended_to(kind: str) -> None:
    bridge, (x, y) = random_bridge(kind), states()
    mask = additive_mask(paddle.to_tensor([[1, 1, 1, 0, 0]] * 2))
    changed = y.detach().clone()
    changed[:, 3:] = 9.0
    np.testing.assert_allclose(bridge(x, changed, mask)[:, :3], bridge(x, y, mask)[:, :3], atol=1e-6)


@pytest.mark.parametrize("kind", COUNTS)
def test_parameter_counts_of_the_table(kind: str) -> None:
    config = BridgeTowerConfig(bridge_type=kind, text_config={"num_hidden_layers": 6}, vision_config={
        "num_hidden_layers": 6})
    with paddle.LazyGuard():  # counts without memory
        model = BridgeTowerModel(config)
    parts = (model.text_bridges, model.image_bridges, model.text_input_norm, model.image_input_norm)
    count = sum(int(np.prod(parameter.shape)) for part in parts for parameter in part.parameters())
    # The table rounds to three digits; it cuts 26.11 down to 26.0.
    digit = 0.1 if count < 1e6 else 100.0
    assert count / 1e3 == pytest.approx(COUNTS[kind], abs=0.6 * digit if kind != "gate" else 1.2 * digit)


def test_the_ports_scalars_begin_as_there() -> None:
    assert Bridge(small_config(bridge_type="scaled_add")).scale.item() == 1.0
    assert Bridge(small_config(bridge_type="interpolate")).scale.item() == 0.5
