"""Mutated files: every outcome is success or a clean error, quickly and without side effects.

BRIDGETOWER_FUZZ_MUTATIONS=20000 pytest tests/conversion/test_fuzz.py   runs more than the thousand of the suite.
"""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save

from bridgetower.conversion import CheckpointError, Options, plan_conversion, read_checkpoint

MUTATIONS = int(os.environ.get("BRIDGETOWER_FUZZ_MUTATIONS", "1000"))
CONTAINERS = ["zip", "legacy", "safetensors", "pickle"]


def _valid(container: str) -> bytes:
    """A small tower, so that most mutations hit the structure and not the numbers."""
    block = "visual.transformer.resblocks.0."
    state = {
        "input_resolution": torch.tensor(4),
        "visual.class_embedding": torch.randn(4), "visual.positional_embedding": torch.randn(5, 4),
        "visual.conv1.weight": torch.randn(4, 3, 2, 2), "visual.ln_pre.weight": torch.ones(4),
        "visual.ln_pre.bias": torch.ones(4), "visual.ln_post.weight": torch.ones(4),
        "visual.ln_post.bias": torch.ones(4),
        f"{block}attn.in_proj_weight": torch.randn(12, 4), f"{block}attn.in_proj_bias": torch.randn(12),
        f"{block}attn.out_proj.weight": torch.randn(4, 4), f"{block}attn.out_proj.bias": torch.randn(4),
        f"{block}ln_1.weight": torch.ones(4), f"{block}ln_1.bias": torch.ones(4), f"{block}ln_2.weight": torch.ones(4),
        f"{block}ln_2.bias": torch.ones(4), f"{block}mlp.c_fc.weight": torch.randn(8, 4),
        f"{block}mlp.c_fc.bias": torch.randn(8), f"{block}mlp.c_proj.weight": torch.randn(4, 8),
        f"{block}mlp.c_proj.bias": torch.randn(4),
    }  # fmt: skip
    if container == "safetensors":
        return save(state)
    if container == "pickle":
        return pickle.dumps({name: tensor.numpy() for name, tensor in state.items()}, 4)
    buffer = io.BytesIO()
    torch.save({"state_dict": state, "epoch": 1}, buffer, _use_new_zipfile_serialization=container == "zip")
    return buffer.getvalue()


def _mutated(data: bytes, draw: np.random.Generator) -> bytes:
    """A few bytes changed, removed or repeated; half of the time near the start, where the structure is."""
    result = bytearray(data)
    for _ in range(draw.integers(1, 5)):
        length = len(result)
        where = int(draw.integers(0, length if draw.random() < 0.5 else min(length, 2000)))
        action = draw.integers(0, 5)
        if action < 2:
            result[where] = int(draw.integers(0, 256))
        elif action == 2:
            result[where] ^= 1 << int(draw.integers(0, 8))
        elif action == 3:
            del result[where : where + int(draw.integers(1, 40))]
        else:
            result[where:where] = result[where : where + int(draw.integers(1, 40))]
        if not result:
            break
    return bytes(result)


def _outcome(path: Path) -> Any:
    try:
        plan = plan_conversion(path, Options())
        return {name: array.tobytes() for name, array in plan.tensors.items()}
    except CheckpointError as error:
        assert str(error).isprintable() and len(str(error)) < 700
        return None


@pytest.mark.parametrize("container", CONTAINERS)
def test_mutated_files_are_read_or_refused(container: str, tmp_path: Path) -> None:
    data = _valid(container)
    draw = np.random.default_rng(CONTAINERS.index(container))
    path = tmp_path / "mutated"
    path.write_bytes(data)
    assert _outcome(path) is not None
    refused = 0
    for _ in range(MUTATIONS // len(CONTAINERS)):
        path.write_bytes(_mutated(data, draw))
        refused += _outcome(path) is None
    assert refused > MUTATIONS // len(CONTAINERS) // 4  # the mutations do reach the structure
    assert [file.name for file in tmp_path.iterdir()] == ["mutated"]


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_prefix_is_refused(container: str, tmp_path: Path) -> None:
    data = _valid(container)
    for length in range(0, len(data), len(data) // 60):
        (tmp_path / "prefix").write_bytes(data[:length])
        with pytest.raises(CheckpointError):
            read_checkpoint(tmp_path / "prefix")
