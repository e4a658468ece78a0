"""What replaces, wraps or observes Paddle's layers works on the model's: LoRA, hooks, summaries, operation counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
from paddle import nn
from paddlenlp.peft import LoRAConfig, LoRAModel

from bridgetower import BridgeTowerForImageClassification, BridgeTowerForQuestionAnswering
from bridgetower.modules.layers import Dropout, LayerNorm, Linear, PatchEmbedding
from tests.models import SIZE, gradients, small_batch, small_model

#: Adapters on attention, feed-forward layers, projections and patches, of both towers and the cross-modal layers.
TARGETS = [".*q_proj", ".*k_proj", ".*v_proj", ".*out_proj", ".*fc1", ".*text_projection", ".*image_projection",
           ".*patch_embedding"]


def random_adapters(model: Any) -> dict[str, paddle.Tensor]:
    """Give all adapters of a LoRA model random values: they begin with a difference of zero."""
    paddle.seed(1)
    adapters = {name: each for name, each in model.named_parameters() if "lora_" in name}
    for each in adapters.values():
        each.set_value(paddle.randn(each.shape) * 0.1)
    return adapters


@pytest.mark.usefixtures("both_kernels")
def test_lora() -> None:
    """Every adapter gets a gradient, and merging changes no score."""
    model = small_model(BridgeTowerForQuestionAnswering, num_labels=5)
    batch = small_batch()
    plain = model(**batch).logits.numpy()
    model = LoRAModel(model, LoRAConfig(target_modules=TARGETS, r=4, lora_alpha=8))
    model.mark_only_lora_as_trainable()
    adapters = random_adapters(model)
    model.eval()
    logits = model(**batch).logits
    assert set(adapters) <= set(gradients(model, (logits * logits).sum()))
    assert {name for name in adapters if "patch_embedding" in name or "text_projection" in name}
    with paddle.no_grad():
        unmerged = model(**batch).logits.numpy()
        model.merge()
        merged = model(**batch).logits.numpy()
    np.testing.assert_allclose(unmerged, logits.numpy(), atol=1e-5)
    np.testing.assert_allclose(merged, unmerged, atol=1e-5)
    assert np.abs(merged - plain).max() > 0.01


@pytest.mark.usefixtures("both_kernels")
@pytest.mark.parametrize("gradient", [True, False])
@pytest.mark.parametrize("layer", [
    "bridgetower.text_projection", "bridgetower.image_projection", "bridgetower.token_type_embeddings",
    "bridgetower.image_tower.patch_embedding", "bridgetower.text_tower.embeddings.token_type_embeddings",
    "bridgetower.cross_modal_text_layers.1.cross_attention.q_proj",
    "bridgetower.cross_modal_text_layers.1.cross_attention.k_proj",
    "bridgetower.cross_modal_image_layers.1.self_attention.v_proj"])
def test_a_hook_changes_the_scores(layer: str, gradient: bool) -> None:
    model = small_model(BridgeTowerForQuestionAnswering, num_labels=5)
    hooked = dict(model.named_sublayers())[layer]
    with paddle.set_grad_enabled(gradient):
        before = model(**small_batch()).logits
        hook = hooked.register_forward_post_hook(lambda _, __, output: output * paddle.linspace(
            0.5, 2.0, output.shape[-1]))
        changed = model(**small_batch()).logits
        hook.remove()
        after = model(**small_batch()).logits
    assert np.abs(changed.numpy() - before.numpy()).max() > 1e-4
    np.testing.assert_allclose(after.numpy(), before.numpy(), atol=1e-5)


@pytest.mark.usefixtures("both_kernels")
@pytest.mark.parametrize("epsilon", [0.0, 1e-12, 1e-3, 2e-3, 0.5])
def test_a_norm_with_any_epsilon(epsilon: float) -> None:
    layer, draw = LayerNorm(8, epsilon), np.random.default_rng(0)
    values, scale, shift = (draw.standard_normal(shape).astype(np.float32) for shape in ((2, 3, 8), (8,), (8,)))
    layer.weight.set_value(scale)
    layer.bias.set_value(shift)
    normal = (values - values.mean(-1, keepdims=True)) / np.sqrt(values.var(-1, keepdims=True) + epsilon)
    np.testing.assert_allclose(layer(paddle.to_tensor(values)).numpy(), normal * scale + shift, atol=2e-6)


def test_summary(capsys: pytest.CaptureFixture[str]) -> None:
    model = small_model(BridgeTowerForQuestionAnswering, num_labels=5)
    batch = small_batch().values()
    found = paddle.summary(model, [tuple(each.shape) for each in batch], ["int64", "int64", "float32"])
    assert found["total_params"] == sum(int(np.prod(each.shape)) for each in model.parameters())
    table = capsys.readouterr().out
    assert all(name in table for name in ("Linear", "LayerNorm", "PatchEmbedding", "MultiHeadAttention"))


def test_flops(capsys: pytest.CaptureFixture[str]) -> None:
    """Paddle counts layers by their exact class; ours count as those that they derive from."""
    model = small_model(BridgeTowerForImageClassification, num_labels=5)
    tower, tokens = model.config.vision_config, 1 + (SIZE // 16) ** 2
    block = tokens * (4 * tower.hidden_size ** 2 + 2 * tower.hidden_size * tower.intermediate_size)
    patches = (tokens - 1) * tower.hidden_size * 3 * 16 ** 2
    classifier = tower.hidden_size * 5
    expected = tower.num_hidden_layers * block + patches + classifier
    assert paddle.flops(model, [1, 3, SIZE, SIZE]) == pytest.approx(expected, rel=0.01)
    assert not any(f"for {each}" in capsys.readouterr().out for each in (Linear, PatchEmbedding, Dropout))


def test_layers_are_paddles() -> None:
    assert issubclass(Linear, nn.Linear) and issubclass(LayerNorm, nn.LayerNorm)
    assert issubclass(PatchEmbedding, nn.Conv2D) and issubclass(Dropout, nn.Dropout)
    for layer in small_model(BridgeTowerForQuestionAnswering, num_labels=5).sublayers():
        assert not isinstance(layer, (nn.Linear, nn.LayerNorm, nn.Conv2D)) or type(layer).__call__ is nn.Layer.__call__
