"""Outputs of converted models against transformers, and that the comparison notices a mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from bridgetower.conversion import CheckpointError, Options, load_weights, plan_conversion, weights
from bridgetower.conversion.names import derive_config
from bridgetower.conversion.writers import write_safetensors
from bridgetower.verification.comparison import verify
from tests.conversion.checkpoints import lightning, one_layer_classifier, write_port_folder

# Two float32 implementations of a few layers.
TOLERANCE = 1e-5


def _verified(source: Path, tmp_path: Path, **options: Any) -> dict[str, float]:
    chosen = Options(output=tmp_path / "ours.safetensors", **options)
    plan = plan_conversion(source, chosen)
    plan.write(lambda count: None)
    return verify(source, plan.folder, chosen)


BASE = {"text_features", "image_features", "pooler_output"}


@pytest.mark.parametrize("case, heads", [
    ("pretrain_roberta", {"mlm_logits", "itm_logits", "text_embeds", "image_embeds"}),
    ("pretrain_bert", {"mlm_logits", "itm_logits"}), ("vqa", {"logits"}), ("nlvr2", {"logits"}),
    ("irtr", {"rank_score", "itm_logits"}),
])  # fmt: skip
def test_original(case: str, heads: set[str], tmp_path: Path) -> None:
    torch.save(lightning(case), tmp_path / "x.ckpt")
    differences = _verified(tmp_path / "x.ckpt", tmp_path)
    assert set(differences) == BASE | heads
    assert max(differences.values()) < TOLERANCE


@pytest.mark.parametrize("case, heads", [
    ("huggingface_mlm", {"mlm_logits"}), ("huggingface_itc", {"text_embeds", "image_embeds", "cross_embeds"}),
])  # fmt: skip
def test_port(case: str, heads: set[str], tmp_path: Path) -> None:
    differences = _verified(write_port_folder(tmp_path / "model", case), tmp_path)
    assert set(differences) == BASE | heads
    assert max(differences.values()) < TOLERANCE


@pytest.mark.parametrize("case", ["vqa", "nlvr2"])
def test_classifier_of_one_layer(case: str, tmp_path: Path) -> None:
    torch.save(one_layer_classifier(case), tmp_path / "x.ckpt")
    differences = _verified(tmp_path / "x.ckpt", tmp_path)
    assert set(differences) == BASE | {"logits"} and max(differences.values()) < TOLERANCE


SMALL_TEXT = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 96,
              "vocab_size": 50, "max_position_embeddings": 20}  # fmt: skip
SMALL_VISION = {"hidden_size": 64, "num_hidden_layers": 3, "patch_size": 4, "image_size": 16}


def _port(folder: Path, kind: str = "Model", **changes: Any) -> Path:
    """A small random model of transformers; `text_config` and `vision_config` change single settings."""
    import transformers

    towers = {"text_config": SMALL_TEXT | changes.pop("text_config", {}),
              "vision_config": SMALL_VISION | changes.pop("vision_config", {})}  # fmt: skip
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "contrastive_hidden_size": 8,
             "logit_scale_init_value": 2.6592}  # fmt: skip
    config = transformers.BridgeTowerConfig(**(sizes | towers | changes))
    torch.manual_seed(0)
    model = getattr(transformers, f"BridgeTower{kind}")(config)
    for parameter in model.parameters():  # the port's own first values are so small that mistakes hardly show
        parameter.data += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    return folder


PORT_SETTINGS: list[dict[str, Any]] = [
    {}, {"text_config": {"type_vocab_size": 2}}, {"vision_config": {"num_hidden_layers": 5}},
    {"text_config": {"hidden_act": "relu"}}, {"text_config": {"hidden_act": "quick_gelu"}}, {"hidden_act": "relu"},
    {"vision_config": {"num_attention_heads": 4}}, {"vision_config": {"hidden_act": "gelu"}},
    {"vision_config": {"share_layernorm": False}},
    {"vision_config": {"num_hidden_layers": 4, "remove_last_layer": True}},
    {"link_tower_type": "scaled_add"}, {"link_tower_type": "interpolate"}, {"num_attention_heads": 8},
    {"layer_norm_eps": 1e-4}, {"text_config": {"layer_norm_eps": 1e-4}}, {"vision_config": {"layer_norm_eps": 1e-4}},
    {"text_config": {"pad_token_id": 5}}, {"vision_config": {"num_channels": 1}},
]  # fmt: skip


@pytest.mark.parametrize("changes", PORT_SETTINGS, ids=str)
def test_settings_of_the_port_mean_what_they_mean_there(changes: dict[str, Any], tmp_path: Path) -> None:
    folder = _port(tmp_path / "model", "ForContrastiveLearning", **json.loads(json.dumps(changes)))
    assert max(_verified(folder, tmp_path).values()) < 5 * TOLERANCE  # the weights are larger than elsewhere here


@pytest.mark.parametrize("changes, message", [
    ({"text_config": {"position_embedding_type": "relative_key"}}, "position_embedding_type='relative_key'"),
    ({"vision_config": {"num_hidden_layers": 2}}, "num_hidden_layers gives 2 blocks, less than text_config"),
])  # fmt: skip
def test_settings_of_the_port_that_cannot_be_computed(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    folder = _port(tmp_path / "model", "ForMaskedLM", **json.loads(json.dumps(changes)))
    with pytest.raises(CheckpointError, match=message):
        plan_conversion(folder, Options())


@pytest.mark.parametrize("changes", PORT_SETTINGS, ids=str)
def test_the_configuration_of_the_port_is_read_without_its_weights(changes: dict[str, Any], tmp_path: Path) -> None:
    from bridgetower import BridgeTowerConfig

    folder = _port(tmp_path / "model", **json.loads(json.dumps(changes)))
    read = BridgeTowerConfig.from_pretrained(folder)
    derived = BridgeTowerConfig(**load_weights(folder)[1])  # type: ignore[arg-type]
    assert read.architectures == derived.architectures == ["BridgeTowerModel"]
    fields = read.replace(objectives=[], contrastive_hidden_size=8).to_dict()
    assert fields == derived.replace(objectives=[], contrastive_hidden_size=8).to_dict()


def test_our_own_configuration_is_read_as_it_is(original_ckpt: Path, tmp_path: Path) -> None:
    from bridgetower import BridgeTowerConfig

    ours = plan_conversion(original_ckpt, Options(output=tmp_path / "ours"))
    ours.write(lambda count: None)
    config = BridgeTowerConfig.from_pretrained(tmp_path / "ours")
    assert config.to_dict() == BridgeTowerConfig(**load_weights(tmp_path / "ours")[1]).to_dict()  # type: ignore[arg-type]
    config.save_pretrained(tmp_path / "saved")
    assert BridgeTowerConfig.from_pretrained(tmp_path / "saved").to_dict() == config.to_dict()


@pytest.mark.parametrize("gated", [True, False])
def test_meter(gated: bool, tmp_path: Path) -> None:
    content = lightning("meter_fusion")
    if not gated:
        content["state_dict"] = {name: t for name, t in content["state_dict"].items() if "gate" not in name}
    torch.save(content, tmp_path / "x.ckpt")
    assert max(_verified(tmp_path / "x.ckpt", tmp_path).values()) < TOLERANCE


def test_larger_image(tmp_path: Path) -> None:
    torch.save(lightning("vqa"), tmp_path / "x.ckpt")
    assert max(_verified(tmp_path / "x.ckpt", tmp_path, image_size=48).values()) < TOLERANCE


@pytest.mark.parametrize("name", ["bridgetower.text_projection.weight", "bridgetower.image_tower.layers.1.mlp.fc1.bias",
                                  "itm_head.bias", "mlm_head.norm.weight", "itc_text_head.weight"])  # fmt: skip
def test_a_wrong_weight_is_noticed(name: str, original_ckpt: Path, tmp_path: Path) -> None:
    options = Options(output=tmp_path / "ours.safetensors")
    plan = plan_conversion(original_ckpt, options)
    plan.write(lambda count: None)
    tensors = dict(plan.tensors)
    # Not a constant: LayerNorm would take it away again.
    noise = np.random.default_rng(0).standard_normal(tensors[name].shape)
    tensors[name] = (tensors[name] + 0.3 * noise).astype(np.float32)
    write_safetensors(tmp_path / "ours.safetensors", tensors, "float32", lambda count: None)
    assert max(verify(original_ckpt, plan.folder, options).values()) > 1e-3


PLANTED = [
    ("pretrain_roberta", ("num_attention_heads",), 8), ("pretrain_roberta", ("text_config", "num_attention_heads"), 2),
    ("pretrain_roberta", ("text_config", "hidden_act"), "relu"), ("pretrain_roberta", ("text_config", "kind"), "bert"),
    ("pretrain_roberta", ("text_config", "layer_norm_eps"), 1e-3),
    ("pretrain_roberta", ("text_config", "pad_token_id"), 3),
    ("pretrain_roberta", ("cross_layer_norm_eps",), 1e-3), ("pretrain_roberta", ("layer_norm_eps",), 1e-3),
    ("pretrain_roberta", ("vision_config", "num_attention_heads"), 4),
    ("pretrain_roberta", ("vision_config", "hidden_act"), "gelu"),
    ("pretrain_roberta", ("vision_config", "layer_norm_eps"), 1e-3),
    ("vqa", ("layer_norm_eps",), 1e-3), ("huggingface_mlm", ("num_attention_heads",), 8),
    ("huggingface_mlm", ("text_config", "num_attention_heads"), 2),
    ("huggingface_mlm", ("vision_config", "hidden_act"), "gelu"), ("huggingface_mlm", ("bridge_type",), "multiply"),
]  # fmt: skip


@pytest.mark.parametrize("case, key, value", PLANTED)
def test_a_mistake_in_the_derived_settings_is_noticed(
    case: str, key: tuple[str, ...], value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The converter and whoever else asks for the settings get a wrong one."""

    def derive_wrongly(*arguments: Any) -> dict[str, Any]:
        config = derive_config(*arguments)
        group = config[key[0]] if len(key) > 1 else config
        assert group[key[-1]] != value
        group[key[-1]] = value
        return config

    if case.startswith("huggingface"):
        source = write_port_folder(tmp_path / "model", case)
    else:
        source = tmp_path / "x.ckpt"
        torch.save(lightning(case), source)
    monkeypatch.setattr(weights, "derive_config", derive_wrongly)
    assert max(_verified(source, tmp_path).values()) > 10 * TOLERANCE


@pytest.mark.parametrize("positions", [3, 4, 8, 14])
@pytest.mark.parametrize("case", ["pretrain_roberta", "pretrain_bert", "huggingface_mlm"])
def test_position_tables_of_any_length(case: str, positions: int, tmp_path: Path) -> None:
    name = "embeddings.position_embeddings.weight"
    if case.startswith("huggingface"):
        source = write_port_folder(tmp_path / "model", case)
        arrays = load_file(source / "model.safetensors")
        arrays[f"bridgetower.text_model.{name}"] = arrays[f"bridgetower.text_model.{name}"][:positions]
        save_file(arrays, source / "model.safetensors")
        settings = json.loads((source / "config.json").read_text())
        settings["text_config"]["max_position_embeddings"] = positions
        (source / "config.json").write_text(json.dumps(settings))
    else:
        source, content = tmp_path / "x.ckpt", lightning(case)
        state = content["state_dict"]
        state[f"text_transformer.{name}"] = state[f"text_transformer.{name}"][:positions]
        content["hyper_parameters"]["towers"]["text"]["max_position_embeddings"] = positions
        torch.save(content, source)
    assert max(_verified(source, tmp_path).values()) < TOLERANCE


def test_towers_of_different_depths(tmp_path: Path) -> None:
    """The top blocks of each tower feed the bridges."""
    content = lightning("pretrain_roberta")
    content["state_dict"] = {name: t for name, t in content["state_dict"].items() if "resblocks.3." not in name}
    content["hyper_parameters"]["towers"]["vision"]["layers"] = 3
    torch.save(content, tmp_path / "x.ckpt")
    assert max(_verified(tmp_path / "x.ckpt", tmp_path).values()) < TOLERANCE


def _towers() -> dict[str, Any]:
    import transformers as t

    text = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
            "vocab_size": 50, "max_position_embeddings": 40}  # fmt: skip
    image = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
             "image_size": 32, "patch_size": 8}  # fmt: skip
    roberta = t.RobertaConfig(**text, type_vocab_size=1, layer_norm_eps=1e-5)
    clip = t.CLIPConfig(text_config={**text, "num_hidden_layers": 1}, vision_config=image)
    return {
        "roberta": lambda: t.RobertaForMaskedLM(roberta),
        "roberta bare": lambda: t.RobertaModel(roberta),
        "bert": lambda: t.BertForPreTraining(t.BertConfig(**text)),
        "clip": lambda: t.CLIPModel(clip),
        "clip vision": lambda: t.CLIPVisionModel(clip.vision_config),
        "vit": lambda: t.ViTForImageClassification(t.ViTConfig(**image)),
        "vit bare": lambda: t.ViTModel(t.ViTConfig(**image)),
    }


@pytest.mark.parametrize("name", list(_towers()))
def test_single_towers_of_transformers(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    _towers()[name]().save_pretrained(tmp_path / "tower", safe_serialization=name != "bert")
    differences = _verified(tmp_path / "tower", tmp_path)
    assert len(differences) == 1 and max(differences.values()) < TOLERANCE


@pytest.mark.parametrize("image_size", [None, 48])
def test_openai_clip(image_size: int | None, tmp_path: Path) -> None:
    state = {name.removeprefix("vit_model."): tensor.half() for name, tensor in lightning("vqa")["state_dict"].items()
             if name.startswith("vit_model.visual.")}  # fmt: skip
    others = {"positional_embedding": torch.ones(7, 8), "logit_scale": torch.ones(()),
              "context_length": torch.tensor(7),
              "transformer.resblocks.0.ln_1.bias": torch.ones(8), "visual.proj": torch.ones(64, 8)}  # fmt: skip
    torch.save(state | others, tmp_path / "ViT.pt")
    differences = _verified(tmp_path / "ViT.pt", tmp_path, image_size=image_size)
    assert set(differences) == {"image_features"} and max(differences.values()) < TOLERANCE


def _open_clip(folder: Path, **config: Any) -> Path:
    """A folder as open_clip publishes it, with a text encoder that is a module of its own."""
    original = lightning("pretrain_roberta")["state_dict"]
    state = {name.removeprefix("vit_model."): tensor for name, tensor in original.items() if ".visual." in name}
    others = {"visual.proj": torch.ones(64, 8), "text.transformer.resblocks.0.ln_1.bias": torch.ones(8),
              "text.token_embedding.weight": torch.ones(5, 8), "logit_scale": torch.ones(()),
              "logit_bias": torch.ones(())}  # fmt: skip
    folder.mkdir()
    torch.save(state | others, folder / "open_clip_pytorch_model.bin")
    if config:
        vision = {"image_size": 32, "layers": 4, "width": 64, "patch_size": 8} | config.pop("vision_cfg", {})
        settings = {"model_cfg": {"embed_dim": 8, "vision_cfg": vision, "text_cfg": {}} | config, "preprocess_cfg": {}}
        (folder / "open_clip_config.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize("config, activation", [
    ({"quick_gelu": True}, "quick_gelu"), ({"quick_gelu": False}, "gelu"), ({"embed_dim": 8}, "gelu"),
    ({"vision_cfg": {"head_width": 16}}, "gelu"), ({"vision_cfg": {"norm_kwargs": {"eps": 1e-4}}}, "gelu"),
])  # fmt: skip
def test_open_clip(config: dict[str, Any], activation: str, tmp_path: Path) -> None:
    folder = _open_clip(tmp_path / "tower", **config)
    assert load_weights(folder)[1]["vision_config"]["hidden_act"] == activation  # type: ignore[index]
    differences = _verified(folder, tmp_path)
    assert set(differences) == {"image_features"} and max(differences.values()) < TOLERANCE
    wrong = "gelu" if activation == "quick_gelu" else "quick_gelu"
    (folder / "towers.json").write_text(json.dumps({"vision": {"activation": wrong}}))
    ours = plan_conversion(folder, Options(output=tmp_path / "wrong.safetensors"))
    ours.write(lambda count: None)
    (folder / "towers.json").unlink()
    assert max(verify(folder, ours.folder, Options()).values()) > 10 * TOLERANCE


def test_open_clip_without_its_settings(tmp_path: Path) -> None:
    folder = _open_clip(tmp_path / "tower")
    for read in (load_weights, lambda path: plan_conversion(path, Options())):
        with pytest.raises(CheckpointError, match="hidden_act of the image tower is not known.*open_clip_config.json"):
            read(folder)  # type: ignore[operator]
    (folder / "towers.json").write_text(json.dumps({"vision": {"activation": "gelu"}}))
    assert max(_verified(folder, tmp_path).values()) < TOLERANCE


@pytest.mark.parametrize("vision", [{"act_kwargs": {"approximate": "tanh"}}, {"attentional_pool": True}])
def test_open_clip_towers_that_compute_something_else(vision: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=f"vision_cfg.{next(iter(vision))}"):
        load_weights(_open_clip(tmp_path / "tower", vision_cfg=vision))


def test_distilled_deit_says_why_not(tmp_path: Path) -> None:
    import transformers

    config = transformers.DeiTConfig(hidden_size=64, intermediate_size=128, num_hidden_layers=1, num_attention_heads=2,
                                     image_size=32, patch_size=8)  # fmt: skip
    transformers.DeiTModel(config).save_pretrained(tmp_path / "tower")
    with pytest.raises(CheckpointError, match="distillation token"):
        _verified(tmp_path / "tower", tmp_path)
