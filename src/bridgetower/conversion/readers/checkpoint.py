"""Open a checkpoint: find its container, its named tensors, their layout and the settings that come with them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CheckpointError
from ..names.mapping import detect_layout
from .mapped_file import map_file
from .pickle_machine import Name, Placeholder, plain
from .safetensors_file import looks_like_safetensors, read_safetensors
from .tensor_pickle import NumpyArray, TorchTensor
from .torch_files import LEGACY_MAGIC, ZIP_MAGIC, read_legacy, read_plain_pickle, read_zip

logger = logging.getLogger(__name__)

#: Weight files of a folder; the first one that exists is read.
WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "model_state.pdparams",
    "model_state.pdparams.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_STATE_KEYS = ("state_dict", "model_state_dict", "model", "module")
_PADDLE_NAMES = "StructuredToParameterName@@"


class LazyTensors(Mapping[str, np.ndarray]):
    """Arrays by name, as views of the mapped file; a checksum is verified when its tensor is first read."""

    def __init__(self, entries: Mapping[str, Any]) -> None:
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> np.ndarray:
        entry = self._entries[name]
        if isinstance(entry, np.ndarray):
            return entry
        try:
            array: np.ndarray = entry.array()
        except CheckpointError as error:
            raise CheckpointError(f"tensor {name!r}: {error}") from error
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that is open; its tensors are read when they are used.

    Attributes:
        path: the file or folder.
        files: the weight files behind it.
        tensors: arrays by source name.
        layout: one of `bridgetower.conversion.LAYOUTS`.
        config: its settings: the original's flat configuration, or the `config.json` of the port or of this project.
        towers: sizes of its towers, from a `towers.json` beside it.
    """

    path: Path
    files: tuple[Path, ...]
    tensors: Mapping[str, np.ndarray]
    layout: str
    config: dict[str, Any] | None
    towers: dict[str, Any] | None


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Open a checkpoint: a file of torch, safetensors or Paddle, or a folder with such a file or its shards.

    Raises:
        CheckpointError: it is not a checkpoint, is broken, or contains something that may not be run. The message
            starts with the path.
        FileNotFoundError: there is nothing at `path`.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    towers = None
    try:
        if path.is_dir():
            tensors, files = _read_folder(path)
            config = _first_json(path / "config.json")
        else:
            tensors, config, towers = _read_file(path)
            files = (path,)
            # Settings beside a file that has none of its own: `X.config.json` of `X.pdparams`, or those of its folder.
            config = config or _first_json(path.with_name(f"{path.stem}.config.json"), path.with_name("config.json"))
        towers = towers or _first_json((path if path.is_dir() else path.parent) / "towers.json")
        return Checkpoint(path, files, LazyTensors(tensors), detect_layout(list(tensors)), config, towers)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CheckpointError: the file holds something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path.name} is not valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path.name} does not hold a JSON object")
    return value


def _first_json(*candidates: Path) -> dict[str, Any] | None:
    for path in candidates:
        if path.is_file():
            logger.info("settings read from %s", path)
            return read_json(path)
    return None


def _read_folder(folder: Path) -> tuple[dict[str, Any], tuple[Path, ...]]:
    for name in WEIGHT_FILES:
        if (folder / name).is_file():
            break
    else:
        raise CheckpointError(f"the folder has no weights; expected one of {', '.join(WEIGHT_FILES)}")
    if not name.endswith(".index.json"):
        return _read_file(folder / name)[0], (folder / name,)
    index = read_json(folder / name).get("weight_map")
    if not isinstance(index, dict) or not all(isinstance(shard, str) for shard in index.values()):
        raise CheckpointError(f"{name} has no weight_map; download it again")
    tensors: dict[str, Any] = {}
    shards = sorted(set(index.values()))
    for shard in shards:
        if Path(shard).name != shard or not (folder / shard).is_file():
            raise CheckpointError(f"shard {shard!r} is missing; {name} lists it")
        part = _read_file(folder / shard)[0]
        wanted = {tensor for tensor, place in index.items() if place == shard}
        if set(part) != wanted:
            odd = sorted(set(part) ^ wanted)[0]
            raise CheckpointError(f"{name} and {shard} disagree about tensor {odd!r}; download both again")
        tensors.update(part)
    return tensors, tuple(folder / shard for shard in shards)


def _read_file(path: Path) -> tuple[dict[str, Any], dict[str, Any] | None, dict[str, Any] | None]:
    """Tensors by name, settings and tower sizes of a file, whose first bytes show which container it is."""
    data = map_file(path)
    start = bytes(data[:16])
    if looks_like_safetensors(data):
        return dict(read_safetensors(data)[0]), None, None
    if start.startswith(ZIP_MAGIC):
        content = read_zip(data)
    elif start.startswith(LEGACY_MAGIC):
        content = read_legacy(data)
    elif start[:1] == b"\x80" or start[:1] in (b"(", b"}", b"c"):
        content = read_plain_pickle(data)
    else:
        raise CheckpointError(f"{path.name} is not a torch, safetensors or Paddle file; was the download complete?")
    return _state_dict(content), *_settings(content)


def _state_dict(content: Any) -> dict[str, Any]:
    """The named tensors of an unpickled file.

    Raises:
        CheckpointError: there are none, or one can only be made by a call that may not run.
    """
    if isinstance(content, Placeholder) and content.name and content.name.module.startswith("__torch__"):
        return dict(_script_tensors(content, "", set()))
    state = content
    if isinstance(content, dict):
        inner = (content.get(key) for key in _STATE_KEYS)
        state = next((value for value in inner if isinstance(value, (dict, Placeholder))), content)
    if isinstance(state, Placeholder):
        state = state.items or state
    if not isinstance(state, dict):
        raise CheckpointError("the file holds no dictionary of tensors; give a checkpoint or a state dict")
    tensors = {name: _tensor(name, value) for name, value in state.items() if name != _PADDLE_NAMES}
    if not tensors:
        raise CheckpointError("the file holds no tensors")
    return tensors


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


def _settings(content: Any) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
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
