"""Remove the prefixes that training tools put into tensor names when they wrap a model."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import CheckpointError

#: Attributes that hold a wrapped module: of data parallelism and DeepSpeed, torch.compile, Lightning, FSDP, and
#: activation checkpointing. Each may also wrap a part of the model.
_WRAPPERS = frozenset(("module", "_orig_mod", "_forward_module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"))
#: What training scripts call the model that they hold; only at the start of a name.
_HOLDERS = frozenset(("model", "_model"))


def unwrapped(names: Iterable[str]) -> dict[str, str]:
    """The model's own name for each name in a file: `module._orig_mod.visual.proj` is `visual.proj`.

    Raises:
        CheckpointError: two names of the file are the same tensor.
    """
    own: dict[str, str] = {}
    first: dict[str, str] = {}
    for name in names:
        words = [word for word in name.split(".") if word not in _WRAPPERS]
        while len(words) > 1 and words[0] in _HOLDERS:
            del words[0]
        own[name] = ".".join(words)
        if first.setdefault(own[name], name) != name:
            raise CheckpointError(f"{first[own[name]]} and {name} are the same tensor; the file holds two models")
    return own
