"""Configuration from weights, and shapes from a configuration."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridgetower.conversion import CheckpointError, UnknownSettingError, to_paddle
from bridgetower.conversion.names.derived_config import derive_config
from bridgetower.conversion.names.shapes import check_shapes
from bridgetower.conversion.names.sizes import depth
from tests.conversion.checkpoints import CASES, CLASSIFIER_TASKS, ORIGINAL, tensors


def _shapes(case: str) -> dict[str, tuple[int, ...]]:
    layout = "huggingface" if case.startswith("huggingface") else "original"
    ours, _ = to_paddle(tensors(case), layout)
    return {name.removeprefix("bridgetower."): array.shape for name, array in ours.items()}


def _config(case: str, **changes: Any) -> dict[str, Any]:
    layout = "huggingface" if case.startswith("huggingface") else "original"
    source = CASES[case]["config"] | changes
    return derive_config(_shapes(case), layout, source, CASES[case].get("towers"), CLASSIFIER_TASKS.get(case, ""))


@pytest.mark.parametrize("case", ORIGINAL)
def test_equals_the_configuration_of_the_original(case: str) -> None:
    from bridgetower.config import BridgeTowerConfig

    ours = BridgeTowerConfig(**_config(case)).to_dict()
    theirs = BridgeTowerConfig.from_original(CASES[case]["config"], CASES[case]["towers"]).to_dict()
    # The original's settings do not say what heads a checkpoint has; the weights do.
    for name in ("architectures", "objectives"):
        ours.pop(name), theirs.pop(name)
    assert ours == theirs


@pytest.mark.parametrize("case", CASES)
def test_weights_fit_their_own_configuration(case: str) -> None:
    check_shapes(_shapes(case), _config(case))


@pytest.mark.parametrize("case, key, value", [
    ("pretrain_roberta", "num_bridges", 2), ("meter_fusion", "num_bridges", 0), ("nlvr2", "token_type_vocab_size", 3),
    ("vqa", "num_labels", 11), ("pretrain_roberta", "objectives", ["mlm", "itm", "itc"]), ("vqa", "objectives", []),
    ("pretrain_roberta", "cross_layer_norm_eps", 1e-12), ("huggingface_mlm", "cross_layer_norm_eps", 1e-5),
    ("pretrain_roberta", "contrastive_hidden_size", 24), ("pretrain_bert", "contrastive_hidden_size", 24),
    ("vqa", "architectures", ["BridgeTowerForQuestionAnswering"]),
    ("nlvr2", "architectures", ["BridgeTowerForImagesAndTextClassification"]),
    ("huggingface_itc", "architectures", ["BridgeTowerForContrastiveLearning"]),
    ("huggingface_mlm", "architectures", ["BridgeTowerForMaskedLM"]),
    ("pretrain_bert", "architectures", ["BridgeTowerForPreTraining"]),
    ("irtr", "architectures", ["BridgeTowerForRetrievalRanking"]),
])  # fmt: skip
def test_what_the_weights_show(case: str, key: str, value: Any) -> None:
    assert _config(case)[key] == value


@pytest.mark.parametrize("case, kind, epsilon, padding", [
    ("pretrain_roberta", "roberta", 1e-5, 1), ("pretrain_bert", "bert", 1e-12, 0),
    ("huggingface_mlm", "roberta", 1e-5, None),
])  # fmt: skip
def test_text_towers(case: str, kind: str, epsilon: float, padding: int | None) -> None:
    text = _config(case)["text_config"]
    assert (text["kind"], text["layer_norm_eps"]) == (kind, epsilon)
    assert padding is None or text["pad_token_id"] == padding


def test_hard_negatives_are_told_by_the_settings() -> None:
    losses = CASES["pretrain_roberta"]["config"]["loss_names"] | {"itm": 0, "itc": 0, "itm_itc": 1}
    assert _config("pretrain_roberta", loss_names=losses)["objectives"] == ["mlm", "itm_itc"]


@pytest.mark.parametrize("losses, name, learned", [
    ({"irtr_itm_itc": 1}, "BridgeTowerForContrastiveRetrieval", ["itm_itc"]),
    (None, "BridgeTowerForContrastiveRetrieval", ["itm_itc"]),
    ({"itm": 1, "itc": 1}, "BridgeTowerForPreTraining", ["itm", "itc"]),
    ({"itm_itc": 1}, "BridgeTowerForPreTraining", ["itm_itc"]),
])  # fmt: skip
def test_retrieval_has_heads_of_pretraining(losses: dict[str, int] | None, name: str, learned: list[str]) -> None:
    shapes = {key: shape for key, shape in _shapes("pretrain_roberta").items() if not key.startswith("mlm_head.")}
    source = CASES["pretrain_roberta"]["config"] | {"loss_names": losses}
    config = derive_config(shapes, "original", source, CASES["pretrain_roberta"]["towers"])
    assert (config["architectures"], config["objectives"]) == ([name], learned)


def _big_shapes() -> dict[str, tuple[int, ...]]:
    """Only the tensors that sizes are read from, as large as RoBERTa-base."""
    shapes = _shapes("pretrain_roberta")
    shapes["text_tower.embeddings.word_embeddings.weight"] = (50265, 768)
    shapes["text_tower.embeddings.norm.weight"] = (768,)
    for layer in range(4, 12):
        shapes[f"text_tower.layers.{layer}.mlp.fc1.bias"] = (3072,)
    shapes["text_projection.bias"] = (768,)
    return shapes


def test_known_towers_need_no_settings() -> None:
    config = derive_config(_big_shapes(), "original", None, None)
    assert config["text_config"]["num_attention_heads"] == 12 and config["num_attention_heads"] == 12


@pytest.mark.parametrize("source, towers, missing", [
    ({}, {}, "num_attention_heads of the text tower"),
    ({"tokenizer": "roberta-tiny"}, {}, "text tower .tokenizer 'roberta-tiny'."),
    ({}, {"text": {"num_attention_heads": 4}}, "num_attention_heads of the cross-modal layers"),
])  # fmt: skip
def test_unknown_values_are_named(source: dict[str, Any], towers: dict[str, Any], missing: str) -> None:
    with pytest.raises(UnknownSettingError, match=f"{missing} is not known; give it with --towers"):
        derive_config(_shapes("pretrain_roberta"), "original", source, towers)


def test_towers_file_fills_in_all_heads() -> None:
    towers = {"text": {"num_attention_heads": 2}, "cross": {"num_attention_heads": 8}}
    config = derive_config(_shapes("pretrain_roberta"), "original", None, towers)
    assert (config["text_config"]["num_attention_heads"], config["num_attention_heads"]) == (2, 8)


@pytest.mark.parametrize("part, key", [("text", "vocab_size"), ("text", "hidden_size"), ("vision", "width"),
                                       ("vision", "patch_size"), ("vision", "layers")])  # fmt: skip
def test_towers_file_of_another_model(part: str, key: str) -> None:
    towers = {name: dict(value) for name, value in CASES["vqa"]["towers"].items()}
    towers[part][key] += 1
    with pytest.raises(CheckpointError, match=f"{part}.{key} is {towers[part][key]}, but the weights have"):
        derive_config(_shapes("vqa"), "original", CASES["vqa"]["config"], towers)


@pytest.mark.parametrize("heads", [0, 3, -4])
def test_heads_that_do_not_divide_the_width(heads: int) -> None:
    with pytest.raises(CheckpointError, match="attention heads do not divide"):
        derive_config(_shapes("vqa"), "original", CASES["vqa"]["config"], {"text": {"num_attention_heads": heads}})


@pytest.mark.parametrize("setting", [{"share_link_tower_layers": True}, {"link_tower_type": "mystery"}])
def test_link_towers_that_do_not_exist_here(setting: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="not supported"):
        _config("huggingface_mlm", **setting)


@pytest.mark.parametrize("name, shape", [
    ("text_tower.layers.1.attention.q_proj.bias", (1,)),  # broadcasts
    ("text_tower.layers.1.attention.q_proj.bias", (1, 64)),
    ("text_tower.layers.1.attention.q_proj.bias", ()),
    ("text_tower.layers.1.mlp.fc1.weight", (128, 64)),  # transposed
    ("cross_modal_text_layers.0.mlp.fc2.weight", (64, 128)),
    ("image_tower.patch_embedding.weight", (64, 8, 8, 3)),
    ("image_tower.layers.0.mlp.fc1.weight", (256, 64)),
    ("itm_head.weight", (2, 128)),
    ("temperature", (1,)),
    ("mlm_head.bias", (96,)),
    ("text_bridges.0.norm.weight", (1,)),
    ("text_tower.embeddings.position_embeddings.weight", (40, 1)),
])  # fmt: skip
def test_wrong_shapes(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(CheckpointError, match=r"has shape|cannot|axes"):
        shapes = _shapes("pretrain_roberta") | {name: shape}
        check_shapes(shapes, derive_config(shapes, "original", CASES["pretrain_roberta"]["config"],
                                           CASES["pretrain_roberta"]["towers"]))  # fmt: skip


@pytest.mark.parametrize("name", sorted(_shapes("pretrain_roberta"))[::9])
def test_missing_tensors(name: str) -> None:
    shapes = _shapes("pretrain_roberta")
    del shapes[name]
    with pytest.raises(CheckpointError, match="missing|without both towers|unexpected"):
        check_shapes(shapes, derive_config(shapes, "original", CASES["pretrain_roberta"]["config"],
                                           CASES["pretrain_roberta"]["towers"]))  # fmt: skip


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 100), st.floats(), st.text(max_size=4)),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=4), inner, max_size=2)),
    max_leaves=4,
)


@pytest.mark.parametrize("case", ["pretrain_roberta", "huggingface_mlm"])
@given(data=st.data())
def test_any_settings_are_used_or_refused(case: str, data: st.DataObject) -> None:
    """Settings with random values in places that are read: never another error than the converter's own."""
    source = json.loads(json.dumps(CASES[case]["config"]))
    towers = json.loads(json.dumps(CASES[case].get("towers", {})))
    places = [source, towers, *(group for group in (*source.values(), *towers.values()) if isinstance(group, dict))]
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from([place for place in places if place]))
        place[data.draw(st.sampled_from(sorted(place)))] = data.draw(JSON)
    layout = "huggingface" if case.startswith("huggingface") else "original"
    try:
        config = derive_config(_SHAPES[case], layout, source, towers)
    except CheckpointError:
        return
    json.dumps(config, allow_nan=False)
    check_shapes(_SHAPES[case], config)


_SHAPES = {case: _shapes(case) for case in ("pretrain_roberta", "huggingface_mlm")}


@pytest.mark.parametrize("settings, message", [
    ({"num_heads": "4"}, "setting 'num_heads' is '4', but must be a whole number"),
    ({"num_heads": True}, "setting 'num_heads' is True"), ({"drop_rate": "x"}, "must be a number"),
    ({"temperature": float("nan")}, "setting 'temperature' is nan"), ({"tokenizer": ["a"]}, "must be a text"),
    ({"loss_names": 3}, "must be a group of settings"),
])  # fmt: skip
def test_settings_of_a_wrong_type_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        _config("pretrain_roberta", **settings)


def test_too_many_tensors() -> None:
    shapes = _shapes("vqa") | {"text_tower.layers.0.extra.bias": (3,)}
    with pytest.raises(CheckpointError, match="text_tower.layers.0.extra.bias is unexpected"):
        check_shapes(shapes, _config("vqa"))


def test_a_layer_missing_in_between() -> None:
    names = ["text_tower.layers.0.a", "text_tower.layers.2.a"]
    with pytest.raises(CheckpointError, match="text_tower.layers.1 is missing, text_tower.layers.2 is there"):
        depth(names, "text_tower.layers")


def test_position_table_that_is_not_square() -> None:
    shapes = _shapes("vqa")
    shapes["image_tower.position_embedding"] = (18, *shapes["image_tower.class_embedding"])
    with pytest.raises(CheckpointError, match="18 rows, not a class token and a square grid"):
        derive_config(shapes, "original", CASES["vqa"]["config"], CASES["vqa"]["towers"])
