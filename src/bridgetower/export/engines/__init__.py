"""Engines that run the programs of an exported folder on this machine: one class each, chosen in `selection`."""

from .interface import Engine, EngineSettings
from .selection import ENGINES, check_options, open_engine

__all__ = ["ENGINES", "Engine", "EngineSettings", "check_options", "open_engine"]
