"""From the words of a command line to a command, and from errors to one line and an exit status."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence

from ..exits import guarded
from . import delegated, explain_command, picture_commands, serve_command, vector_commands

__all__ = ["build_parser", "main"]

PROGRAM = "bridgetower"
EXAMPLE = """\
example:
  bridgetower ask build/quickstart/vqa picture.png "what color is the circle?"

`bridgetower COMMAND --help` has the options of a command and an example.
Exit status: 0 done, 2 unusable input or options, 130 interrupted.
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; it imports nothing that takes time."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description="Use BridgeTower models: ask, match, fill, classify, embed, search, explain, serve; "
        "and the programs that prepare data and convert checkpoints.", epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in (picture_commands, vector_commands, explain_command, serve_command, delegated):
        module.add_commands(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] and words[0] in delegated.PROGRAMS:
        return delegated.run(words[0], words[1:])
    options = build_parser().parse_args(words)

    def command() -> int:
        try:
            options.run(options)
            sys.stdout.flush()
        except BrokenPipeError:  # the reader of our output, such as head, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0

    return guarded(f"{PROGRAM} {words[0]}", command)


def quiet() -> None:
    """Make Paddle fast on a CPU, and let it and PaddleNLP say only what a user should know."""
    os.environ.setdefault("GLOG_minloglevel", "2")
    from ..runtime import import_paddle, log_to_console

    log_to_console()
    for handler in logging.getLogger().handlers:
        handler.setLevel(logging.WARNING)
    import_paddle()
    import paddle

    paddle.disable_signal_handler()  # it prints a page about a signal that is no error
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(*_: object) -> None:
    """End as on Ctrl-C, so that what is half written is removed."""
    raise KeyboardInterrupt
