"""From a path to named tensors: containers by content, folders, settings, and what is not a checkpoint."""

from __future__ import annotations

import fnmatch
import itertools
import json
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from bridgetower.conversion import CheckpointError, load_weights, local_path, read_checkpoint
from tests.conversion.checkpoints import CASES, lightning, tensors, torch_state, write_port_folder

CONTAINERS = ["zip", "legacy", "bare", "nested", "fp16", "safetensors", "pickle"]


def _write(path: Path, container: str) -> dict[str, np.ndarray]:
    """Write the VQA case in a container; returns what must be read."""
    arrays = tensors("vqa")
    state = torch_state(arrays)
    if container == "zip":
        torch.save(lightning("vqa"), path)
    elif container == "legacy":
        torch.save(lightning("vqa"), path, _use_new_zipfile_serialization=False)
    elif container == "bare":
        torch.save(state, path)
    elif container == "nested":
        torch.save({"model": state, "step": 3}, path)
    elif container == "fp16":
        state = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
        arrays = {name: tensor.numpy() for name, tensor in state.items()}
        torch.save(state, path)
    elif container == "safetensors":
        save_file(arrays, path)
    else:
        path.write_bytes(pickle.dumps(arrays))
    return arrays


@pytest.mark.parametrize("container", CONTAINERS)
def test_containers_are_told_by_content_not_by_name(container: str, tmp_path: Path) -> None:
    expected = _write(tmp_path / "weights.unknown", container)
    checkpoint = read_checkpoint(tmp_path / "weights.unknown")
    assert checkpoint.layout == "original"
    assert list(checkpoint.tensors) == list(expected) or container == "safetensors"
    for name, array in expected.items():
        assert checkpoint.tensors[name].dtype == array.dtype
        np.testing.assert_array_equal(checkpoint.tensors[name], array)
    assert (checkpoint.config is not None) == (container in ("zip", "legacy"))


def test_settings_of_lightning(tmp_path: Path) -> None:
    _write(tmp_path / "x.ckpt", "zip")
    assert read_checkpoint(tmp_path / "x.ckpt").config == CASES["vqa"]["config"]


def _with_absent_module(content: Any, path: Path, is_zip: bool) -> None:
    """Save with a callback class as key and settings in foreign containers, then forget their module."""
    module = types.ModuleType("pytorch_lightning_gone")
    for name, base in (("ModelCheckpoint", object), ("ReadOnlyDict", dict), ("ReadOnlyList", list)):
        setattr(module, name, type(name, (base,), {"__module__": module.__name__, "__qualname__": name}))
    sys.modules[module.__name__] = module
    try:
        settings = {key: module.ReadOnlyDict(value) if isinstance(value, dict) else value  # type: ignore[attr-defined]
                    for key, value in content["hyper_parameters"]["config"].items()}  # fmt: skip
        content["callbacks"] = {module.ModelCheckpoint: {"best": torch.tensor(1.0)}}  # type: ignore[attr-defined]
        content["hyper_parameters"] = {"config": module.ReadOnlyDict(settings)}  # type: ignore[attr-defined]
        torch.save(content, path, _use_new_zipfile_serialization=is_zip)
    finally:
        del sys.modules[module.__name__]


@pytest.mark.parametrize("is_zip", [True, False])
def test_classes_that_are_not_installed_do_not_matter(is_zip: bool, tmp_path: Path) -> None:
    _with_absent_module(lightning("vqa"), tmp_path / "x.ckpt", is_zip)
    checkpoint = read_checkpoint(tmp_path / "x.ckpt")
    assert checkpoint.config == CASES["vqa"]["config"]
    np.testing.assert_array_equal(checkpoint.tensors["temperature"], tensors("vqa")["temperature"])


def test_paddle_files(tmp_path: Path) -> None:
    import paddle

    arrays = {"text_tower.a": np.ones((2, 3), np.float32), "image_tower.b": np.arange(4, dtype=np.float16)}
    state = {name: paddle.to_tensor(array) for name, array in arrays.items()}
    state["text_tower.c"] = paddle.ones([3], dtype="bfloat16")
    for protocol in (2, 4):
        paddle.save(state, str(tmp_path / "model_state.pdparams"), protocol=protocol)
        weights, config = load_weights(tmp_path)
        assert config is None
        assert weights["text_tower.c"].dtype == np.float32 and (weights["text_tower.c"] == 1).all()
        np.testing.assert_array_equal(weights["text_tower.a"], arrays["text_tower.a"])
        assert weights["image_tower.b"].dtype == np.float32


WRAPPERS = ("module", "_orig_mod", "_forward_module")


ORDERS = [".".join(words) for size in (1, 2, 3) for words in itertools.permutations(WRAPPERS, size)]


@pytest.mark.parametrize("prefix", [*ORDERS, "model", "module.model", "model._orig_mod.module"])
@pytest.mark.parametrize("case", ["vqa", "huggingface_mlm"])
def test_names_of_wrapped_models(case: str, prefix: str, tmp_path: Path) -> None:
    expected = tensors(case)
    torch.save({"state_dict": torch_state({f"{prefix}.{name}": array for name, array in expected.items()})},
               tmp_path / "x.ckpt")
    checkpoint = read_checkpoint(tmp_path / "x.ckpt")
    assert checkpoint.layout == ("original" if case == "vqa" else "huggingface")
    assert list(checkpoint.tensors) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(checkpoint.tensors[name], array)


@pytest.mark.parametrize("wrapper", [*WRAPPERS, "_fsdp_wrapped_module", "_checkpoint_wrapped_module"])
def test_names_of_wrapped_parts(wrapper: str, tmp_path: Path) -> None:
    """Compiled or recomputed layers have the wrapper in the middle."""
    expected = tensors("vqa")
    names = {name: name.replace("layer.1.", f"layer.1.{wrapper}.").replace("resblocks.", f"{wrapper}.resblocks.")
             for name in expected}  # fmt: skip
    save_file({names[name]: array for name, array in expected.items()}, tmp_path / "x.safetensors")
    assert set(read_checkpoint(tmp_path / "x.safetensors").tensors) == set(expected)


def test_two_models_in_one_file(tmp_path: Path) -> None:
    state = torch_state(tensors("vqa"))
    torch.save(state | {f"module.{name}": tensor for name, tensor in state.items()}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="module.temperature are the same tensor; the file holds two models"):
        read_checkpoint(tmp_path / "x.pt")


@pytest.mark.parametrize("path", ["module", "state_dict", "model_state_dict", "model.module", "module.state_dict",
                                  "model.model.model"])  # fmt: skip
def test_tensors_inside_dictionaries_of_training_tools(path: str, tmp_path: Path) -> None:
    """DeepSpeed keeps them under `module`, beside much else."""
    content: dict[str, Any] = torch_state(tensors("vqa"))
    for key in reversed(path.split(".")):
        content = {"global_steps": 7, "optimizer": None, "ds_config": {"a": 1}, key: content}
    torch.save(content | {"buffer_names": [], "param_shapes": [{}]}, tmp_path / "mp_rank_00_model_states.pt")
    assert set(read_checkpoint(tmp_path / "mp_rank_00_model_states.pt").tensors) == set(tensors("vqa"))


def test_weights_that_deepspeed_keeps_elsewhere(tmp_path: Path) -> None:
    state = {name: torch.empty(0) for name in tensors("vqa")}
    torch.save({"module": state, "param_shapes": [{}]}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="zero_to_fp32.py"):
        read_checkpoint(tmp_path / "x.pt")


def test_a_dictionary_that_holds_itself_ends(tmp_path: Path) -> None:
    content: dict[str, Any] = {}
    content["model"] = content
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="'model' is not a tensor"):
        read_checkpoint(tmp_path / "x.pt")


# ---------------------------------------------------------------------------------------------------------------------
# Folders


def test_a_folder_of_checkpoints_names_them(tmp_path: Path) -> None:
    for name in ("b.ckpt", "a.ckpt", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(CheckpointError, match="no weights under a usual name, but a.ckpt, b.ckpt; give one of these"):
        read_checkpoint(tmp_path)


class _Hub:
    """A hub that lists given files and notes what is asked of it."""

    def __init__(self, files: list[str], folder: Path) -> None:
        self.files, self.folder, self.name, self.patterns = files, folder, "", [""]
        self.options: list[dict[str, object]] = []

    def list_repo_files(self, name: str, **options: object) -> list[str]:
        self.options.append(options)
        return self.files

    def snapshot_download(self, name: str, allow_patterns: list[str], **options: object) -> str:
        self.name, self.patterns = name, allow_patterns
        self.options.append(options)
        return str(self.folder)


@pytest.mark.parametrize("files, wanted", [
    (["config.json", "pytorch_model.bin", "model.safetensors"], {"model.safetensors"}),
    (["pytorch_model-1-of-2.bin", "model-1-of-2.safetensors", "model-2-of-2.safetensors"],
     {"model-1-of-2.safetensors", "model-2-of-2.safetensors"}),
    (["pytorch_model.bin", "tf_model.h5", "onnx/model.safetensors"], {"pytorch_model.bin"}),
    (["open_clip_pytorch_model.bin", "open_clip_model.safetensors"], {"open_clip_model.safetensors"}),
    (["open_clip_pytorch_model.bin"], {"open_clip_pytorch_model.bin"}),
    (["model_state.pdparams"], {"model_state.pdparams"}),
])  # fmt: skip
def test_one_kind_of_weights_is_downloaded(
    files: list[str], wanted: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    hub = _Hub([*files, "vocab.json", "merges.txt"], tmp_path)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    local_path("somebody/something")
    chosen = {file for file in hub.files if any(fnmatch.fnmatch(file, pattern) for pattern in hub.patterns)}
    assert {file for file in chosen if Path(file).suffix not in (".json", ".txt")} == wanted
    assert {"vocab.json", "merges.txt"} <= chosen


def test_options_of_the_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    hub = _Hub(["pytorch_model.bin", "paddle/model.safetensors", "paddle/config.json"], tmp_path)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    options = {"revision": "v2", "subfolder": "paddle", "cache_dir": "somewhere", "token": None}
    assert local_path("somebody/something", options) == tmp_path / "paddle"
    assert hub.options == [{"revision": "v2"}, {"revision": "v2", "cache_dir": "somewhere"}]
    chosen = {file for file in hub.files if any(fnmatch.fnmatch(file, pattern) for pattern in hub.patterns)}
    assert chosen == {"paddle/model.safetensors", "paddle/config.json"}
    hub.options.clear()
    local_path("somebody/something", {"local_files_only": True})  # asks nobody for a list of files
    assert hub.options == [{"local_files_only": True}]


@pytest.mark.parametrize("name, repository", [("CLIP-ViT-B/16", "openai/clip-vit-base-patch16"),
                                              ("roberta-base", "FacebookAI/roberta-base")])  # fmt: skip
def test_known_towers_stand_for_their_repositories(
    name: str, repository: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    hub = _Hub([], tmp_path)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    assert local_path(name) == tmp_path and hub.name == repository


def _shard(folder: Path, binary: bool = False) -> dict[str, str]:
    """Split the folder's one file into three shards with an index; returns the index."""
    arrays = tensors("huggingface_mlm")
    (folder / "model.safetensors").unlink()
    stem, suffix = ("pytorch_model", "bin") if binary else ("model", "safetensors")
    names = list(arrays)
    index = {}
    for number in range(3):
        shard = f"{stem}-{number}.{suffix}"
        part = {name: arrays[name] for name in names[number::3]}
        if binary:
            torch.save(torch_state(part), folder / shard)
        else:
            save_file(part, folder / shard)
        index |= dict.fromkeys(part, shard)
    (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps({"weight_map": index}))
    return index


@pytest.mark.parametrize("binary", [False, True])
def test_sharded_folder(binary: bool, tmp_path: Path) -> None:
    _shard(write_port_folder(tmp_path), binary)
    checkpoint = read_checkpoint(tmp_path)
    assert checkpoint.layout == "huggingface" and len(checkpoint.files) == 3
    for name, array in tensors("huggingface_mlm").items():
        np.testing.assert_array_equal(checkpoint.tensors[name], array)


def test_bin_folder(tmp_path: Path) -> None:
    write_port_folder(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(torch_state(tensors("huggingface_mlm")), tmp_path / "pytorch_model.bin")
    assert set(read_checkpoint(tmp_path).tensors) == set(tensors("huggingface_mlm"))


def test_missing_shard(tmp_path: Path) -> None:
    _shard(write_port_folder(tmp_path))
    (tmp_path / "model-1.safetensors").unlink()
    with pytest.raises(CheckpointError, match="'model-1.safetensors' is missing"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("index, message", [
    ({"weight_map": {"a": "../outside.safetensors"}}, "'../outside.safetensors' is missing"),
    ({"weight_map": {"a": "model-0.safetensors"}}, "disagree about tensor"),
    ({"weight_map": {"a": 3}}, "no weight_map"),
    ({"weights": {}}, "no weight_map"),
    ([1], "not a JSON object"),
])  # fmt: skip
def test_broken_index(index: Any, message: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    _shard(write_port_folder(folder))
    save_file({"a": np.ones(1)}, tmp_path / "outside.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(folder)


def test_folder_without_weights(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no weights; expected one of model.safetensors"):
        read_checkpoint(tmp_path)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        read_checkpoint(tmp_path / "absent.ckpt")


# ---------------------------------------------------------------------------------------------------------------------
# What is no checkpoint


@pytest.mark.parametrize("content, message", [
    (b"", "empty"),
    (b"some text, not weights\n", "not a torch, safetensors or Paddle file"),
    (b"<!DOCTYPE html><html>404 not found</html>", "not a torch, safetensors or Paddle file"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "not a torch, safetensors or Paddle file"),
    (b'{"a": 1}', "not a torch, safetensors or Paddle file"),
    (b"PK\x03\x04 but then nothing", "zip archive"),
    (b"\x80\x04", "broken pickle"),
    (pickle.dumps([1, 2]), "no dictionary of tensors"),
    (pickle.dumps({}), "no tensors"),
    (pickle.dumps({"a": 1}), "'a' is not a tensor but a int"),
    (pickle.dumps({1: np.ones(2)}), "name is not text"),
    (pickle.dumps({"a": np.array([object()])}), "objects"),
    (pickle.dumps({"state_dict": {"a": np.ones}}), "'a' is made by numpy.ones, which may not run"),
    (pickle.dumps({"a": np.ones(2)}), "not a BridgeTower, METER"),
    (pickle.dumps({"text_tower.a": np.ones(2)}) + b"more", "4 unexpected bytes"),
])  # fmt: skip
def test_not_a_checkpoint(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_checkpoint(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


# ---------------------------------------------------------------------------------------------------------------------
# load_weights


def test_load_weights_of_the_original(original_ckpt: Path) -> None:
    weights, config = load_weights(original_ckpt)
    assert config is not None and config["cross_layer_norm_eps"] == 1e-12
    assert config["text_config"]["num_attention_heads"] == 4
    assert weights["bridgetower.text_projection.weight"].flags.c_contiguous
    np.testing.assert_array_equal(weights["itm_head.weight"], tensors("pretrain_roberta")["itm_score.fc.weight"].T)


def test_load_weights_of_a_hugging_face_folder(port_folder: Path) -> None:
    weights, config = load_weights(port_folder)
    assert config is not None and config["cross_layer_norm_eps"] == 1e-5 and "tie_word_embeddings" not in config
    assert "mlm_head.decoder_weight" in weights


def test_tied_decoder_is_the_word_embedding_table(tmp_path: Path) -> None:
    write_port_folder(tmp_path)
    arrays = tensors("huggingface_mlm")
    del arrays["mlm_score.decoder.weight"]
    save_file(arrays, tmp_path / "model.safetensors")
    settings = json.loads((tmp_path / "config.json").read_text())
    assert "mlm_head.decoder_weight" not in load_weights(tmp_path)[0]  # the settings say that it is not tied
    del settings["text_config"]["tie_word_embeddings"]
    (tmp_path / "config.json").write_text(json.dumps(settings))
    weights, config = load_weights(tmp_path)
    assert config is not None and config["tie_word_embeddings"] is True
    np.testing.assert_array_equal(weights["mlm_head.decoder_weight"],
                                  arrays["bridgetower.text_model.embeddings.word_embeddings.weight"])  # fmt: skip


def test_weights_without_enough_settings_have_no_configuration(tmp_path: Path) -> None:
    _write(tmp_path / "x.ckpt", "bare")
    weights, config = load_weights(tmp_path / "x.ckpt")
    assert config is None and "bridgetower.text_projection.weight" in weights


def test_hub_name_without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(CheckpointError, match="Hugging Face hub .no route to host.; check the name and the network"):
        load_weights("BridgeTower/bridgetower-base")


def test_hub_name_is_downloaded(monkeypatch: pytest.MonkeyPatch, port_folder: Path) -> None:
    import huggingface_hub

    asked = []
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **_: (asked.append(name), port_folder)[1])
    load_weights("BridgeTower/bridgetower-base")
    assert asked == ["BridgeTower/bridgetower-base"]


@pytest.mark.parametrize("source", ["absent.ckpt", "folder/absent.ckpt", "./x/y"])
def test_paths_are_not_taken_for_hub_names(source: str) -> None:
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_weights(source)
