"""The models against the Hugging Face port, run live on small random weights: outputs, losses, gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
import torch
import transformers

import bridgetower
from bridgetower.conversion import to_paddle
from tests.goldens import assert_close
from tests.modules.port import LENGTH, ROWS, WORDS, inputs, port_model

pytestmark = pytest.mark.usefixtures("both_kernels")
SIZES = {"same": {}, "deep towers": {"depth": 4}, "one layer": {"layers": 1}, "wide": {"width": 64},
         "embeddings feed the first layer": {"depth": 1, "layers": 2},
         "interpolate": {"link_tower_type": "interpolate"}, "scaled_add": {"link_tower_type": "scaled_add"}}


def both(class_name: str, folder: Path, labels: dict[str, Any] | None = None, **changes: Any
         ) -> tuple[Any, Any, Any, Any]:
    """The models of the port and of ours, and their outputs."""
    port = port_model(class_name, folder, **changes)
    ours = getattr(bridgetower, class_name).from_pretrained(folder)
    labels = labels or {}

    def batch(tensor: Any) -> dict[str, Any]:
        return {name: tensor(value) if isinstance(value, np.ndarray) else value
                for name, value in {**inputs(), **labels}.items()}

    return port, ours, port(**batch(torch.tensor)), ours(**batch(paddle.to_tensor))


def assert_same_gradients(port: Any, ours: Any) -> None:
    found = {name: parameter.grad.numpy() for name, parameter in port.named_parameters() if parameter.grad is not None}
    expected, _ = to_paddle(found, "huggingface", prefix="bridgetower.")
    gradients = {name: parameter.grad.numpy() for name, parameter in ours.named_parameters()
                 if parameter.grad is not None}
    unknown = {name for name, value in expected.items() if np.abs(value).max() > 0} - set(gradients)
    assert not unknown, f"without a gradient here: {sorted(unknown)}"
    assert all(np.abs(gradients[name]).max() == 0 for name in set(gradients) - set(expected))
    scale = max(np.abs(value).max() for value in expected.values())
    for name, value in expected.items():
        if name in gradients:
            np.testing.assert_allclose(gradients[name], value.reshape(gradients[name].shape), rtol=0,
                                       atol=2e-5 * max(scale, 1.0), err_msg=name)


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_bare_model(tmp_path: Path, sizes: dict[str, Any]) -> None:
    _, _, expected, found = both("BridgeTowerModel", tmp_path, **sizes)
    for name in ("text_features", "image_features", "pooler_output"):
        assert_close(found[name], expected[name].detach().numpy())


@pytest.mark.parametrize("tie", [True, False])
def test_masked_language_modelling(tmp_path: Path, tie: bool) -> None:
    batch = inputs()
    hidden = (np.random.default_rng(1).random((ROWS, LENGTH)) < 0.4) & (batch["attention_mask"] == 1)
    labels = np.where(hidden, batch["input_ids"], -100)
    port, ours, expected, found = both("BridgeTowerForMaskedLM", tmp_path, {"labels": labels}, tie=tie)
    assert ours.config.tie_word_embeddings is tie
    assert_close(found.logits, expected.logits.detach().numpy())
    assert_close(found.loss, expected.loss.detach().numpy())
    expected.loss.backward()
    found.loss.backward()
    assert_same_gradients(port, ours)


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_matching(tmp_path: Path, sizes: dict[str, Any]) -> None:
    labels = {"labels": np.array([1, 0, 1])}
    port, ours, expected, found = both("BridgeTowerForImageAndTextRetrieval", tmp_path, labels, **sizes)
    assert_close(found.logits, expected.logits.detach().numpy())
    assert_close(found.loss, expected.loss.detach().numpy())
    expected.loss.backward()
    found.loss.backward()
    assert_same_gradients(port, ours)


def test_contrastive_learning(tmp_path: Path) -> None:
    # The port adds the token type of cross-modal width to raw image states, so the widths must be equal.
    port, ours, expected, found = both("BridgeTowerForContrastiveLearning", tmp_path, {"return_loss": True}, width=128,
                                       logit_scale_init_value=2.6592)
    for name in ("text_embeds", "image_embeds", "cross_embeds", "logits", "loss"):
        assert_close(found[name], expected[name].detach().numpy())
    expected.loss.backward()
    found.loss.backward()
    assert_same_gradients(port, ours)


def test_nothing_is_scored_without_labels(tmp_path: Path) -> None:
    _, _, _, found = both("BridgeTowerForImageAndTextRetrieval", tmp_path)
    assert found.loss is None and found.logits.shape == [ROWS, 2]


@pytest.mark.parametrize("name", ["vit", "deit"])
def test_plain_image_towers(name: str) -> None:
    """ViT and DeiT as image towers: the state that their last LayerNorm gives, without DeiT's distillation token."""
    torch.manual_seed(0)
    settings = dict(hidden_size=64, num_hidden_layers=3, num_attention_heads=1, intermediate_size=128, image_size=32,
                    patch_size=8, layer_norm_eps=1e-6)
    config, model_class = {"vit": (transformers.ViTConfig, transformers.ViTModel),
                           "deit": (transformers.DeiTConfig, transformers.DeiTModel)}[name]
    port = model_class(config(**settings), add_pooling_layer=False).eval()
    with torch.no_grad():
        for parameter in port.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    tensors, report = to_paddle({key: value.numpy() for key, value in port.state_dict().items()}, "huggingface_vit")
    vision = bridgetower.BridgeTowerVisionConfig(
        kind="vit", hidden_size=64, num_hidden_layers=3, intermediate_size=128, image_size=32, patch_size=8,
        hidden_act="gelu", layer_norm_eps=1e-6)
    from bridgetower.modules.clip_model import ImageTower

    tower = ImageTower(vision)
    tower.set_state_dict({key.removeprefix("image_tower."): paddle.to_tensor(np.ascontiguousarray(value))
                          for key, value in tensors.items()})
    tower.eval()
    pixels = inputs()["pixel_values"]
    states = tower(paddle.to_tensor(pixels), num_states=2)
    if name == "vit":
        expected = port(torch.tensor(pixels), output_hidden_states=True)
        assert_close(states[1], expected.last_hidden_state.detach().numpy())
        assert_close(states[0], port.layernorm(expected.hidden_states[-2]).detach().numpy())
        assert not report.dropped
    else:
        # DeiT's own forward always sees its second token, so the blocks run on the other ones alone.
        embedded = port.embeddings(torch.tensor(pixels))
        expected = port.layernorm(port.encoder(embedded[:, [0, *range(2, embedded.shape[1])]])[0])
        assert_close(states[1], expected.detach().numpy())
        assert list(report.dropped) == ["embeddings.distillation_token"]


@pytest.mark.parametrize("labels", [3, 1])
def test_text_tower_with_its_classifier(labels: int) -> None:
    """RoBERTa's own classification model: classes, and a number."""
    torch.manual_seed(0)
    port = transformers.RobertaForSequenceClassification(transformers.RobertaConfig(
        vocab_size=WORDS, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96,
        max_position_embeddings=LENGTH + 4, num_labels=labels, type_vocab_size=1, layer_norm_eps=1e-5)).eval()
    names = {"classifier.dense": "classifier.dense", "classifier.out_proj": "classifier.out_proj"}
    state = {key: value.numpy() for key, value in port.state_dict().items()}
    tensors, _ = to_paddle({key: value for key, value in state.items() if not key.startswith("classifier")},
                           "huggingface_bert")
    for theirs, name in names.items():
        tensors |= {f"{name}.weight": state[f"{theirs}.weight"].T, f"{name}.bias": state[f"{theirs}.bias"]}
    config = bridgetower.BridgeTowerConfig(num_labels=labels, text_config=dict(
        vocab_size=WORDS, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96,
        max_position_embeddings=LENGTH + 4), num_hidden_layers=2)
    ours = bridgetower.BridgeTowerForSequenceClassification(config)
    assert bridgetower.modules.load_into(ours, tensors, may_miss=(), may_ignore=()).new == ()
    ours.eval()
    batch = inputs()
    target = np.array([0, 2, 1]) if labels > 1 else np.array([0.5, -1.0, 2.0], np.float32)
    expected = port(torch.tensor(batch["input_ids"]), torch.tensor(batch["attention_mask"]),
                    labels=torch.tensor(target))
    found = ours(paddle.to_tensor(batch["input_ids"]), paddle.to_tensor(batch["attention_mask"]),
                 labels=paddle.to_tensor(target))
    assert_close(found.logits, expected.logits.detach().numpy())
    assert_close(found.loss, expected.loss.detach().numpy())
