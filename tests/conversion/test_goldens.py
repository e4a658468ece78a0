"""The reader and the rules on checkpoints that the original and transformers wrote.

Runs where BRIDGETOWER_SHARED names the folder with `goldens/`; the other tests here need no such files.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from bridgetower.conversion import Options, load_weights, plan_conversion, read_checkpoint, resize_position_table

GOLDENS = Path(os.environ.get("BRIDGETOWER_SHARED", "/nonexistent")) / "goldens"
CHECKPOINTS = sorted(str(path.relative_to(GOLDENS)) for path in GOLDENS.glob("*/*.ckpt"))
PORT_FOLDERS = sorted(str(path.parent.relative_to(GOLDENS)) for path in GOLDENS.glob("hf_layout/*/config.json"))
pytestmark = pytest.mark.skipif(not GOLDENS.is_dir(), reason="BRIDGETOWER_SHARED does not name the goldens")


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_reader_equals_torch_load(name: str) -> None:
    checkpoint = read_checkpoint(GOLDENS / name)
    try:
        content = torch.load(GOLDENS / name, weights_only=False)
    except ModuleNotFoundError:  # torch cannot read classes that are not installed; all these hold the same weights
        content = torch.load(GOLDENS / "ckpt_format" / "lightning.ckpt", weights_only=False)
    state = content.get("state_dict", content)
    assert list(checkpoint.tensors) == list(state)
    for key, tensor in state.items():
        assert checkpoint.tensors[key].dtype == tensor.numpy().dtype
        np.testing.assert_array_equal(checkpoint.tensors[key], tensor.numpy())


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_configuration_equals_the_originals(name: str) -> None:
    from bridgetower.config import BridgeTowerConfig

    _, config = load_weights(GOLDENS / name)
    assert config is not None
    folder = (GOLDENS / name).parent
    flat, towers = (json.loads((folder / file).read_text()) for file in ("config.json", "towers.json"))
    ours, theirs = BridgeTowerConfig(**config), BridgeTowerConfig.from_original(flat, towers)
    from_heads = {"objectives": [], "architectures": None}  # what the weights say, and the original's settings do not
    assert ours.replace(**from_heads).to_dict() == theirs.replace(**from_heads).to_dict()


@pytest.mark.parametrize("name", CHECKPOINTS + PORT_FOLDERS)
def test_conversion_is_planned(name: str, tmp_path: Path) -> None:
    plan = plan_conversion(GOLDENS / name, Options(output=tmp_path / "x.pdparams"))
    assert plan.report.parts["text tower"].tensors and plan.report.dropped


@pytest.mark.parametrize("name", PORT_FOLDERS)
def test_port_equals_torch(name: str) -> None:
    folder = GOLDENS / name
    if (folder / "model.safetensors").exists():
        from safetensors.torch import load_file

        state = load_file(folder / "model.safetensors")
    else:
        state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    tensors = read_checkpoint(folder).tensors
    assert set(tensors) == set(state)
    assert all(np.array_equal(tensors[key], tensor.numpy()) for key, tensor in state.items())


def test_position_tables() -> None:
    with np.load(GOLDENS / "posembed" / "io.npz") as arrays:
        for name in (key for key in arrays if key.startswith("in_")):
            expected = arrays[f"out{name[2:]}"]
            result = resize_position_table(arrays[name], expected.shape[-2])
            # Two float32 evaluations of the same sums of 16 products.
            np.testing.assert_allclose(result, expected, atol=1e-5, err_msg=name)
