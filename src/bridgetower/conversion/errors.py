"""The errors of the converter."""

from __future__ import annotations

_LONGEST = 600


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message says in one line what is wrong and what to do."""

    def __init__(self, text: str) -> None:
        # Names in a broken or hostile file may contain line breaks and terminal escape sequences.
        line = "".join(part if part.isprintable() else ascii(part)[1:-1] for part in text)
        super().__init__(line if len(line) <= _LONGEST else f"{line[:_LONGEST]}...")


class UnknownSettingError(CheckpointError):
    """A value that the model needs is neither in the weights nor in the settings that came with them."""
