"""How the programs end: known errors as one line with status 2, unknown ones as a short report with status 70."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Callable

__all__ = ["INTERRUPTED", "KNOWN", "TRACEBACK", "UNEXPECTED", "UNUSABLE_INPUT", "guarded", "one_line"]

UNUSABLE_INPUT = 2
#: EX_SOFTWARE: an error that no check foresaw.
UNEXPECTED = 70
INTERRUPTED = 130
#: Set to 1 to see the traceback of every error.
TRACEBACK = "BRIDGETOWER_TRACEBACK"
#: Errors that are about files, settings and the machine, whose messages are for the user.
KNOWN = (ValueError, KeyError, OSError, MemoryError, ImportError)
_LONGEST = 2000
#: What stands before the message in an error of Paddle's C++ code.
_PADDLE_SUMMARY = "Error Message Summary:"


def one_line(error: BaseException) -> str:
    """The message of an error in one printable line; the name of its type where it has none."""
    # str() of a KeyError is the repr of its text.
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    _, summary, reason = text.rpartition(_PADDLE_SUMMARY)
    text = " ".join((reason.strip("- \n") if summary else text).split()) or type(error).__name__
    line = "".join(part if part.isprintable() else ascii(part)[1:-1] for part in text)
    # The reason often stands behind a long value.
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST // 2]} ... {line[-_LONGEST // 2:]}"


def guarded(program: str, work: Callable[[], int], known: tuple[type[BaseException], ...] = KNOWN,
            interrupted: str = "interrupted") -> int:
    """Do the work of a program, and turn what it raises into one line on standard error and an exit status.

    Args:
        program: its name, which begins the line; may be empty.
        work: returns the exit status.
        known: errors whose message says all that a user needs to know.
        interrupted: what to say after Ctrl-C.

    Returns:
        The status of `work`; 2 after a known error, 130 after an interruption, 70 after any other error, whose
        traceback goes to a file.
    """
    start = f"{program}: " if program else ""
    try:
        return work()
    except KeyboardInterrupt:
        print(f"{start}{interrupted}", file=sys.stderr)
        return INTERRUPTED
    except known as error:
        if os.environ.get(TRACEBACK, "0") != "0":
            traceback.print_exc()
        print(f"{start}error: {one_line(error)}", file=sys.stderr)
        return UNUSABLE_INPUT
    except (SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # the Rust libraries panic with an exception that is no Exception
        print(f"{start}unexpected error: {type(error).__name__}: {one_line(error)}; {_report()}", file=sys.stderr)
        return UNEXPECTED


def _report() -> str:
    """Keep the traceback of the current error, and say where it is."""
    if os.environ.get(TRACEBACK, "0") != "0":
        traceback.print_exc()
        return "its traceback is above"
    try:
        number, path = tempfile.mkstemp(prefix="bridgetower-", suffix=".traceback.txt")
        with open(number, "w", encoding="utf-8", errors="backslashreplace") as file:
            traceback.print_exc(file=file)
    except OSError:
        return f"{TRACEBACK}=1 prints its traceback"
    return f"its traceback is in {path}, which a bug report should contain"
