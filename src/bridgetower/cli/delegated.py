"""Commands that are programs of their own: `prepare` and `convert`."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from typing import Any

__all__ = ["PROGRAMS", "add_commands", "run"]

#: The program of each command, and what it does.
PROGRAMS: dict[str, tuple[str, str]] = {
    "prepare": ("bridgetower.preparation.__main__", "turn raw data into arrow files"),
    "convert": ("bridgetower.verification.converter", "convert checkpoints from PyTorch, and back"),
}


def add_commands(commands: Any) -> None:
    """List the commands in the help; their own programs read their arguments."""
    for name, (_, summary) in PROGRAMS.items():
        commands.add_parser(name, help=summary, add_help=False, formatter_class=argparse.HelpFormatter)


def run(name: str, arguments: Sequence[str]) -> int:
    """Run a program with the rest of a command line; returns its exit status."""
    status: int = importlib.import_module(PROGRAMS[name][0]).main(list(arguments))
    return status
