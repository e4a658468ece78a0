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

__all__ = ["read_normalization", "read_settings", "read_weights", "register_normalization_reader", "register_reader",
           "register_settings_reader"]

Weights: TypeAlias = "tuple[dict[str, np.ndarray], dict[str, Any] | None]"

_readers: list[Callable[[str | Path, bool], Weights]] = []
_normalization_readers: list[Callable[[str | PathLike[str]], MeanAndStd]] = []
_settings_readers: list[Callable[[str | PathLike[str], Mapping[str, Any]], dict[str, Any]]] = []


def register_reader(reader: Callable[[str | Path, bool], Weights]) -> None:
    """Set the function that reads a checkpoint, in place of the one before."""
    _readers[:] = [reader]


def read_weights(source: str | Path, allow_nonfinite: bool = False) -> Weights:
    """Weights by our names and the fields of a `BridgeTowerConfig`, or None where the source does not say enough.

    Args:
        source: see `bridgetower.conversion.load_weights`.
        allow_nonfinite: accept NaN and infinite weights.
    """
    return _readers[-1](source, allow_nonfinite)


def register_normalization_reader(reader: Callable[[str | PathLike[str]], MeanAndStd]) -> None:
    """Set the function that reads a normalisation, in place of the one before."""
    _normalization_readers[:] = [reader]


def read_normalization(source: str | PathLike[str]) -> MeanAndStd:
    """Mean and standard deviation of red, green and blue in the pictures that a checkpoint expects.

    Args:
        source: see `bridgetower.conversion.load_normalization`.
    """
    return _normalization_readers[-1](source)


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
