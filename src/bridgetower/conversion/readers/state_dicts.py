"""The named tensors and the settings of an unpickled file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..errors import CheckpointError
from .pickled_values import Name, Placeholder, plain
from .tensor_pickle import NumpyArray, TorchTensor

#: Where training tools keep the tensors; they may be nested. DeepSpeed uses `module`.
_STATE_KEYS = ("state_dict", "model_state_dict", "model", "module")
_MAX_NESTING = 8
_PADDLE_NAMES = "StructuredToParameterName@@"


def state_dict(content: Any) -> dict[str, Any]:
    """The named tensors of an unpickled file.

    Raises:
        CheckpointError: there are none, or one can only be made by a call that may not run.
    """
    if isinstance(content, Placeholder) and content.name and content.name.module.startswith("__torch__"):
        return dict(_script_tensors(content, "", set()))
    state = _innermost(content)
    if not isinstance(state, dict):
        raise CheckpointError("the file holds no dictionary of tensors; give a checkpoint or a state dict")
    tensors = {name: _tensor(name, value) for name, value in state.items() if name != _PADDLE_NAMES}
    if not tensors:
        raise CheckpointError("the file holds no tensors")
    if isinstance(content, dict) and "param_shapes" in content and any(_is_empty(each) for each in tensors.values()):
        raise CheckpointError("DeepSpeed keeps these weights in other files; join them with its zero_to_fp32.py first")
    return tensors


def _innermost(content: Any) -> Any:
    """The dictionary of tensors inside the dictionaries that training tools put around it."""
    state = content
    for _ in range(_MAX_NESTING):
        if isinstance(state, Placeholder):
            state = state.items or state
        inner = [state.get(key) for key in _STATE_KEYS] if isinstance(state, dict) else []
        inner = [value for value in inner if isinstance(value, (dict, Placeholder))]
        if not inner:
            break
        state = next((value for value in inner if value), inner[0])
    return state


def _is_empty(tensor: TorchTensor | NumpyArray) -> bool:
    return isinstance(tensor, TorchTensor) and 0 in tensor.size


def _tensor(name: Any, value: Any) -> TorchTensor | NumpyArray:
    if not isinstance(name, str):
        raise CheckpointError("a tensor whose name is not text; the file is broken or not a state dict")
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], NumpyArray):
        value = value[1]  # how Paddle stores a tensor: (its name, numbers)
    if isinstance(value, (TorchTensor, NumpyArray)):
        return value
    if isinstance(value, (Placeholder, Name)):
        what = value if isinstance(value, Name) else value.name
        raise CheckpointError(f"tensor {name[:80]!r} is made by {what}, which may not run; save plain tensors")
    kind = type(value).__name__
    raise CheckpointError(f"{name[:80]!r} is not a tensor but a {kind}; give a checkpoint or a state dict")


def _script_tensors(module: Placeholder, prefix: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Tensors of a TorchScript module, named by their path; a module that occurs twice counts once."""
    if prefix.count(".") > 32:
        raise CheckpointError("a TorchScript archive nested more than 32 levels deep; the file is broken")
    seen.add(id(module))
    for key, value in (module.state if isinstance(module.state, dict) else {}).items():
        if isinstance(value, (TorchTensor, NumpyArray)):
            yield f"{prefix}{key}", value
        elif isinstance(value, Placeholder) and id(value) not in seen:
            yield from _script_tensors(value, f"{prefix}{key}.", seen)


def stored_settings(content: Any) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The configuration that Lightning stores with the weights, and the tower sizes that `plan_reverse` adds to it."""
    found: list[dict[str, Any] | None] = [None, None]
    for key in ("hyper_parameters", "hparams"):
        settings = plain(content[key]) if isinstance(content, dict) and key in content else None
        if not isinstance(settings, dict):
            continue
        config, towers = settings.get("config", settings), settings.get("towers")
        if isinstance(config, dict) and "hidden_size" in config:
            found = [config, towers if isinstance(towers, dict) else None]
    return found[0], found[1]
