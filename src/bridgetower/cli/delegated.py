"""Commands that are programs of their own: `prepare` and `convert`."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
from collections.abc import Sequence
from typing import Any

__all__ = ["PROGRAMS", "add_commands", "run"]

#: Where the program of each command is looked for, and what the command does.
PROGRAMS: dict[str, tuple[tuple[str, ...], str]] = {
    "prepare": (("bridgetower.preparation.__main__",), "turn raw data into arrow files"),
    "convert": (("bridgetower.verification.converter", "torch2paddle"), "convert checkpoints from PyTorch, and back"),
}


def add_commands(commands: Any) -> None:
    """List the commands in the help; their own programs read their arguments."""
    for name, (_, summary) in PROGRAMS.items():
        commands.add_parser(name, help=summary, add_help=False, formatter_class=argparse.HelpFormatter)


def run(name: str, arguments: Sequence[str]) -> int:
    """Run a program with the rest of a command line; returns its exit status."""
    place = next(place for place in PROGRAMS[name][0] if _exists(place))
    status: int = importlib.import_module(place).main(list(arguments))
    return status


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
