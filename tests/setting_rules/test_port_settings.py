"""Random models of the Hugging Face port, drawn from all of its documented settings: equal here, or refused by name.

`BRIDGETOWER_PORT_MODELS=2000` draws that many instead of fifty.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
import torch
import transformers

import bridgetower
from bridgetower import BridgeTowerConfig
from bridgetower.conversion import Options, plan_conversion, plan_reverse
from bridgetower.known import ACTIVATIONS
from bridgetower.verification.comparison import verify
from tests.goldens import assert_close

DRAWS = int(os.environ.get("BRIDGETOWER_PORT_MODELS", "50"))
#: What the port computes in another way than we do, in float32, relative to the largest entry of an output.
TOLERANCE = 2e-5
ROWS, LENGTH = 2, 6
CLASSES = ("BridgeTowerModel", "BridgeTowerForMaskedLM", "BridgeTowerForImageAndTextRetrieval",
           "BridgeTowerForContrastiveLearning")
#: Settings that may be refused, with the values that the port runs and that are refused.
REFUSED = ("position_embedding_type", "hidden_act", "is_decoder", "add_cross_attention", "num_hidden_layers",
           "share_link_tower_layers", "share_cross_modal_transformer_layers", "init_layernorm_from_vision_encoder",
           "link_tower_type", "vision_config.hidden_size", "pruned_heads")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny products are slower on several threads of torch, and far slower where the cores are busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Draw:
    """Random settings from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def of(self, *values: Any) -> Any:
        return values[int(self.random.integers(len(values)))]

    def rarely(self, value: Any, usual: Any) -> Any:
        return value if self.random.random() < 0.03 else usual

    def activation(self) -> str:
        return str(self.rarely("prelu", self.of("gelu", "relu", "quick_gelu", *ACTIVATIONS)))

    def epsilon(self) -> float:
        return float(self.rarely(1e-2, self.of(1e-12, 1e-5, 1e-4, 1e-3)))

    def text(self, width: int) -> dict[str, Any]:
        pad = int(self.of(1, 1, 0, 3))
        return dict(
            vocab_size=int(self.random.integers(8, 30)), hidden_size=width, num_hidden_layers=self.of(1, 2, 3, 4),
            num_attention_heads=self.of(1, 2, 4), initializer_factor=self.of(1, 0.5),
            intermediate_size=self.of(8, 48, 4 * width), hidden_act=self.activation(),
            hidden_dropout_prob=self.of(0.0, 0.1, 0.3), attention_probs_dropout_prob=self.of(0.0, 0.2),
            max_position_embeddings=LENGTH + pad + self.of(1, 4), type_vocab_size=self.of(1, 1, 2, 3),
            layer_norm_eps=self.epsilon(), pad_token_id=pad, bos_token_id=self.of(0, 2), eos_token_id=self.of(2, 4),
            position_embedding_type=self.rarely(self.of("relative_key", "relative_key_query", "none"), "absolute"),
            use_cache=self.of(True, False), is_decoder=self.rarely(True, False),
            tie_word_embeddings=self.of(True, False), chunk_size_feed_forward=self.of(0, 1))

    def vision(self, width: int) -> dict[str, Any]:
        fields = dict(
            hidden_size=width, num_hidden_layers=self.of(3, 4, 4, 5, 6), num_channels=self.of(3, 3, 1),
            patch_size=self.of(2, 3, 4), image_size=self.of(6, 8, 11, 14), initializer_factor=self.of(1, 2),
            layer_norm_eps=self.epsilon(), stop_gradient=self.of(True, False),
            share_layernorm=self.of(True, True, False), remove_last_layer=self.of(True, False, False))
        ignored = dict(num_attention_heads=self.of(4, 12), hidden_act="relu", intermediate_size=24)
        return fields | ({name: value for name, value in ignored.items() if self.random.random() < 0.3})

    def config(self, name: str) -> Any:
        width = int(self.of(64, 64, 96, 128, self.rarely(160, 64)))
        text_width = width if name == "BridgeTowerForContrastiveLearning" else int(self.of(8, 16, 24))
        text, vision = self.text(text_width), self.vision(width)
        layers = min(self.of(1, 2, 3), text["num_hidden_layers"]) + self.rarely(1, 0)
        return transformers.BridgeTowerConfig(
            text_config=text, vision_config=vision, hidden_size=text_width, num_hidden_layers=layers,
            share_cross_modal_transformer_layers=self.rarely(False, True), hidden_act=self.activation(),
            initializer_factor=self.of(1, 0.3), layer_norm_eps=self.epsilon(),
            share_link_tower_layers=self.rarely(True, False) or (layers == 1 and self.of(True, False)),
            link_tower_type=self.of("add", "scaled_add", "interpolate"), num_attention_heads=self.of(2, 3, 12),
            tie_word_embeddings=self.of(True, False), contrastive_hidden_size=self.of(8, 12),
            init_layernorm_from_vision_encoder=self.of(True, False) and vision["share_layernorm"],
            logit_scale_init_value=self.of(2.6592, 1.5))

    def inputs(self, config: Any) -> dict[str, np.ndarray]:
        text, vision = config.text_config, config.vision_config
        ids = self.random.integers(0, text.vocab_size, (ROWS, LENGTH))
        mask = np.ones_like(ids)
        ids[-1, -2:], mask[-1, -2:] = text.pad_token_id, 0
        shape = (ROWS, vision.num_channels, vision.image_size, vision.image_size)
        return {"input_ids": ids, "attention_mask": mask,
                "pixel_values": self.random.standard_normal(shape).astype(np.float32)}


def run(model: Any, inputs: dict[str, np.ndarray], tensor: Any) -> dict[str, np.ndarray]:
    output = model(**{name: tensor(value) for name, value in inputs.items()})
    names = ("text_features", "image_features", "pooler_output", "logits", "text_embeds", "image_embeds",
             "cross_embeds")
    return {name: output[name].detach().numpy() for name in names if name in output}


def build(name: str, config: Any, seed: int, folder: Path) -> Any:
    """A random model of the port, saved in `folder`."""
    torch.manual_seed(seed)
    model = getattr(transformers, name)(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.eval().save_pretrained(folder)
    return model


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert_close(found[name], value, TOLERANCE)


def check(seed: int, folder: Path) -> str:
    """Compare one random model; returns what became of it."""
    draw = Draw(seed)
    name = str(draw.of(*CLASSES))
    config = draw.config(name)
    inputs = draw.inputs(config)
    try:
        port = build(name, config, seed, folder / "port")
    except (AttributeError, KeyError, ValueError, ZeroDivisionError, AssertionError):
        return "not a model"
    try:
        expected = run(port, inputs, torch.tensor)
    except (IndexError, NotImplementedError, TypeError, RuntimeError):  # settings with which the port cannot run
        with pytest.raises(ValueError, match="|".join(REFUSED)):
            getattr(bridgetower, name).from_pretrained(folder / "port")
        return "not a model"
    try:
        ours = getattr(bridgetower, name).from_pretrained(folder / "port")
    except ValueError as error:
        assert any(setting in str(error) for setting in REFUSED), error
        return "refused"
    assert_same(run(ours, inputs, paddle.to_tensor), expected)
    stored = BridgeTowerConfig.from_pretrained(folder / "port").to_dict()
    assert stored == ours.config.to_dict()
    if seed % 3 == 0:
        options = Options(output=folder / "converted")
        plan = plan_conversion(folder / "port", options)
        plan.write(lambda count: None)
        for output, difference in verify(folder / "port", plan.folder, options).items():
            assert difference < 1e-4, output
        assert_same(run(getattr(bridgetower, name).from_pretrained(plan.folder), inputs, paddle.to_tensor), expected)
    elif seed % 3 == 1:
        ours.save_pretrained(folder / "ours")
        plan_reverse(folder / "ours", Options(output=folder / "back", format="huggingface")).write(lambda count: None)
        back = getattr(transformers, name).from_pretrained(folder / "back").eval()
        assert_same(run(back, inputs, torch.tensor), expected)
    return "equal"


@pytest.mark.parametrize("seed", range(DRAWS))
def test_a_random_model_of_the_port(seed: int, tmp_path: Path) -> None:
    check(seed, tmp_path)


def test_most_draws_are_models() -> None:
    """The test above compares something: most draws build a model of the port, none of whose settings is refused."""
    good = 0
    for seed in range(100):
        draw = Draw(seed)
        config = draw.config(str(draw.of(*CLASSES)))
        try:
            bridgetower.setting_rules.port_settings.from_port(config.to_dict())
        except ValueError:
            continue
        good += 1
    assert good > 60


def test_pretraining_goes_on_with_a_tied_decoder(tmp_path: Path) -> None:
    config = Draw(0).config("BridgeTowerForMaskedLM")
    config.text_config.tie_word_embeddings = True
    build("BridgeTowerForMaskedLM", config, 0, tmp_path)
    model = bridgetower.BridgeTowerForPreTraining.from_pretrained(tmp_path)
    assert model.mlm_head.decoder_weight is model.bridgetower.get_input_embeddings().weight
