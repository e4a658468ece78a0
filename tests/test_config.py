"""Configuration: sizes of the known models, checks, and the flat configuration of the original."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from bridgetower import BridgeTowerConfig, BridgeTowerModel, BridgeTowerTextConfig, BridgeTowerVisionConfig
from bridgetower.config import BRIDGE_TYPES
from bridgetower.known import ACTIVATIONS, IMAGE_TOWERS, TEXT_TOWERS, KnownTower
from bridgetower.modules import activation_table
from tests.goldens import Golden

#: Millions of parameters: text tower, image tower, cross-modal layers with bridges, their sum.
SIZES = {
    "base": (("roberta-base", "CLIP-ViT-B/16", 768, 12, 288), (124, 86, 113, 323)),
    "large": (("roberta-large", "CLIP-ViT-L/14", 1024, 16, 294), (355, 304, 200, 859)),
}
CROSS_MODAL = {2: 37.8, 3: 56.8, 4: 75.6, 5: 94.6, 6: 113.4, 8: 151.2, 10: 189.0, 12: 226.8}
#: Parameters of the released towers, without poolers and projections to a joint space.
TOWERS = {"roberta-base": 124_055_040, "roberta-large": 354_310_144, "bert-base-uncased": 108_891_648,
          "bert-large-uncased": 334_092_288, "CLIP-ViT-B/16": 85_799_424, "CLIP-ViT-B/32": 87_456_000,
          "CLIP-ViT-L/14": 303_179_776, "vit_base_patch16_224": 85_798_656, "vit_base_patch32_224": 87_455_232,
          "vit_deit_base_patch16_224": 85_798_656}


def count(config: BridgeTowerConfig) -> dict[str, int]:
    """Parameters by the first part of their names, without memory for them."""
    with paddle.LazyGuard():
        model = BridgeTowerModel(config)
    sizes: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        part = name.split(".")[0]
        sizes[part] = sizes.get(part, 0) + int(np.prod(parameter.shape))
    return sizes


def cross_modal(sizes: dict[str, int]) -> float:
    parts = ("cross_modal_text_layers", "cross_modal_image_layers", "text_bridges", "image_bridges")
    return sum(sizes.get(part, 0) for part in parts) / 1e6


def known_model(text: str, image: str, width: int, heads: int, image_size: int, **changes: Any) -> BridgeTowerConfig:
    return BridgeTowerConfig(
        text_config=TEXT_TOWERS[text].settings, vision_config=dict(IMAGE_TOWERS[image].settings, image_size=image_size),
        hidden_size=width, num_attention_heads=heads, **changes)


@pytest.mark.parametrize("size", SIZES)
def test_sizes_of_the_paper(size: str) -> None:
    """The paper counts whole towers in round numbers, some with a pooler or a projection that BridgeTower drops."""
    names, expected = SIZES[size]
    sizes = count(known_model(*names))
    found = (sizes["text_tower"] / 1e6, sizes["image_tower"] / 1e6, cross_modal(sizes))
    np.testing.assert_allclose((*found, sum(found)), expected, rtol=0.008)


@pytest.mark.parametrize("layers", CROSS_MODAL)
def test_cross_modal_sizes(layers: int) -> None:
    found = cross_modal(count(known_model("roberta-base", "CLIP-ViT-B/16", 768, 12, 288, num_hidden_layers=layers)))
    assert found == pytest.approx(CROSS_MODAL[layers], abs=0.11)


@pytest.mark.parametrize("name", TOWERS)
def test_known_towers(name: str) -> None:
    side = "text" if name in TEXT_TOWERS else "image"
    config = BridgeTowerConfig(
        text_config=TEXT_TOWERS.get(name, KnownTower()).settings, num_hidden_layers=1,
        vision_config=dict(IMAGE_TOWERS.get(name, KnownTower("", {"patch_size": 16})).settings, image_size=224))
    assert count(config)[f"{side}_tower"] == TOWERS[name]


def test_every_known_tower_is_counted_or_differs_only_in_image_size() -> None:
    counted = {str(dict(IMAGE_TOWERS[name].settings)) for name in TOWERS if name in IMAGE_TOWERS}
    assert set(TEXT_TOWERS) <= set(TOWERS)
    assert {str(dict(tower.settings)) for tower in IMAGE_TOWERS.values()} == counted


@pytest.mark.parametrize(("settings", "message"), [
    ({"bridge_typ": "add"}, "no setting 'bridge_typ'; did you mean 'bridge_type'"),
    ({"bridge_type": "sum"}, f"bridge_type='sum' is unknown; use one of {', '.join(BRIDGE_TYPES)}"),
    ({"hidden_size": 100}, "hidden_size=100 is not a multiple of num_attention_heads=12; try 96"),
    ({"num_bridges": 7}, "num_bridges=7 is not between 0 and num_hidden_layers=6"),
    ({"num_hidden_layers": 14}, "text_config.num_hidden_layers=12 gives 13 tower states with the embeddings, less than "
     "num_bridges=14"),
    ({"objectives": ["mlm", "itx"]}, r"objectives has \['itx'\]"),
    ({"gated_fusion": True}, "gated_fusion and num_bridges=6 exclude each other"),
    ({"gated_fusion": True, "num_bridges": 0, "text_config": {"num_hidden_layers": 1}}, "two blocks or more"),
    ({"text_config": {"hiden_size": 4}}, "text_config has no setting 'hiden_size'; did you mean 'hidden_size'"),
    ({"text_config": {"kind": "gpt"}}, "text_config.kind='gpt' is unknown; use 'roberta' or 'bert'"),
    ({"text_config": {"hidden_size": 50}}, "text_config.hidden_size=50 is not a multiple of num_attention_heads=12"),
    ({"vision_config": {"image_size": 300}}, "image_size=300 is not a multiple of patch_size=16; try 288"),
    ({"vision_config": {"hidden_size": 100}}, "vision_config.hidden_size=100 is not a multiple of the width of a head"),
    ({"vision_config": {"kind": "swin"}}, "vision_config.kind='swin' is unknown; use 'clip' or 'vit'"),
])
def test_settings_that_no_model_has(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BridgeTowerConfig.from_settings(settings)


@pytest.mark.parametrize(("build", "message"), [
    (lambda: BridgeTowerConfig(hiden_size=4), "model has no setting 'hiden_size'; did you mean 'hidden_size'"),
    (lambda: BridgeTowerConfig(num_lables=4), "model has no setting 'num_lables'; did you mean 'num_labels'"),
    (lambda: BridgeTowerTextConfig(vocab=4), "text_config has no setting 'vocab'"),
    (lambda: BridgeTowerVisionConfig(image_sze=4), "vision_config has no setting 'image_sze'; did you mean 'image_s"),
    (lambda: BridgeTowerConfig(text_config=4), "text_config=4 is int, expected a group of settings"),
    (lambda: BridgeTowerConfig(hidden_act="swish_glu"), "hidden_act='swish_glu' is unknown; use one of gelu, "),
    (lambda: BridgeTowerTextConfig(hidden_act="prelu"), "text_config.hidden_act='prelu' is unknown"),
    (lambda: BridgeTowerVisionConfig(hidden_act="gleu"), "vision_config.hidden_act='gleu' is unknown"),
    (lambda: BridgeTowerConfig(cross_layer_norm_eps=1.5), "cross_layer_norm_eps=1.5 is not between 0 and 1"),
    (lambda: BridgeTowerConfig(hidden_size="768"), "hidden_size='768' is str, expected int"),
    (lambda: BridgeTowerConfig().replace(num_lables=3), "no setting 'num_lables'"),
    (lambda: BridgeTowerConfig().replace(text_config={"hiden_size": 3}), "no setting 'hiden_size'"),
    (lambda: BridgeTowerConfig().replace(text_config={"hidden_size": 50}), "text_config.hidden_size=50 is not a mult"),
    (lambda: BridgeTowerConfig().replace(vision_config={"kind": "swin"}), "vision_config.kind='swin' is unknown"),
    (lambda: BridgeTowerVisionConfig(image_size=8), "image_size=8 is less than patch_size=16"),
])
def test_every_way_to_build_refuses(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_settings_of_paddlenlp_stay() -> None:
    config = BridgeTowerConfig(output_attentions=True, tensor_parallel_degree=1, num_labels=5, top_k=3)
    assert config.output_attentions and config.replace(hidden_act="relu").output_attentions
    assert BridgeTowerConfig(**config.to_dict()).to_dict() == config.to_dict()


@pytest.mark.parametrize(("settings", "expected"), [
    (dict(link_tower_type="scaled_add"), dict(bridge_type="scaled_add")),
    (dict(link_tower_type="scaled_add", num_bridges=2), dict(bridge_type="scaled_add", num_bridges=2)),
    (dict(link_tower_type="add", text_config=dict(num_attention_heads=6, hidden_act="relu", layer_norm_eps=1e-4)),
     dict(num_attention_heads=6, cross_hidden_act="relu", cross_layer_norm_eps=1e-4, mlm_layer_norm_eps=1e-5)),
    (dict(text_config=dict(hidden_act="relu")), dict(cross_hidden_act="relu", hidden_act="gelu")),
    (dict(hidden_act="relu", cross_layer_norm_eps=1e-6), dict(cross_hidden_act="gelu", mlm_layer_norm_eps=1e-6)),
    (dict(logit_scale_init_value=1.0), dict(initial_temperature=np.exp(-1.0))),
])
def test_settings_of_the_port_are_understood(settings: dict[str, Any], expected: dict[str, Any]) -> None:
    config = BridgeTowerConfig(**settings)
    assert {name: getattr(config, name) for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize(("vision", "expected"), [
    (dict(remove_last_layer=True), dict(num_hidden_layers=11)),
    (dict(share_layernorm=False, hidden_size=160), dict(num_attention_heads=2, intermediate_size=640)),
    (dict(stop_gradient=True, num_attention_heads=4), dict(num_attention_heads=12)),
])
def test_image_towers_of_the_port_are_understood(vision: dict[str, Any], expected: dict[str, Any]) -> None:
    config = BridgeTowerVisionConfig(**vision)
    assert {name: getattr(config, name) for name in expected} == expected


@pytest.mark.parametrize(("settings", "message"), [
    (dict(link_tower_type="cross"), "link_tower_type='cross' is not supported"),
    (dict(link_tower_type="add", bridge_type="scaled_add"), "two names of one setting"),
    (dict(share_link_tower_layers=True), "share_link_tower_layers=true is not supported"),
    (dict(share_cross_modal_transformer_layers=False), "share_cross_modal_transformer_layers=False is not supported"),
    (dict(text_config=dict(position_embedding_type="relative_key")), "position_embedding_type='relative_key'"),
    (dict(text_config=dict(is_decoder=True)), "text_config.is_decoder=True is not supported"),
    (dict(text_config=dict(add_cross_attention=True)), "text_config.add_cross_attention=True is not supported"),
    (dict(text_config=dict(pruned_heads={0: [1]})), "text_config.pruned_heads is not supported"),
    (dict(vision_config=dict(share_layernorm=False), init_layernorm_from_vision_encoder=True),
     "init_layernorm_from_vision_encoder=true with"),
    (dict(link_tower_type="add", vision_config=dict(num_hidden_layers=3)), "vision_config.num_hidden_layers gives 3"),
    (dict(link_tower_type="add", vision_config=dict(hidden_size=32)), "vision_config.hidden_size=32 is not supported"),
])
def test_settings_of_the_port_that_nothing_obeys(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BridgeTowerConfig(**settings)


def test_the_port_reads_as_many_image_blocks_as_the_text_tower_has_layers() -> None:
    config = BridgeTowerConfig(link_tower_type="add", vision_config=dict(num_hidden_layers=14))
    assert config.vision_config.num_hidden_layers == 12


def test_stored_settings(tmp_path: Path) -> None:
    BridgeTowerConfig(num_labels=7, num_bridges=3).save_pretrained(tmp_path)
    config, unused = BridgeTowerConfig.from_pretrained(tmp_path, num_hidden_layers=4, other=1,
                                                       return_unused_kwargs=True)
    assert (config.num_labels, config.num_bridges, config.num_hidden_layers, unused) == (7, 3, 4, {"other": 1})
    assert BridgeTowerConfig.from_pretrained(tmp_path / "config.json").num_labels == 7
    with pytest.raises(ValueError, match="no setting 'num_lables'"):
        BridgeTowerConfig.from_pretrained(tmp_path, num_lables=4)
    with pytest.raises(ValueError, match="num_bridges=3 is not between 0 and"):
        BridgeTowerConfig.from_pretrained(tmp_path, num_hidden_layers=2)
    with pytest.raises(FileNotFoundError, match="neither a folder nor a name"):
        BridgeTowerConfig.from_pretrained(tmp_path / "nowhere" / "at" / "all")


def test_activations_are_those_of_the_models() -> None:
    assert tuple(sorted(activation_table.ACTIVATIONS)) == ACTIVATIONS


def test_changes_leave_the_rest_alone() -> None:
    config = BridgeTowerConfig(num_labels=9, text_config={"num_hidden_layers": 8})
    changed = config.replace(num_hidden_layers=4, num_bridges=2, vision_config={"image_size": 384})
    assert (changed.num_hidden_layers, changed.num_bridges, changed.num_labels) == (4, 2, 9)
    assert (changed.vision_config.image_size, changed.text_config.num_hidden_layers) == (384, 8)
    assert (config.num_hidden_layers, config.vision_config.image_size) == (6, 288)


def test_towers_given_as_objects() -> None:
    text, vision = BridgeTowerTextConfig(hidden_size=24, num_attention_heads=2), BridgeTowerVisionConfig(image_size=32)
    config = BridgeTowerConfig(text, vision)
    assert config.text_config is text and config.vision_config.num_tokens == 5


@pytest.mark.parametrize(("case", "expected"), [
    ("pretrain_roberta", {"objectives": ["mlm", "itm", "itc"], "num_bridges": 2, "gated_fusion": False}),
    ("pretrain_itm_itc_hard", {"objectives": ["mlm", "itm_itc"]}),
    ("irtr_itm_itc", {"objectives": ["itm_itc"]}),
    ("irtr", {"objectives": ["itm"], "num_hidden_layers": 3}),
    ("meter", {"num_bridges": 0, "gated_fusion": False}),
    ("meter_fusion", {"num_bridges": 0, "gated_fusion": True}),
    ("snli", {"num_labels": 3, "token_type_vocab_size": 2}),
    ("nlvr2", {"num_labels": 2, "token_type_vocab_size": 3}),
    ("vqa", {"num_labels": 11, "objectives": []}),
])
def test_flat_configuration_of_the_original(case: str, expected: dict[str, Any]) -> None:
    config = Golden(case).config()
    assert {name: getattr(config, name) for name in expected} == expected


def test_flat_configuration_with_known_towers() -> None:
    flat = Golden("meter").json("config") | {"tokenizer": "bert-base-uncased", "vit": "CLIP-ViT-B/32",
                                             "image_size": 224, "vit_remove_last": True}
    config = BridgeTowerConfig.from_original(flat)
    assert (config.text_config.kind, config.text_config.vocab_size) == ("bert", 30522)
    assert (config.vision_config.patch_size, config.vision_config.num_hidden_layers) == (32, 11)


@pytest.mark.parametrize(("key", "value", "message"), [
    ("tokenizer", "roberta-bse", "text tower 'roberta-bse' .*did you mean 'roberta-base'"),
    ("vit", "CLIP-ViT-B/17", "image tower 'CLIP-ViT-B/17' .*did you mean 'CLIP-ViT-B/1"),
])
def test_unknown_towers_of_the_original(key: str, value: str, message: str) -> None:
    flat = Golden("meter").json("config") | {"tokenizer": "roberta-base", "vit": "CLIP-ViT-B/16", key: value}
    with pytest.raises(ValueError, match=message):
        BridgeTowerConfig.from_original(flat)


@pytest.mark.parametrize(("tower", "section"), [(BridgeTowerTextConfig, "text_config"),
                                                (BridgeTowerVisionConfig, "vision_config")])
def test_a_tower_is_read_from_the_settings_of_a_model(tower: Any, section: str, tmp_path: Path) -> None:
    config = BridgeTowerConfig(**{section: {"hidden_size": 192, "num_hidden_layers": 7, "num_attention_heads": 3}})
    config.save_pretrained(str(tmp_path / "model"))
    getattr(config, section).save_pretrained(str(tmp_path / "alone"))
    for folder in ("model", "alone"):
        found = tower.from_pretrained(tmp_path / folder)
        assert found.to_dict() == getattr(config, section).to_dict()
    assert tower.from_pretrained(tmp_path / "model", num_hidden_layers=5).num_hidden_layers == 5
    with pytest.raises(ValueError, match=f"{section} has no setting 'hiden_size'; did you mean 'hidden_size'"):
        tower.from_pretrained(tmp_path / "model", hiden_size=5)


def test_a_tower_of_the_port_means_what_it_means_there(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({
        "transformers_version": "4.55.4", "vision_config": {"hidden_size": 128, "num_attention_heads": 8}}))
    assert BridgeTowerVisionConfig.from_pretrained(tmp_path).num_attention_heads == 2  # the width over 64, as there
