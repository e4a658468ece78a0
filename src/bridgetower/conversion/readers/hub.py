"""Download a checkpoint that is given by its name on the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import CheckpointError

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_FILES = ("*.json", "*.safetensors", "pytorch_model*.bin", "*.pdparams")


def local_path(source: str | Path) -> Path:
    """`source` itself if it exists, else the downloaded folder of a hub name such as `BridgeTower/bridgetower-base`.

    Raises:
        FileNotFoundError: it does not exist and does not have the form of a hub name.
        CheckpointError: the download failed.
    """
    path = Path(source)
    if path.exists():
        return path
    if not _HUB_NAME.fullmatch(str(source)) or path.suffix in (".ckpt", ".pt", ".pth", ".bin", ".pdparams"):
        raise FileNotFoundError(f"{source}: no such file or folder")
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(str(source), allow_patterns=list(_FILES)))
    except Exception as error:  # the client raises many kinds, all of which mean "not downloaded"
        reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        raise CheckpointError(
            f"{source}: no such file or folder here, and not downloaded from the Hugging Face hub ({reason}); "
            "check the name and the network, or download the files yourself and give their folder"
        ) from error
