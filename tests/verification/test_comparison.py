"""Outputs of converted models against transformers, and that the comparison notices a mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bridgetower.conversion import CheckpointError, Options, plan_conversion
from bridgetower.conversion.writers import write_safetensors
from bridgetower.verification.comparison import verify
from tests.conversion.checkpoints import lightning, write_port_folder

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


def test_distilled_deit_says_why_not(tmp_path: Path) -> None:
    import transformers

    config = transformers.DeiTConfig(hidden_size=64, intermediate_size=128, num_hidden_layers=1, num_attention_heads=2,
                                     image_size=32, patch_size=8)  # fmt: skip
    transformers.DeiTModel(config).save_pretrained(tmp_path / "tower")
    with pytest.raises(CheckpointError, match="distillation token"):
        _verified(tmp_path / "tower", tmp_path)
