"""From PyTorch to ours: what is written, where, and that nothing is written when something is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from bridgetower.conversion import CheckpointError, Options, load_weights, plan_conversion, resize_position_table
from tests.conversion.checkpoints import lightning, tensors, torch_state, write_port_folder


def _ignore(count: int) -> None:
    """Progress of small files."""


def convert(source: Path, **options: Any) -> Path:
    """Convert and give what `from_pretrained` takes."""
    plan = plan_conversion(source, Options(**options))
    plan.write(_ignore)
    return plan.folder


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_file_becomes_a_file_beside_it(original_ckpt: Path, tmp_path: Path) -> None:
    source = tmp_path / "base.ckpt"
    source.write_bytes(original_ckpt.read_bytes())
    assert convert(source) == tmp_path / "base.ckpt.pdparams"
    assert _files(tmp_path) == {"base.ckpt", "base.ckpt.pdparams", "base.ckpt.config.json"}


def test_folder_becomes_a_sibling(tmp_path: Path) -> None:
    source = write_port_folder(tmp_path / "bridgetower-base")
    (source / "vocab.json").write_text("{}")
    assert convert(source) == tmp_path / "bridgetower-base-paddle"
    assert _files(tmp_path / "bridgetower-base-paddle") == {"config.json", "model_state.pdparams", "vocab.json"}


@pytest.mark.parametrize("output, kind, weights, config", [
    ("out", None, "out/model_state.pdparams", "out/config.json"),
    ("out", "safetensors", "out/model.safetensors", "out/config.json"),
    ("deep/er/out.safetensors", None, "deep/er/out.safetensors", "deep/er/out.config.json"),
    ("out.pdparams", "pdparams", "out.pdparams", "out.config.json"),
])  # fmt: skip
def test_outputs(output: str, kind: str | None, weights: str, config: str, original_ckpt: Path, tmp_path: Path) -> None:
    folder = convert(original_ckpt, output=tmp_path / output, format=kind)
    assert (tmp_path / weights).is_file() and (tmp_path / config).is_file()
    loaded, settings = load_weights(folder)
    assert settings == json.loads((tmp_path / config).read_text())
    expected, _ = load_weights(original_ckpt)
    assert set(loaded) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(loaded[name], array)


def test_paddle_reads_the_file(original_ckpt: Path, tmp_path: Path) -> None:
    import paddle

    loaded = paddle.load(str(convert(original_ckpt, output=tmp_path / "x.pdparams")))
    for name, array in load_weights(original_ckpt)[0].items():
        assert tuple(loaded[name].shape) == array.shape
        np.testing.assert_array_equal(loaded[name].numpy(), array)


def test_safetensors_package_reads_the_file(original_ckpt: Path, tmp_path: Path) -> None:
    loaded = load_file(convert(original_ckpt, output=tmp_path / "x.safetensors"))
    for name, array in load_weights(original_ckpt)[0].items():
        np.testing.assert_array_equal(loaded[name], array)


def test_model_starts_from_the_folder(original_ckpt: Path, tmp_path: Path) -> None:
    import bridgetower

    folder = convert(original_ckpt, output=tmp_path / "out")
    model = bridgetower.BridgeTowerForPreTraining.from_pretrained(folder)
    expected = tensors("pretrain_roberta")["cross_modal_text_transform.weight"].T
    np.testing.assert_array_equal(model.bridgetower.text_projection.weight.numpy(), expected)


def test_image_size(original_ckpt: Path, tmp_path: Path) -> None:
    weights, config = load_weights(convert(original_ckpt, output=tmp_path / "out", image_size=48))
    assert config is not None and config["vision_config"]["image_size"] == 48
    table = tensors("pretrain_roberta")["vit_model.visual.positional_embedding"]
    name = "bridgetower.image_tower.position_embedding"
    np.testing.assert_array_equal(weights[name], resize_position_table(table, 37))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_image_size_of_a_half_precision_table(dtype: torch.dtype, tmp_path: Path) -> None:
    content = lightning("vqa")
    content["state_dict"] = _half(content["state_dict"], dtype)
    torch.save(content, tmp_path / "x.ckpt")
    weights, _ = load_weights(convert(tmp_path / "x.ckpt", image_size=48))
    table = content["state_dict"]["vit_model.visual.positional_embedding"].float().numpy()
    expected = resize_position_table(table, 145)
    np.testing.assert_array_equal(weights["bridgetower.image_tower.position_embedding"], expected)


@pytest.mark.parametrize("image_size, nearest", [(50, 48), (3, 8), (0, 8), (-8, 8)])
def test_image_size_that_no_patches_fill(image_size: int, nearest: int, original_ckpt: Path) -> None:
    with pytest.raises(CheckpointError, match=f"not a multiple of patch_size=8; try {nearest}"):
        plan_conversion(original_ckpt, Options(image_size=image_size))


def _half(state: dict[str, torch.Tensor], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    return {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in state.items()}


@pytest.mark.parametrize("source_type", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", ["pdparams", "safetensors"])
@pytest.mark.parametrize("dtype, written", [("float32", "float32"), ("float16", "float16"), ("source", None)])
def test_types(source_type: torch.dtype, kind: str, dtype: str, written: str | None, tmp_path: Path) -> None:
    content = lightning("vqa")
    content["state_dict"] = _half(content["state_dict"], source_type)
    torch.save(content, tmp_path / "x.ckpt")
    plan = plan_conversion(tmp_path / "x.ckpt", Options(dtype=dtype, format=kind, output=tmp_path / "out"))
    plan.write(_ignore)
    loaded, _ = load_weights(tmp_path / "out")
    expected = content["state_dict"]["cross_modal_text_transform.weight"].T
    if written == "float16":
        expected = expected.half()
    np.testing.assert_array_equal(loaded["bridgetower.text_projection.weight"], expected.float().numpy())
    name = "model_state.pdparams" if kind == "pdparams" else "model.safetensors"
    size = sum(array.size for array in loaded.values()) * (4 if written == "float32" else 2)
    assert 0 <= (tmp_path / "out" / name).stat().st_size - size < 300 * len(loaded)


def test_float16_overflow_is_an_error(tmp_path: Path) -> None:
    content = lightning("vqa")
    content["state_dict"]["cross_modal_text_transform.bias"][0] = 1e6
    torch.save(content, tmp_path / "x.ckpt")
    plan = plan_conversion(tmp_path / "x.ckpt", Options(dtype="float16"))
    with pytest.raises(ValueError, match="1e.06 does not fit into float16"):
        plan.write(_ignore)
    assert _files(tmp_path) == {"x.ckpt"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["cross_modal_text_transform.weight", "vit_model.visual.conv1.weight"])
def test_values_that_are_not_finite(value: float, name: str, tmp_path: Path) -> None:
    content = lightning("vqa")
    content["state_dict"][name].view(-1)[5] = value
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError, match="has 1 NaN or infinite values.*--allow_nonfinite"):
        plan_conversion(tmp_path / "x.ckpt", Options())
    loaded, _ = load_weights(convert(tmp_path / "x.ckpt", allow_nonfinite=True), allow_nonfinite=True)
    assert sum(np.count_nonzero(~np.isfinite(array)) for array in loaded.values()) == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_not_loaded(value: float, tmp_path: Path) -> None:
    import bridgetower

    content = lightning("vqa")
    content["state_dict"]["vqa_classifier.3.bias"][2] = value
    torch.save(content, tmp_path / "x.ckpt")
    model_class = bridgetower.BridgeTowerForQuestionAnswering
    with pytest.raises(ValueError, match="x.ckpt: classifier.fc2.bias has 1 NaN or infinite.*allow_nonfinite=True"):
        model_class.from_pretrained(tmp_path / "x.ckpt")
    model = model_class.from_pretrained(tmp_path / "x.ckpt", allow_nonfinite=True)
    assert np.count_nonzero(~np.isfinite(model.classifier.fc2.bias.numpy())) == 1


def test_integer_weights_are_refused(tmp_path: Path) -> None:
    content = lightning("vqa")
    name = "cross_modal_text_transform.weight"
    content["state_dict"][name] = content["state_dict"][name].to(torch.int8)
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError, match="text_projection.weight has type int8; quantised"):
        plan_conversion(tmp_path / "x.ckpt", Options())


def test_double_precision_becomes_float32(tmp_path: Path) -> None:
    content = lightning("vqa")
    content["state_dict"] = _half(content["state_dict"], torch.float64)
    torch.save(content, tmp_path / "x.ckpt")
    assert {array.dtype for array in load_weights(tmp_path / "x.ckpt")[0].values()} == {np.dtype("float32")}


def test_own_decoder_of_a_tied_configuration_is_kept_and_noted(tmp_path: Path) -> None:
    folder = write_port_folder(tmp_path / "model")
    settings = json.loads((folder / "config.json").read_text())
    del settings["text_config"]["tie_word_embeddings"]
    (folder / "config.json").write_text(json.dumps(settings))
    plan = plan_conversion(folder, Options())
    expected = tensors("huggingface_mlm")["mlm_score.decoder.weight"]
    np.testing.assert_array_equal(plan.tensors["mlm_head.decoder_weight"], expected)
    assert any("transformers would put the word embedding table in its place" in note for note in plan.report.notes)


@pytest.mark.parametrize("dtype, size", [("float32", 4), ("float16", 2), ("source", 4)])
def test_bytes_announced_are_the_bytes_written(dtype: str, size: int, original_ckpt: Path, tmp_path: Path) -> None:
    plan = plan_conversion(original_ckpt, Options(output=tmp_path / "out", dtype=dtype))
    counts: list[int] = []
    plan.write(counts.append)
    assert sum(counts) == plan.num_bytes == size * sum(array.size for array in plan.tensors.values())


def test_a_dropped_tensor_may_hold_anything(tmp_path: Path) -> None:
    content = lightning("vqa")
    content["state_dict"]["vit_model.ln_final.weight"][0] = float("nan")
    torch.save(content, tmp_path / "x.ckpt")
    plan_conversion(tmp_path / "x.ckpt", Options())


Change = Callable[[dict[str, torch.Tensor]], Any]


@pytest.mark.parametrize("change, message", [
    (lambda s: s.pop("cross_modal_text_transform.weight"), "text_projection.weight is missing"),
    (lambda s: s.pop("text_transformer.encoder.layer.1.output.dense.bias"), "text_tower.layers.1.mlp.fc2.bias is miss"),
    (lambda s: s.update(surprise=torch.ones(1)), "no rule for surprise"),
    (lambda s: s.update({"text_transformer.encoder.layer.7.output.dense.bias": torch.ones(1)}), "layers.* is missing"),
    (lambda s: s.update({"cross_modal_text_pooler.dense.bias": torch.ones(1)}), r"has shape \(1,\)"),
    (lambda s: s.update({"cross_modal_text_pooler.dense.bias": torch.ones(1, 32)}), r"has shape \(1, 32\)"),
    (lambda s: s.update({"vqa_classifier.3.weight": torch.ones(64, 11)}), r"has shape \(11, 64\)"),
    (lambda s: s.update({"cross_modal_text_transform.weight": torch.ones(3)}), "a linear weight has two axes"),
    (lambda s: s.update({"itm_score.fc.weight": torch.ones(2, 64)}), "itm_head.bias is missing"),
    (lambda s: s.clear(), "no tensors"),
])  # fmt: skip
def test_damaged_models(change: Change, message: str, tmp_path: Path) -> None:
    content = lightning("vqa")
    change(content["state_dict"])
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError, match=message) as caught:
        plan_conversion(tmp_path / "x.ckpt", Options())
    assert str(caught.value).startswith(str(tmp_path / "x.ckpt")) and "\n" not in str(caught.value)


def test_settings_from_files(tmp_path: Path) -> None:
    content = lightning("vqa")
    torch.save(content["state_dict"], tmp_path / "bare.ckpt")
    with pytest.raises(CheckpointError, match="--towers"):
        plan_conversion(tmp_path / "bare.ckpt", Options())
    for name in ("config", "towers"):
        (tmp_path / f"my-{name}.json").write_text(json.dumps(content["hyper_parameters"][name]))
    options = Options(config=tmp_path / "my-config.json", towers=tmp_path / "my-towers.json")
    torch.save(content, tmp_path / "full.ckpt")
    bare = plan_conversion(tmp_path / "bare.ckpt", options)
    full = plan_conversion(tmp_path / "full.ckpt", Options())
    bare.write(_ignore), full.write(_ignore)
    written = [json.loads((tmp_path / f"{name}.ckpt.config.json").read_text()) for name in ("bare", "full")]
    assert written[0] == written[1]


def test_settings_beside_a_bare_file(tmp_path: Path) -> None:
    content = lightning("vqa")
    torch.save(content["state_dict"], tmp_path / "bare.ckpt")
    for name in ("config", "towers"):
        (tmp_path / f"{name}.json").write_text(json.dumps(content["hyper_parameters"][name]))
    plan_conversion(tmp_path / "bare.ckpt", Options())


def test_broken_settings_file(original_ckpt: Path, tmp_path: Path) -> None:
    (tmp_path / "towers.json").write_text("{")
    with pytest.raises(CheckpointError, match="towers.json is not valid JSON"):
        plan_conversion(original_ckpt, Options(towers=tmp_path / "towers.json"))


@pytest.mark.parametrize("options, message", [
    ({"output": "out.pdparams", "format": "safetensors"}, "says pdparams, --format says safetensors"),
    ({"output": "taken.pdparams"}, "is a folder"),
    ({"output": "taken"}, "is a file"),
])  # fmt: skip
def test_outputs_that_contradict(options: dict[str, Any], message: str, original_ckpt: Path, tmp_path: Path) -> None:
    (tmp_path / "taken.pdparams").mkdir()
    (tmp_path / "taken").write_text("")
    options["output"] = tmp_path / options["output"]
    with pytest.raises(CheckpointError, match=message):
        plan_conversion(original_ckpt, Options(**options))


def test_a_source_is_never_overwritten(tmp_path: Path) -> None:
    source = write_port_folder(tmp_path / "model")
    with pytest.raises(CheckpointError, match="would overwrite the source"):
        plan_conversion(source, Options(output=source, format="safetensors"))
    with pytest.raises(CheckpointError, match="would overwrite the source"):
        plan_conversion(source, Options(output=source))  # its config.json


def test_our_own_weights_are_not_converted_again(original_ckpt: Path, tmp_path: Path) -> None:
    folder = convert(original_ckpt, output=tmp_path / "out")
    with pytest.raises(CheckpointError, match="already; use --reverse"):
        plan_conversion(folder, Options())


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_nothing_is_left_when_writing_fails(
    error: BaseException, original_ckpt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []

    def fail(count: int) -> None:
        written.append(count)
        if len(written) == 100:
            raise error

    plan = plan_conversion(original_ckpt, Options(output=tmp_path / "new" / "deep" / "x.pdparams"))
    with pytest.raises(type(error)):
        plan.write(fail)
    assert len(written) == 100 and _files(tmp_path) == set()


def test_an_older_output_survives_a_failure(original_ckpt: Path, tmp_path: Path) -> None:
    target = convert(original_ckpt, output=tmp_path / "x.pdparams")
    before = target.read_bytes()

    def fail(count: int) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        plan_conversion(original_ckpt, Options(output=tmp_path / "x.pdparams", image_size=48)).write(fail)
    assert target.read_bytes() == before and _files(tmp_path) == {"x.pdparams", "x.config.json"}


def test_planning_writes_nothing(original_ckpt: Path, tmp_path: Path) -> None:
    plan = plan_conversion(original_ckpt, Options(output=tmp_path / "out"))
    assert _files(tmp_path) == set() and plan.report.targets


def test_report(original_ckpt: Path) -> None:
    plan = plan_conversion(original_ckpt, Options(image_size=48))
    report = plan.report
    assert list(report.parts) == ["text tower", "image tower", "cross-modal", "bridges", "heads"]
    assert sum(part.tensors for part in report.parts.values()) == len(plan.tensors)
    assert report.parts["bridges"].parameters == 2 * 2 * 64
    assert all(part.dtypes == {"float32"} for part in report.parts.values())
    text = report.text()
    assert "vit_model.ln_final.weight" in text and "text_transformer.embeddings.position_ids" in text
    assert "resized from 4x4 to 6x6" in text


def test_options_are_independent_of_each_other(original_ckpt: Path, tmp_path: Path) -> None:
    options = Options(output=tmp_path / "a.safetensors")
    plan_conversion(original_ckpt, options).write(_ignore)
    plan_conversion(original_ckpt, replace(options, output=tmp_path / "b.safetensors")).write(_ignore)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_bare_state_without_heads(tmp_path: Path) -> None:
    arrays = {name.removeprefix("bridgetower."): array for name, array in tensors("huggingface_mlm").items()
              if "mlm_score" not in name}  # fmt: skip
    folder = write_port_folder(tmp_path / "base")
    torch.save(torch_state(arrays), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    _, config = load_weights(convert(folder))
    assert config is not None and config["architectures"] == ["BridgeTowerModel"]
