"""The readers of checkpoints and their settings that `from_pretrained` uses, which the package registers.

The model must not import the converter, which is built on it; so the package says here how weights are read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:  # importing the package takes in no NumPy: a command that only prints its help starts without it
    import numpy as np

    from .one_channel import MeanAndStd

__all__ = ["HUB_OPTIONS", "read_normalization", "read_settings", "read_weights", "register_normalization_reader",
           "register_reader", "register_settings_reader"]

#: Keyword arguments of every `from_pretrained` that are about the download.
HUB_OPTIONS = ("revision", "cache_dir", "token", "local_files_only", "force_download", "subfolder")

Weights: TypeAlias = "tuple[dict[str, np.ndarray], dict[str, Any] | None]"

Reader: TypeAlias = Callable[[str | Path, bool, Mapping[str, Any]], Weights]

_readers: list[Reader] = []
_normalization_readers: list[Callable[[str | PathLike[str], Mapping[str, Any]], MeanAndStd]] = []
_settings_readers: list[Callable[[str | PathLike[str], Mapping[str, Any]], dict[str, Any]]] = []


def register_reader(reader: Reader) -> None:
    """Set the function that reads a checkpoint, in place of the one before."""
    _readers[:] = [reader]


def read_weights(source: str | Path, allow_nonfinite: bool = False, options: Mapping[str, Any] | None = None
                 ) -> Weights:
    """Weights by our names and the fields of a `BridgeTowerConfig`, or None where the source does not say enough.

    Args:
        source: see `bridgetower.conversion.load_weights`.
        allow_nonfinite: accept NaN and infinite weights.
        options: a selection of `HUB_OPTIONS`, for a name on the hub.
    """
    return _readers[-1](source, allow_nonfinite, options or {})


def register_normalization_reader(reader: Callable[[str | PathLike[str], Mapping[str, Any]], MeanAndStd]) -> None:
    """Set the function that reads a normalisation, in place of the one before."""
    _normalization_readers[:] = [reader]


def read_normalization(source: str | PathLike[str], options: Mapping[str, Any] | None = None) -> MeanAndStd:
    """Mean and standard deviation of red, green and blue in the pictures that a checkpoint expects.

    Args:
        source: see `bridgetower.conversion.load_normalization`.
        options: a selection of `HUB_OPTIONS`, for a name on the hub.
    """
    return _normalization_readers[-1](source, options or {})


def register_settings_reader(reader: Callable[[str | PathLike[str], Mapping[str, Any]], dict[str, Any]]) -> None:
    """Set the function that reads stored settings, in place of the one before."""
    _settings_readers[:] = [reader]


def read_settings(source: str | PathLike[str], options: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in the `config.json` of a checkpoint, unchanged; the file may be the Hugging Face port's.

    Args:
        source: see `bridgetower.conversion.load_settings`.
        options: of the download, for a name on the hub.
    """
    return _settings_readers[-1](source, options)
