"""Small random checkpoints with the names and shapes of the original and of the Hugging Face port."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

CASES = json.loads((Path(__file__).parent / "data" / "checkpoints.json").read_text())
ORIGINAL = [name for name in CASES if not name.startswith("huggingface")]
CLASSIFIER_TASKS = {"vqa": "vqa", "nlvr2": "nlvr2"}


def tensors(case: str, seed: int = 0) -> dict[str, np.ndarray]:
    """Random tensors with the source names of a case; not to be written to."""
    return dict(_drawn(case, seed))


@cache
def _drawn(case: str, seed: int) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed)
    result = {}
    for template, (shape, layers, *dtype) in CASES[case]["tensors"].items():
        for layer in range(max(layers, 1)):
            name = template.replace("{i}", str(layer))
            if dtype:  # position_ids
                result[name] = np.arange(shape[-1])[None]
            else:
                centre = name.endswith("weight") and len(shape) == 1  # of LayerNorms; others would hide differences
                result[name] = np.asarray(centre + draw.standard_normal(shape) * 0.05, np.float32)
            result[name].flags.writeable = False
    return result


def torch_state(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """The same as torch tensors."""
    import torch

    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}


def lightning(case: str) -> dict[str, Any]:
    """What Lightning would have saved for an original case, `towers` beside the configuration as our way back does."""
    state = torch_state(tensors(case))
    hyper_parameters = copy.deepcopy({"config": CASES[case]["config"], "towers": CASES[case]["towers"]})
    return {"epoch": 3, "global_step": 7, "callbacks": {}, "state_dict": state, "hyper_parameters": hyper_parameters}


def one_layer_classifier(case: str) -> dict[str, Any]:
    """The same with a classifier of one linear layer (`task_head_layers` 1 of the original)."""
    content = lightning(case)
    state, name = content["state_dict"], f"{CLASSIFIER_TASKS[case]}_classifier"
    width, labels = state[f"{name}.0.weight"].shape[1], state[f"{name}.3.bias"]
    weight = state[f"{name}.0.weight"][: len(labels)]
    content["state_dict"] = {key: tensor for key, tensor in state.items() if not key.startswith(name)}
    content["state_dict"] |= {f"{name}.0.weight": weight.clone(), f"{name}.0.bias": labels}
    assert weight.shape == (len(labels), width)
    content["hyper_parameters"]["config"]["task_head_layers"] = 1
    return content


def write_port_folder(folder: Path, case: str = "huggingface_mlm") -> Path:
    """A Hugging Face folder of a case."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors(case), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(CASES[case]["config"]))
    return folder
