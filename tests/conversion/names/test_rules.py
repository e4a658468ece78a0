"""The table of rules: names, arrangement, both directions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridgetower.conversion import CheckpointError, detect_layout, from_paddle, to_paddle
from bridgetower.conversion.names.rules import rules
from tests.conversion.checkpoints import CASES, CLASSIFIER_TASKS, tensors

BRIDGES = ("text_bridges.0.norm.weight", "cross_modal_text_link_tower.0.LayerNorm.weight")
# (our name without prefix, the original's, transposed): one of each kind, by hand.
PAIRS = [
    ("text_tower.embeddings.word_embeddings.weight", "text_transformer.embeddings.word_embeddings.weight", False),
    ("text_tower.embeddings.norm.bias", "text_transformer.embeddings.LayerNorm.bias", False),
    ("text_tower.layers.1.attention.k_proj.weight", "text_transformer.encoder.layer.1.attention.self.key.weight", True),
    ("text_tower.layers.3.attention_norm.weight", "text_transformer.encoder.layer.3.attention.output.LayerNorm.weight",
     False),
    ("text_tower.layers.2.mlp.fc1.weight", "text_transformer.encoder.layer.2.intermediate.dense.weight", True),
    ("text_tower.layers.2.mlp.fc2.bias", "text_transformer.encoder.layer.2.output.dense.bias", False),
    ("image_tower.class_embedding", "vit_model.visual.class_embedding", False),
    ("image_tower.position_embedding", "vit_model.visual.positional_embedding", False),
    ("image_tower.patch_embedding.weight", "vit_model.visual.conv1.weight", False),
    ("image_tower.pre_norm.weight", "vit_model.visual.ln_pre.weight", False),
    ("image_tower.layers.1.mlp.fc1.weight", "vit_model.visual.transformer.resblocks.1.mlp.c_fc.weight", True),
    ("image_tower.layers.1.mlp_norm.weight", "vit_model.visual.transformer.resblocks.1.ln_2.weight", False),
    ("text_projection.weight", "cross_modal_text_transform.weight", True),
    ("image_input_norm.weight", "cross_modal_image_layernorm.weight", False),
    (*BRIDGES, False),
    ("cross_modal_text_layers.1.cross_attention.v_proj.weight",
     "cross_modal_text_layers.1.crossattention.self.value.weight", True),
    ("cross_modal_image_layers.0.self_attention_norm.bias",
     "cross_modal_image_layers.0.attention.output.LayerNorm.bias", False),
    ("image_pooler.dense.weight", "cross_modal_image_pooler.dense.weight", True),
    ("token_type_embeddings.weight", "token_type_embeddings.weight", False),
]  # fmt: skip
HEAD_PAIRS = [
    ("pretrain_roberta", "mlm_head.decoder_weight", "mlm_score.decoder.weight", False),
    ("pretrain_roberta", "mlm_head.dense.weight", "mlm_score.transform.dense.weight", True),
    ("pretrain_roberta", "mlm_head.norm.weight", "mlm_score.transform.LayerNorm.weight", False),
    ("pretrain_roberta", "itm_head.weight", "itm_score.fc.weight", True),
    ("pretrain_roberta", "itc_image_head.weight", "itc_image_head.fc.weight", True),
    ("pretrain_roberta", "temperature", "temperature", False),
    ("irtr", "rank_head.weight", "rank_output.weight", True),
    ("vqa", "classifier.fc1.weight", "vqa_classifier.0.weight", True),
    ("vqa", "classifier.norm.weight", "vqa_classifier.1.weight", False),
    ("nlvr2", "classifier.fc2.weight", "nlvr2_classifier.3.weight", True),
]


def _layout(case: str) -> str:
    return "huggingface" if case.startswith("huggingface") else "original"


@pytest.mark.parametrize("ours, theirs, transposed", PAIRS)
def test_base_names_and_arrangement(ours: str, theirs: str, transposed: bool) -> None:
    source = tensors("pretrain_roberta")
    result, _ = to_paddle(source, "original")
    expected = source[theirs].T if transposed else source[theirs]
    np.testing.assert_array_equal(result[f"bridgetower.{ours}"], expected)


@pytest.mark.parametrize("case, ours, theirs, transposed", HEAD_PAIRS)
def test_head_names_and_arrangement(case: str, ours: str, theirs: str, transposed: bool) -> None:
    source = tensors(case)
    result, _ = to_paddle(source, "original")
    np.testing.assert_array_equal(result[ours], source[theirs].T if transposed else source[theirs])


def test_fused_attention_is_cut_into_query_key_value() -> None:
    source = tensors("pretrain_roberta")
    result, _ = to_paddle(source, "original")
    fused = source["vit_model.visual.transformer.resblocks.2.attn.in_proj_weight"]
    bias = source["vit_model.visual.transformer.resblocks.2.attn.in_proj_bias"]
    for index, part in enumerate(("q_proj", "k_proj", "v_proj")):
        name = f"bridgetower.image_tower.layers.2.attention.{part}"
        np.testing.assert_array_equal(result[f"{name}.weight"], fused[64 * index : 64 * (index + 1)].T)
        np.testing.assert_array_equal(result[f"{name}.bias"], bias[64 * index : 64 * (index + 1)])


@pytest.mark.parametrize("case", CASES)
def test_there_and_back_gives_the_same_bytes(case: str) -> None:
    source = tensors(case)
    ours, report = to_paddle(source, _layout(case))
    prefix = "bridgetower." if case.startswith("huggingface") else ""
    back, _ = from_paddle(ours, _layout(case), prefix, task=CLASSIFIER_TASKS.get(case, ""))
    assert set(back) | set(report.dropped) == set(source)
    for name, array in back.items():
        assert np.ascontiguousarray(array).tobytes() == source[name].tobytes(), name
        assert array.shape == source[name].shape


@pytest.mark.parametrize("case", CASES)
def test_mapping_copies_nothing(case: str) -> None:
    source = tensors(case)
    ours, _ = to_paddle(source, _layout(case))
    originals = list(source.values())
    for name, array in ours.items():
        assert any(np.may_share_memory(array, original) for original in originals), name


def test_what_is_dropped_has_a_reason() -> None:
    _, report = to_paddle(tensors("vqa"), "original")
    assert set(report.dropped) == {
        "temperature", "text_transformer.embeddings.position_ids", "text_transformer.pooler.dense.weight",
        "text_transformer.pooler.dense.bias", "vit_model.positional_embedding", "vit_model.ln_final.weight",
        "vit_model.ln_final.bias",
    }  # fmt: skip
    assert all(report.dropped.values())


def test_temperature_stays_with_the_contrastive_heads() -> None:
    assert "temperature" in to_paddle(tensors("pretrain_roberta"), "original")[0]


def test_prefix_only_beside_heads() -> None:
    source = tensors("huggingface_mlm")
    base = {name.removeprefix("bridgetower."): array for name, array in source.items() if "mlm_score" not in name}
    assert not any(name.startswith("bridgetower.") for name in to_paddle(base, "huggingface")[0])
    assert "bridgetower.text_projection.weight" in to_paddle(source, "huggingface")[0]


def test_our_names_with_and_without_prefix_are_the_same_model() -> None:
    ours, _ = to_paddle(tensors("pretrain_roberta"), "original")
    bare = {name.removeprefix("bridgetower."): array for name, array in ours.items()}
    assert set(to_paddle(bare, "paddle")[0]) == set(ours)
    assert set(from_paddle(bare, "original")[0]) == set(from_paddle(ours, "original")[0])


@pytest.mark.parametrize("name", ["vit_model.visual.ln_separate.0.weight", "epoch", "cross_modal_text_layers.x.bias",
                                  "text_transformer.encoder.layer.01.output.dense.bias"])  # fmt: skip
def test_unknown_name_is_an_error_that_names_it(name: str) -> None:
    source = tensors("vqa") | {name: np.zeros(3, np.float32)}
    with pytest.raises(CheckpointError, match=f"no rule for {name}"):
        to_paddle(source, "original")


@pytest.mark.parametrize("others, place", [
    (["snli_classifier.0.bias", "snli_classifier.3.weight"], "classifier.fc1.bias"),
    (["snli_classifier.0.bias"], "classifier.fc2.bias"),  # the only layer of its head
])  # fmt: skip
def test_two_heads_for_one_place_are_an_error(others: list[str], place: str) -> None:
    source = tensors("vqa") | {name: np.zeros((3, 3)[: 1 + name.endswith("weight")], np.float32) for name in others}
    with pytest.raises(CheckpointError, match=place):
        to_paddle(source, "original")


@pytest.mark.parametrize("name, shape", [
    ("cross_modal_text_transform.weight", (32,)),
    ("vit_model.visual.transformer.resblocks.0.attn.in_proj_weight", (97, 32)),
    ("vit_model.visual.transformer.resblocks.0.attn.in_proj_bias", (3, 32)),
])  # fmt: skip
def test_shape_that_a_rule_cannot_take(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        to_paddle(tensors("vqa") | {name: np.zeros(shape, np.float32)}, "original")


def test_part_of_a_fused_tensor_missing_on_the_way_back() -> None:
    ours, _ = to_paddle(tensors("pretrain_roberta"), "original")
    del ours["bridgetower.image_tower.layers.0.attention.k_proj.weight"]
    with pytest.raises(CheckpointError, match="k_proj.weight is missing"):
        from_paddle(ours, "original")


def test_classifier_needs_its_task_on_the_way_back() -> None:
    ours, _ = to_paddle(tensors("vqa"), "original")
    with pytest.raises(CheckpointError, match="which task"):
        from_paddle(ours, "original")


@pytest.mark.parametrize("theirs, link", [("scaled_factor", "scaled_add"), ("beta", "interpolate")])
def test_link_tower_scales(theirs: str, link: str) -> None:
    source = {f"cross_modal_text_link_tower.0.{theirs}": np.float32(0.25).reshape(())}
    ours, _ = to_paddle(source, "huggingface")
    assert ours["text_bridges.0.scale"].shape == (1,)
    back, _ = from_paddle(ours, "huggingface", link_tower_type=link)
    assert list(back) == list(source) and back[next(iter(back))].shape == ()


@given(width=st.integers(1, 9), seed=st.integers(0, 99))
def test_fused_attention_round_trip(width: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    block = "visual.transformer.resblocks.0.attn.in_proj_"
    source = {f"{block}weight": draw.random((3 * width, width)), f"{block}bias": draw.random(3 * width)}
    back, _ = from_paddle(to_paddle(source, "openai_clip")[0], "openai_clip")
    assert {name: array.tobytes() for name, array in back.items()} == {
        name: array.tobytes() for name, array in source.items()
    }


@pytest.mark.parametrize("layout, names", [
    ("original", ["epoch", "text_transformer.embeddings.LayerNorm.bias"]),
    ("huggingface", ["bridgetower.vision_model.visual.ln_pre.weight"]),
    ("paddle", ["bridgetower.image_tower.pre_norm.weight"]),
    ("paddle", ["text_tower.embeddings.norm.bias"]),
    ("openai_clip", ["visual.conv1.weight", "logit_scale"]),
    ("huggingface_clip", ["text_model.embeddings.token_embedding.weight",
                          "vision_model.embeddings.patch_embedding.weight"]),
    ("huggingface_bert", ["roberta.embeddings.word_embeddings.weight"]),
    ("huggingface_bert", ["embeddings.word_embeddings.weight"]),
    ("huggingface_vit", ["vit.embeddings.patch_embeddings.projection.weight"]),
])  # fmt: skip
def test_layout_detection(layout: str, names: list[str]) -> None:
    assert detect_layout(names) == layout


def test_foreign_model_is_refused() -> None:
    with pytest.raises(CheckpointError, match="transformer.h.0"):
        detect_layout(["transformer.h.0.attn.weight"])


def test_tensorflow_names_of_layer_norms() -> None:
    ours, _ = to_paddle({"bert.embeddings.LayerNorm.gamma": np.ones(3), "cls.predictions.bias": np.ones(2)},
                        "huggingface_bert")  # fmt: skip
    assert list(ours) == ["text_tower.embeddings.norm.weight"]


def test_distilled_deit_loses_its_token_and_that_tokens_position() -> None:
    table = np.arange(12.0).reshape(1, 6, 2)
    source = {"deit.embeddings.distillation_token": np.ones((1, 1, 2)), "deit.embeddings.position_embeddings": table,
              "deit.embeddings.cls_token": np.ones((1, 1, 2))}  # fmt: skip
    ours, _ = to_paddle(source, "huggingface_vit")
    assert ours["image_tower.class_embedding"].shape == (2,)
    np.testing.assert_array_equal(ours["image_tower.position_embedding"], table[0, [0, 2, 3, 4, 5]])


@pytest.mark.parametrize("layout", ["original", "huggingface", "openai_clip", "huggingface_clip", "huggingface_bert",
                                    "huggingface_vit"])  # fmt: skip
def test_no_source_name_stands_twice_in_the_table(layout: str) -> None:
    sources = [(rule.source, rule.without) for rule in rules(layout)]
    assert len(sources) == len(set(sources))


def test_unknown_layout() -> None:
    with pytest.raises(ValueError, match="'tensorflow' has no conversion rules"):
        rules("tensorflow")
