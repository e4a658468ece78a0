"""The reading of checkpoints and their settings that `from_pretrained` needs, which the package hands in.

The model must not import the converter, which is built on it; so the package says here where its functions are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:  # importing the package takes in no NumPy: a command that only prints its help starts without it
    import numpy as np

    from .one_channel import MeanAndStd

__all__ = ["HUB_OPTIONS", "READER_OPTIONS", "read_normalization", "read_settings", "read_weights", "register_readers",
           "write_port_folder"]

#: Keyword arguments of every `from_pretrained` that are about the download.
HUB_OPTIONS = ("revision", "cache_dir", "token", "local_files_only", "force_download", "subfolder")
#: How PaddleNLP or transformers are to read a file. They have no effect: every kind of file is read here, all
#: tokenizers are fast, and no code of a repository ever runs.
READER_OPTIONS = ("from_hf_hub", "from_aistudio", "convert_from_torch", "low_cpu_mem_usage", "use_safetensors",
                  "trust_remote_code", "resume_download", "use_fast", "attn_implementation")

Weights: TypeAlias = "tuple[dict[str, np.ndarray], dict[str, Any] | None]"

_find_readers: list[Callable[[], Any]] = []


def register_readers(find: Callable[[], Any]) -> None:
    """Set where the readers are, in place of the one before.

    Args:
        find: imports and returns a module with the functions `load_weights`, `load_normalization`, `load_settings` and
            `write_port_folder` of `bridgetower.conversion`.
    """
    _find_readers[:] = [find]


def read_weights(source: str | Path, allow_nonfinite: bool = False, options: Mapping[str, Any] | None = None
                 ) -> Weights:
    """Weights by our names and the fields of a `BridgeTowerConfig`, or None where the source does not say enough.

    Args:
        source: see `bridgetower.conversion.load_weights`.
        allow_nonfinite: accept NaN and infinite weights.
        options: a selection of `HUB_OPTIONS`, for a name on the hub.
    """
    return _find_readers[-1]().load_weights(source, allow_nonfinite, options or {})


def read_normalization(source: str | PathLike[str], options: Mapping[str, Any] | None = None) -> MeanAndStd:
    """Mean and standard deviation of red, green and blue in the pictures that a checkpoint expects.

    Args:
        source: see `bridgetower.conversion.load_normalization`.
        options: a selection of `HUB_OPTIONS`, for a name on the hub.
    """
    return _find_readers[-1]().load_normalization(source, options or {})


def read_settings(source: str | PathLike[str], options: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in the `config.json` of a checkpoint, unchanged; the file may be the Hugging Face port's.

    Args:
        source: see `bridgetower.conversion.load_settings`.
        options: of the download, for a name on the hub.
    """
    return _find_readers[-1]().load_settings(source, options)


def write_port_folder(source: str | PathLike[str], target: str | PathLike[str]) -> None:
    """Write a folder of this project as one that the Hugging Face port reads.

    Args:
        source, target: see `bridgetower.conversion.write_port_folder`.
    """
    _find_readers[-1]().write_port_folder(source, target)
