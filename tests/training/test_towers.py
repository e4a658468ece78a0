"""Training from towers: real weight files of small random towers, what is taken from them and what is refused."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
import torch
import transformers

import train
from bridgetower import BridgeTowerForImageClassification, BridgeTowerForPreTraining, BridgeTowerModel
from bridgetower.modules import BridgeTowerPretrainedModel
from bridgetower.training.towers import load_towers
from tests.miniature import MODEL, write_experiment, write_miniature
from tests.models import small_batch, small_config

SIZE, PATCH, WIDTH = 48, 16, 64  # the towers' own image size: another one than the model's
TEXT = dict(hidden_size=24, num_hidden_layers=3, num_attention_heads=2, intermediate_size=48,
            max_position_embeddings=small_config().text_config.max_position_embeddings, type_vocab_size=1,
            vocab_size=small_config().text_config.vocab_size, layer_norm_eps=1e-5)
VISION = dict(hidden_size=WIDTH, num_hidden_layers=4, num_attention_heads=1, intermediate_size=4 * WIDTH,
              image_size=SIZE, patch_size=PATCH)


def clip(folder: Path, **changes: Any) -> torch.nn.Module:
    model = transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**(VISION | changes)))
    model.save_pretrained(folder)
    return model


def roberta(folder: Path, **changes: Any) -> torch.nn.Module:
    model = transformers.RobertaModel(transformers.RobertaConfig(**(TEXT | changes)))
    model.save_pretrained(folder)
    return model.eval()


def values(model: BridgeTowerPretrainedModel, part: str = "") -> dict[str, np.ndarray]:
    return {name: parameter.numpy() for name, parameter in model.named_parameters() if part in name}


def test_towers_compute_what_their_sources_do(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clip_model, text_model = clip(tmp_path / "clip", image_size=32), roberta(tmp_path / "roberta")
    model = BridgeTowerModel(small_config())
    before = values(model)
    load_towers(model, tmp_path / "clip", tmp_path / "roberta")
    assert not caplog.records
    model.eval()
    batch = small_batch()
    ids, mask = (torch.from_numpy(batch[name].numpy()) for name in ("input_ids", "attention_mask"))
    with torch.no_grad():
        text = text_model(ids, mask).last_hidden_state.numpy()
        image = clip_model(torch.from_numpy(batch["pixel_values"].numpy())).last_hidden_state
        image = clip_model.vision_model.post_layernorm(image).numpy()
    real = mask.numpy().astype(bool)
    np.testing.assert_allclose(model.encode_text(batch["input_ids"], batch["attention_mask"])[-1].numpy()[real],
                               text[real], atol=1e-5)
    np.testing.assert_allclose(model.encode_image(batch["pixel_values"])[-1], image, atol=1e-5)
    for name, value in values(model).items():
        if "_tower." not in name:
            np.testing.assert_array_equal(value, before[name], err_msg=name)


def vit(folder: Path) -> None:
    transformers.ViTModel(transformers.ViTConfig(**VISION)).save_pretrained(folder)


def deit(folder: Path) -> None:
    transformers.DeiTModel(transformers.DeiTConfig(**VISION)).save_pretrained(folder)


def bert(folder: Path) -> None:
    transformers.BertModel(transformers.BertConfig(**(TEXT | dict(type_vocab_size=2)))).save_pretrained(folder)


def openai_clip(folder: Path) -> None:
    """A plain state dict in half precision by OpenAI's names, with a number that only OpenAI's archives have."""
    folder.mkdir()
    draw = np.random.default_rng(0)
    shapes = {"class_embedding": (WIDTH,), "positional_embedding": (1 + (SIZE // PATCH) ** 2, WIDTH),
              "proj": (WIDTH, 32), "conv1.weight": (WIDTH, 3, PATCH, PATCH)}
    for norm in ("ln_pre", "ln_post"):
        shapes |= {f"{norm}.weight": (WIDTH,), f"{norm}.bias": (WIDTH,)}
    for block in (f"transformer.resblocks.{number}" for number in range(4)):
        for norm in ("ln_1", "ln_2"):
            shapes |= {f"{block}.{norm}.weight": (WIDTH,), f"{block}.{norm}.bias": (WIDTH,)}
        for layer, (rows, columns) in {"attn.out_proj.": (WIDTH, WIDTH), "attn.in_proj_": (3 * WIDTH, WIDTH),
                                       "mlp.c_fc.": (4 * WIDTH, WIDTH), "mlp.c_proj.": (WIDTH, 4 * WIDTH)}.items():
            shapes |= {f"{block}.{layer}weight": (rows, columns), f"{block}.{layer}bias": (rows,)}
    torch.save({f"visual.{name}": torch.from_numpy(draw.standard_normal(shape)).half()
                for name, shape in shapes.items()} | {"input_resolution": torch.tensor(SIZE)}, folder / "ViT-B-16.pt")


@pytest.mark.parametrize(("write", "file", "part", "changes"), [
    (openai_clip, "ViT-B-16.pt", "image_tower", {}),
    (vit, "", "image_tower", {"vision_config": dict(kind="vit", hidden_act="gelu")}),
    (deit, "", "image_tower", {"vision_config": dict(kind="vit", hidden_act="gelu")}),
    (bert, "", "text_tower", {"text_config": dict(kind="bert", type_vocab_size=2, pad_token_id=0)}),
])
def test_other_sources(tmp_path: Path, caplog: pytest.LogCaptureFixture, write: Any, file: str, part: str,
                       changes: dict[str, Any]) -> None:
    """Every parameter of the tower changes, the position table to the model's image size; the other stays random."""
    write(tmp_path / "tower")
    model = BridgeTowerForPreTraining(small_config().replace(**changes))
    before = values(model)
    load_towers(model, **{part: tmp_path / "tower" / file})
    for name, value in values(model).items():
        is_new = part in name and not name.endswith((".bias", "norm.weight"))
        assert (np.abs(value - before[name]).max() > 0) >= is_new, name
        assert part in name or (value == before[name]).all(), name
    other = {"image_tower": "text tower", "text_tower": "image tower"}[part]
    message, = (record.message for record in caplog.records if record.levelno == logging.WARNING)
    assert f"the {other} of the model starts from random" in message and "--checkpoint_path" in message


def test_blocks_above_the_models_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = clip(tmp_path / "clip", num_hidden_layers=5)
    model = BridgeTowerForImageClassification(small_config())
    load_towers(model, tmp_path / "clip")
    expected = source.vision_model.encoder.layers[3].mlp.fc1.bias.detach().numpy()
    np.testing.assert_array_equal(model.image_tower.layers[3].mlp.fc1.bias, expected)
    assert "only its lower 4 blocks" in caplog.text and "random" not in caplog.text


@pytest.mark.parametrize(("write", "changes", "part", "message"), [
    (clip, dict(num_hidden_layers=3), "image_tower", "missing in the file: .*image_tower.layers.3"),
    (clip, dict(hidden_size=128, num_attention_heads=2), "image_tower", r"image_tower.* is \(128,"),
    (clip, dict(hidden_act="gelu"), "image_tower", "--set model.vision_config.hidden_act=gelu"),
    (clip, dict(num_attention_heads=2), "image_tower", "has num_attention_heads=2, the model 1"),
    (clip, {}, "text_tower", "--text_tower .* holds no text tower, but image_tower"),
    (roberta, {}, "image_tower", "--image_tower .* holds no image tower, but text_tower"),
    (roberta, dict(vocab_size=41), "text_tower", r"word_embeddings.weight is \(41, 24\).*vocabulary"),
    (roberta, dict(pad_token_id=0), "text_tower", "has pad_token_id=0, the model 1"),
])
def test_towers_that_do_not_fit(tmp_path: Path, write: Any, changes: dict[str, Any], part: str, message: str) -> None:
    write(tmp_path / "tower", **changes)
    model = BridgeTowerModel(small_config())
    before = values(model)
    with pytest.raises(ValueError, match=message):
        load_towers(model, **{part: tmp_path / "tower"})
    assert all((value == before[name]).all() for name, value in values(model).items())


def test_names_of_experiment_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They mean weights on the hub, unless a folder of that name is at hand."""
    roberta(tmp_path / "roberta-base")
    monkeypatch.chdir(tmp_path)
    model = BridgeTowerModel(small_config())
    load_towers(model, text_tower="roberta-base")
    asked = []
    monkeypatch.setattr("bridgetower.training.towers.load_weights",
                        lambda source: (asked.append(source), ({}, None))[1])
    for name in ("CLIP-ViT-B/16", "vit_deit_base_patch16_224", "my/model"):
        with pytest.raises(ValueError, match="holds no image tower"):
            load_towers(model, image_tower=name)
    assert asked == ["openai/clip-vit-base-patch16", "facebook/deit-base-patch16-224", "my/model"]


def test_a_model_without_the_tower(tmp_path: Path) -> None:
    roberta(tmp_path / "roberta")
    with pytest.raises(ValueError, match="has no text tower; leave the flag out"):
        load_towers(BridgeTowerForImageClassification(small_config()), text_tower=tmp_path / "roberta")


def test_training_run(tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    """The flags of train.py: towers are loaded, beside a checkpoint they are refused, without any it warns."""
    write_miniature(tmp_path)
    clip(tmp_path / "clip", num_hidden_layers=2, image_size=32)
    config = write_experiment(tmp_path, "towers", {"name": "vqa"}, MODEL, max_steps=1, learning_rate=0,
                              lr_scheduler_type="constant")
    common = ["--config_name", str(config), "--data_root", str(tmp_path / "data"), "--do_train", "--device", "cpu"]
    output = tmp_path / "out"
    assert train.main([*common, "--output_dir", str(output), "--image_tower", str(tmp_path / "clip")]) == 0
    assert "the text tower of the model starts" in caplog.text
    stored = transformers.CLIPVisionModel.from_pretrained(tmp_path / "clip").vision_model
    trained = paddle.load(str(output / "model_state.pdparams"))
    np.testing.assert_array_equal(trained["bridgetower.image_tower.layers.0.mlp.fc1.weight"],
                                  stored.encoder.layers[0].mlp.fc1.weight.detach().numpy().T)
    caplog.clear()
    assert train.main([*common, "--output_dir", str(tmp_path / "random")]) == 0
    assert "image tower and the text tower of the model start from random" in caplog.text
    assert train.main([*common, "--output_dir", str(tmp_path / "both"), "--image_tower", str(tmp_path / "clip"),
                       "--checkpoint_path", str(output)]) == 2
    assert "leave out --image_tower" in capsys.readouterr().err
