"""Find a checkpoint that is given by a known name or by its name on the Hugging Face hub."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...known import IMAGE_TOWERS, TEXT_TOWERS
from ..errors import CheckpointError

logger = logging.getLogger(__name__)

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_SETTINGS = ("*.json", "vocab.txt", "merges.txt")
#: Patterns of weights; only the first kind that a repository has is downloaded.
_WEIGHTS = (
    ("model.safetensors", "model-*.safetensors"),
    ("model_state*.pdparams",),
    ("pytorch_model*.bin",),
    ("open_clip_model.safetensors",),
    ("open_clip_pytorch_model.bin",),
)


def local_path(source: str | Path, options: Mapping[str, Any] | None = None) -> Path:
    """`source` itself if it exists, else the downloaded folder of a hub name such as `BridgeTower/bridgetower-base`.

    The names of towers in experiment files, such as `CLIP-ViT-B/16`, stand for their hub names.

    Args:
        source: a path, or a name.
        options: a selection of `bridgetower.sources.HUB_OPTIONS`; of a path, only `subfolder` counts.

    Raises:
        FileNotFoundError: it does not exist and does not have the form of a hub name.
        CheckpointError: the download failed.
    """
    path = Path(source)
    options = {name: value for name, value in (options or {}).items() if value is not None}
    subfolder = options.pop("subfolder", "")
    if path.exists():
        return path / subfolder
    name = hub_name(source)
    if not _HUB_NAME.fullmatch(name) or path.suffix in (".ckpt", ".pt", ".pth", ".bin", ".pdparams"):
        raise FileNotFoundError(f"{source}: no such file or folder")
    try:
        from huggingface_hub import snapshot_download

        wanted = [*_SETTINGS, *_weight_patterns(name, subfolder, options)]
        patterns = [f"{subfolder}/{pattern}" if subfolder else pattern for pattern in wanted]
        return Path(snapshot_download(name, allow_patterns=patterns, **options)) / subfolder
    except Exception as error:  # the client raises many kinds, all of which mean "not downloaded"
        reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        raise CheckpointError(
            f"{source}: no such file or folder here, and not downloaded from the Hugging Face hub ({reason}); "
            "check the name and the network, or download the files yourself and give their folder"
        ) from error


def hub_name(source: str | Path) -> str:
    """The repository of a known tower, else `source` as it is."""
    tower = {**TEXT_TOWERS, **IMAGE_TOWERS}.get(str(source))
    return tower.hub if tower is not None and tower.hub else str(source)


def _weight_patterns(name: str, subfolder: str, options: Mapping[str, Any]) -> list[str]:
    """The patterns of the preferred weights of a repository; all patterns if its files cannot be listed."""
    from huggingface_hub import HfApi

    asked = {key: options[key] for key in ("revision", "token") if key in options}
    files: list[str] = []
    try:
        if not options.get("local_files_only"):
            files = HfApi().list_repo_files(name, **asked)
    except Exception as error:  # offline: what is in the cache will do, and a wrong name is reported by the download
        logger.info("%s: files not listed (%s)", name, error)
    prefix = f"{subfolder}/" if subfolder else ""
    files = [file.removeprefix(prefix) for file in files if file.startswith(prefix)]
    matching = [kind for kind in _WEIGHTS if any(Path(file).match(pattern) and "/" not in file
                                                 for file in files for pattern in kind)]  # fmt: skip
    return [pattern for kind in matching[:1] or _WEIGHTS for pattern in kind]
