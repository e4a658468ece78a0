"""Open a checkpoint: find its container, its named tensors, their layout and the settings that come with them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...json_files import read_json_object
from ..errors import CheckpointError
from ..names.mapping import detect_layout
from ..names.wrappers import unwrapped
from .mapped_file import map_file
from .safetensors_file import looks_like_safetensors, read_safetensors
from .state_dicts import state_dict, stored_settings
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
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
)
#: Settings of a folder, the first that exists is read.
_SETTINGS_FILES = ("config.json", "open_clip_config.json")
_WEIGHT_SUFFIXES = (".ckpt", ".pt", ".pth", ".bin", ".safetensors", ".pdparams")


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
            config = _first_json(*_settings_files(path, files[0]))
        else:
            tensors, config, towers = _read_file(path)
            files = (path,)
            # Settings beside a file that has none of its own: `X.config.json` of `X.pdparams`, or those of its folder.
            beside = (path.with_name(f"{path.stem}.config.json"), *_settings_files(path.parent, path))
            config = config or _first_json(*beside)
        towers = towers or _first_json((path if path.is_dir() else path.parent) / "towers.json")
        own = {name: tensors[given] for given, name in unwrapped(tensors).items()}
        return Checkpoint(path, files, LazyTensors(own), detect_layout(list(own)), config, towers)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CheckpointError: the file holds something else.
    """
    try:
        return read_json_object(path)
    except ValueError as error:
        raise CheckpointError(str(error).replace(str(path), path.name)) from error


def _settings_files(folder: Path, weights: Path) -> list[Path]:
    """Where the settings of a weight file may be; those of open_clip come first for its own files."""
    names = reversed(_SETTINGS_FILES) if weights.name.startswith("open_clip") else _SETTINGS_FILES
    return [folder / name for name in names]


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
        others = sorted(file.name for file in folder.iterdir() if file.suffix in _WEIGHT_SUFFIXES)
        if others:
            shown = ", ".join(others[:5]) + (f" and {len(others) - 5} more" if len(others) > 5 else "")
            raise CheckpointError(f"the folder has no weights under a usual name, but {shown}; give one of these files")
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
    return state_dict(content), *stored_settings(content)
