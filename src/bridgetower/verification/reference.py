"""The PyTorch model of a checkpoint: built from the source's own settings, filled by the source's own names.

Nothing here comes from what the converter derived, neither rules nor settings, so that a mistake there cannot cancel
out. The modules are those of transformers; they compute what the original computes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..conversion import Checkpoint, CheckpointError
from ..conversion.readers import widen

Arrays = dict[str, np.ndarray]
Tensors = dict[str, Any]

#: Names that a module of transformers has and that no output depends on.
UNUSED = ("pooler.dense.weight", "pooler.dense.bias", "position_ids", "token_type_ids")


@dataclass(frozen=True)
class TextInput:
    """What token ids a model takes: the size of its vocabulary, its longest text, the id of padding."""

    vocab_size: int
    longest: int
    pad_token_id: int


@dataclass(frozen=True)
class Reference:
    """A PyTorch model and what it takes.

    Attributes:
        run: torch tensors by the names of inputs to torch tensors by the names of outputs.
        text: its texts; None for an image tower.
        image: channels, height and width of its images; None for a text tower.
    """

    run: Callable[[Tensors], Tensors]
    text: TextInput | None = None
    image: tuple[int, int, int] | None = None

    def outputs(self, inputs: Arrays) -> Arrays:
        """Run the model on arrays."""
        import torch

        with torch.no_grad():
            outputs = self.run({name: torch.from_numpy(array) for name, array in inputs.items()})
        return {name: tensor.numpy() for name, tensor in outputs.items()}


def build_reference(checkpoint: Checkpoint, image_size: int | None) -> Reference:
    """The PyTorch model of a checkpoint.

    Args:
        checkpoint: the source, with the settings that belong to it.
        image_size: side S of the images, if it differs from that of the source.

    Raises:
        CheckpointError: transformers has no such model, or the source lacks a tensor of it.
    """
    from . import original_reference, port_reference, tower_reference

    state = torch_state(checkpoint)
    if checkpoint.layout == "original":
        return original_reference.build(state, checkpoint.config or {}, checkpoint.towers or {}, image_size)
    if checkpoint.layout == "huggingface":
        return port_reference.build(state, checkpoint.config or {}, image_size)
    return tower_reference.build(checkpoint, state, image_size)


def torch_state(checkpoint: Checkpoint) -> Tensors:
    """The tensors of the source by its own names, half precision widened to float32."""
    import torch

    return {name: torch.from_numpy(np.array(widen(checkpoint.tensors[name]))) for name in checkpoint.tensors}


def part(state: Mapping[str, Any], prefix: str) -> Tensors:
    """The tensors whose names start with a prefix, by the rest of their names."""
    return {name[len(prefix) :]: tensor for name, tensor in state.items() if name.startswith(prefix)}


def count(state: Mapping[str, Any], prefix: str) -> int:
    """How many layers `prefix` + number + `.` there are."""
    return len({name[len(prefix) :].partition(".")[0] for name in state if name.startswith(prefix)})


def fill(module: Any, state: Mapping[str, Any], may_lack: tuple[str, ...] = ()) -> Any:
    """Fill a module with the tensors of its own names, and set it to evaluation.

    Raises:
        CheckpointError: a tensor is missing or has another shape.
    """
    own = module.state_dict()
    missing = [name for name in own if name not in state and not name.endswith(may_lack)]
    if missing:
        raise CheckpointError(f"--verify: transformers' model needs {missing[0]}, which the source does not have")
    try:
        module.load_state_dict({name: state[name] for name in own if name in state}, strict=False)
    except RuntimeError as error:
        raise CheckpointError(f"--verify: the source does not fit its own settings ({error})") from error
    return module.eval()


def linear(state: Mapping[str, Any], name: str, inputs: Any) -> Any:
    """Apply the linear layer `name` of the source."""
    import torch.nn.functional as F

    return F.linear(inputs, state[f"{name}.weight"], state[f"{name}.bias"])


def layer_norm(state: Mapping[str, Any], name: str, inputs: Any, epsilon: float) -> Any:
    """Apply the LayerNorm `name` of the source."""
    import torch.nn.functional as F

    return F.layer_norm(inputs, inputs.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], epsilon)


def resize_table(table: Any, grid: int) -> Any:
    """Resize the patch grid of a position table to `grid` x `grid`, with torch's own interpolation."""
    import torch
    import torch.nn.functional as F

    table = table.reshape(table.shape[-2:])
    old = round((len(table) - 1) ** 0.5)
    if old == grid:
        return table
    patches = table[1:].reshape(1, old, old, -1).permute(0, 3, 1, 2)
    patches = F.interpolate(patches, (grid, grid), mode="bicubic").permute(0, 2, 3, 1).reshape(grid * grid, -1)
    return torch.cat([table[:1], patches])
