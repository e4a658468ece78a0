"""Back to torch: the same bytes, and files that torch and transformers load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from bridgetower.conversion import CheckpointError, Options, plan_conversion, plan_reverse, read_checkpoint
from tests.conversion.checkpoints import CASES, ORIGINAL, lightning, one_layer_classifier, tensors, write_port_folder
from tests.goldens import FOLDER


def _ignore(count: int) -> None:
    """Progress of small files."""


def _forward(source: Path, output: Path, **options: Any) -> Path:
    plan = plan_conversion(source, Options(output=output, **options))
    plan.write(_ignore)
    return plan.folder


def _back(source: Path, head: str | None = None, **options: Any) -> Path:
    plan = plan_reverse(source, Options(dtype=options.pop("dtype", "source"), **options), head)
    plan.write(_ignore)
    return plan.folder


@pytest.mark.parametrize("case", ORIGINAL)
@pytest.mark.parametrize("kind", ["pdparams", "safetensors"])
def test_original_there_and_back(case: str, kind: str, tmp_path: Path) -> None:
    torch.save(lightning(case), tmp_path / "x.ckpt")
    ours = _forward(tmp_path / "x.ckpt", tmp_path / f"ours.{kind}")
    back = torch.load(_back(ours), weights_only=True)
    source = tensors(case)
    lost = {"text_transformer.pooler.dense.weight", "text_transformer.pooler.dense.bias",
            "vit_model.positional_embedding", "vit_model.ln_final.weight", "vit_model.ln_final.bias"}  # fmt: skip
    assert set(source) - lost == set(back["state_dict"])
    for name, tensor in back["state_dict"].items():
        if name != "temperature" or "itc_text_head.fc.weight" in source:
            assert tensor.numpy().tobytes() == source[name].tobytes(), name


@pytest.mark.parametrize("case", ["vqa", "nlvr2"])
def test_classifier_of_one_layer_there_and_back(case: str, tmp_path: Path) -> None:
    content = one_layer_classifier(case)
    torch.save(content, tmp_path / "x.ckpt")
    ours = _forward(tmp_path / "x.ckpt", tmp_path / "ours")
    assert _typed(ours)["head_layers"] == 1
    back = torch.load(_back(ours, output=tmp_path / "back.ckpt"), weights_only=True)
    assert back["hyper_parameters"]["config"]["task_head_layers"] == 1
    names = [name for name in content["state_dict"] if "_classifier" in name]
    assert names == [name for name in back["state_dict"] if "_classifier" in name] and len(names) == 2
    assert all(torch.equal(back["state_dict"][name], content["state_dict"][name]) for name in names)


def test_classifier_of_one_layer_is_a_task_model(tmp_path: Path) -> None:
    import paddle

    import bridgetower

    content = one_layer_classifier("vqa")
    torch.save(content, tmp_path / "x.ckpt")
    ours = _forward(tmp_path / "x.ckpt", tmp_path / "ours")
    model = bridgetower.BridgeTowerForQuestionAnswering.from_pretrained(ours)
    pooled = paddle.ones([1, 64])
    state = content["state_dict"]
    expected = state["vqa_classifier.0.weight"].sum(1) + state["vqa_classifier.0.bias"]
    np.testing.assert_allclose(model.classifier(pooled)[0].numpy(), expected.numpy(), atol=1e-5)


def _typed(folder: Path) -> dict[str, Any]:
    from bridgetower.config import BridgeTowerConfig

    settings: dict[str, Any] = BridgeTowerConfig(**json.loads((folder / "config.json").read_text())).to_dict()
    return settings


@pytest.mark.parametrize("case", ORIGINAL)
def test_settings_there_and_back(case: str, tmp_path: Path) -> None:
    torch.save(lightning(case), tmp_path / "x.ckpt")
    first = _forward(tmp_path / "x.ckpt", tmp_path / "first")
    second = _forward(_back(first, output=tmp_path / "back.ckpt"), tmp_path / "second")
    assert _typed(first) == _typed(second)
    assert (first / "model_state.pdparams").read_bytes() == (second / "model_state.pdparams").read_bytes()


@pytest.mark.parametrize(("case", "name"), [("irtr", "BridgeTowerForRetrievalRanking"),
                                            ("irtr_itm_itc", "BridgeTowerForContrastiveRetrieval"),
                                            ("pretrain_itm_itc_hard", "BridgeTowerForPreTraining")])
def test_the_class_there_and_back(case: str, name: str, tmp_path: Path) -> None:
    """The recorded checkpoints of the original, with their settings beside them."""
    first = _forward(FOLDER / case / "weights.ckpt", tmp_path / "first")
    second = _forward(_back(first, output=tmp_path / "back.ckpt"), tmp_path / "second")
    for folder in (first, second):
        assert json.loads((folder / "config.json").read_text())["architectures"] == [name]
    assert _typed(first) == _typed(second)


def test_half_precision_there_and_back(tmp_path: Path) -> None:
    content = lightning("vqa")
    state = {name: tensor.half() if tensor.is_floating_point() else tensor
             for name, tensor in content["state_dict"].items()}  # fmt: skip
    torch.save(content | {"state_dict": state}, tmp_path / "x.ckpt")
    for dtypes in (("source", "source"), ("float32", "float16")):
        ours = _forward(tmp_path / "x.ckpt", tmp_path / "ours.pdparams", dtype=dtypes[0])
        back = torch.load(_back(ours, dtype=dtypes[1]), weights_only=True)["state_dict"]
        for name in set(back) - {"temperature"}:
            assert torch.equal(back[name], state[name]) and back[name].dtype == state[name].dtype


def test_names_of_outputs(original_ckpt: Path, port_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "base.ckpt").write_bytes(original_ckpt.read_bytes())
    plan_conversion(tmp_path / "base.ckpt", Options()).write(_ignore)
    assert _back(tmp_path / "base.ckpt.pdparams") == tmp_path / "base.torch.ckpt"
    assert _back(_forward(port_folder, tmp_path / "ours")) == tmp_path / "ours-torch"


def _without_head(case: str) -> dict[str, np.ndarray]:
    arrays = {name: array for name, array in tensors(case).items() if name.startswith("bridgetower.")}
    return {name.removeprefix("bridgetower."): array for name, array in arrays.items()}


def _itm() -> dict[str, np.ndarray]:
    arrays = {name: array for name, array in tensors("huggingface_mlm").items() if name.startswith("bridgetower.")}
    return arrays | {"itm_score.fc.weight": np.ones((2, 128), np.float32), "itm_score.fc.bias": np.ones(2, np.float32)}


def _tied() -> dict[str, np.ndarray]:
    return {name: array for name, array in tensors("huggingface_mlm").items() if "decoder" not in name}


def _say_tied(path: Path) -> None:
    config = json.loads(path.read_text())
    del config["text_config"]["tie_word_embeddings"]  # the port's default
    path.write_text(json.dumps(config))


PORT = [
    ("BridgeTowerModel", "huggingface_mlm", _without_head("huggingface_mlm")),
    ("BridgeTowerForMaskedLM", "huggingface_mlm", tensors("huggingface_mlm")),
    ("BridgeTowerForMaskedLM", "huggingface_mlm", _tied()),
    ("BridgeTowerForImageAndTextRetrieval", "huggingface_mlm", _itm()),
    ("BridgeTowerForContrastiveLearning", "huggingface_itc", tensors("huggingface_itc")),
]


@pytest.mark.parametrize("name, case, arrays", PORT, ids=["base", "mlm", "tied", "itm", "itc"])
def test_hugging_face_there_and_back(
    name: str, case: str, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    import transformers

    folder = write_port_folder(tmp_path / "model", case)
    save_file(arrays, folder / "model.safetensors")
    if "mlm_score.bias" in arrays and "mlm_score.decoder.weight" not in arrays:
        _say_tied(folder / "config.json")
    (folder / "vocab.json").write_text("{}")
    back = _back(_forward(folder, tmp_path / "ours"))
    result = load_file(back / "model.safetensors")
    assert set(result) == set(arrays)
    for key, array in arrays.items():
        assert "text_model.pooler" in key or result[key].tobytes() == array.tobytes(), key
    model_class = getattr(transformers, name)
    model, info = model_class.from_pretrained(back, output_loading_info=True)
    assert not any(info.values()), info
    assert json.loads((back / "config.json").read_text())["architectures"] == [name]
    # The same model as the source, as transformers sees it.
    expected = model_class.from_pretrained(folder)
    for key in ("hidden_size", "num_hidden_layers", "layer_norm_eps", "link_tower_type"):
        assert getattr(model.config, key) == getattr(expected.config, key)
    if name == "BridgeTowerForMaskedLM":
        assert torch.equal(model.mlm_score.decoder.weight, expected.mlm_score.decoder.weight)
    assert (back / "vocab.json").exists()


@pytest.mark.parametrize("head, left_out", [(None, "itm_head"), ("mlm", "itm_head"), ("itm", "mlm_head"),
                                            ("none", "mlm_head")])  # fmt: skip
def test_one_head_of_several(head: str | None, left_out: str, original_ckpt: Path, tmp_path: Path) -> None:
    ours = _forward(original_ckpt, tmp_path / "ours")
    plan = plan_reverse(ours, Options(dtype="source"), head)
    assert any(name.startswith(left_out) for name in plan.report.dropped)
    assert any("1e-12 becomes 1e-05" in note for note in plan.report.notes)


def test_head_that_is_not_there(original_ckpt: Path, tmp_path: Path) -> None:
    ours = _forward(original_ckpt, tmp_path / "ours")
    with pytest.raises(CheckpointError, match="--head itc: the weights have no such head, only mlm, itm"):
        plan_reverse(ours, Options(), "itc")


def test_contrastive_heads_of_the_port_do_not_exist_in_the_original(tmp_path: Path) -> None:
    ours = _forward(write_port_folder(tmp_path / "model", "huggingface_itc"), tmp_path / "ours")
    plan = plan_reverse(ours, Options(output=tmp_path / "x.ckpt", dtype="source"))
    assert {"logit_scale", "itc_text_head.weight"} <= set(plan.report.dropped)
    plan.write(_ignore)
    assert read_checkpoint(tmp_path / "x.ckpt").layout == "original"


@pytest.mark.parametrize("case, setting", [("meter_fusion", "num_bridges=0"), ("nlvr2", "token_type_vocab_size=3"),
                                           ("pretrain_bert", "text_config.kind=bert")])  # fmt: skip
def test_models_that_the_port_cannot_hold(case: str, setting: str, tmp_path: Path) -> None:
    torch.save(lightning(case), tmp_path / "x.ckpt")
    ours = _forward(tmp_path / "x.ckpt", tmp_path / "ours")
    with pytest.raises(CheckpointError, match=f"{setting}, but the Hugging Face port has .* --format ckpt"):
        plan_reverse(ours, Options())


def test_one_channel_there_and_back(tmp_path: Path) -> None:
    kernels = "bridgetower.vision_model.visual.embeddings.patch_embedding.weight"
    source = write_port_folder(tmp_path / "model")
    arrays = tensors("huggingface_mlm")
    arrays[kernels] = np.ascontiguousarray(arrays[kernels][:, :1])
    save_file(arrays, source / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((source / "config.json").read_text())
    config["vision_config"]["num_channels"] = 1
    (source / "config.json").write_text(json.dumps(config))
    ours = _forward(source, tmp_path / "ours")
    assert _typed(ours)["vision_config"]["num_channels"] == 1
    plan = plan_reverse(ours, Options(output=tmp_path / "back", dtype="source"))
    assert "pixel_values (B, 1, S, S)" in " ".join(plan.report.notes)
    plan.write(_ignore)
    assert load_file(tmp_path / "back/model.safetensors")[kernels].tobytes() == arrays[kernels].tobytes()
    assert json.loads((tmp_path / "back/config.json").read_text())["vision_config"]["num_channels"] == 1
    with pytest.raises(CheckpointError, match="num_channels=1, but the original reads three channels; use --format"):
        plan_reverse(ours, Options(output=tmp_path / "x.ckpt"))


def test_only_our_weights_go_back(original_ckpt: Path) -> None:
    with pytest.raises(CheckpointError, match="--reverse takes weights of this project; these have the original"):
        plan_reverse(original_ckpt, Options())


def test_weights_without_their_settings(original_ckpt: Path, tmp_path: Path) -> None:
    ours = _forward(original_ckpt, tmp_path / "ours")
    (ours / "config.json").unlink()
    with pytest.raises(CheckpointError, match="no config.json"):
        plan_reverse(ours, Options())


@pytest.mark.parametrize("change, message", [
    ({"num_hidden_layers": 7, "num_bridges": 7}, "config.json: text_config.num_hidden_layers=4 gives 5 tower"),
    ({"num_hidden_layers": 3, "num_bridges": 3}, "missing"), ({"bridge_type": "mystery"}, "config.json: bridge_type"),
    ({"bridge_type": "gate"}, "bridge_type=gate, but the Hugging Face port has add there"),
    ({"text_config": {"hidden_size": 65}}, "config.json: text_config.hidden_size=65"),
])  # fmt: skip
def test_settings_that_do_not_fit(change: dict[str, Any], message: str, original_ckpt: Path, tmp_path: Path) -> None:
    ours = _forward(original_ckpt, tmp_path / "ours")
    config = json.loads((ours / "config.json").read_text()) | change
    (ours / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=message):
        plan_reverse(ours, Options())


def test_the_source_is_never_overwritten(original_ckpt: Path, tmp_path: Path) -> None:
    ours = _forward(original_ckpt, tmp_path / "ours")
    with pytest.raises(CheckpointError, match="holds the source"):
        plan_reverse(ours, Options(output=ours, format="huggingface"))


def test_single_tower_has_no_way_back(tmp_path: Path) -> None:
    names = {name: array for name, array in tensors("pretrain_roberta").items() if name.startswith("vit_model.visual.")}
    arrays = {name.removeprefix("vit_model."): array for name, array in names.items()}
    save_file(arrays | {"input_resolution": np.array(32)}, tmp_path / "clip.safetensors")
    ours = _forward(tmp_path / "clip.safetensors", tmp_path / "ours")
    with pytest.raises(CheckpointError, match="single tower has no way back"):
        plan_reverse(ours, Options())


def test_saved_by_the_model_itself(original_ckpt: Path, tmp_path: Path) -> None:
    import bridgetower

    ours = _forward(original_ckpt, tmp_path / "ours")
    bridgetower.BridgeTowerForPreTraining.from_pretrained(ours).save_pretrained(tmp_path / "saved")
    back = torch.load(_back(tmp_path / "saved", output=tmp_path / "back.ckpt"), weights_only=True)["state_dict"]
    source = tensors("pretrain_roberta")
    for name, tensor in back.items():
        assert tensor.numpy().tobytes() == source[name].tobytes(), name


def test_cases_cover_both_model_types() -> None:
    assert {CASES[case]["config"]["model_type"] for case in ORIGINAL} == {"BT", "METER"}
