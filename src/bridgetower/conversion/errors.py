"""The errors of the converter."""

from __future__ import annotations

_LONGEST = 600


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the text says in one line what is wrong and what to do."""

    def __init__(self, text: str) -> None:
        # Names that a broken or hostile file gives may hold line breaks and terminal commands.
        line = "".join(part if part.isprintable() else ascii(part)[1:-1] for part in text)
        super().__init__(line if len(line) <= _LONGEST else f"{line[:_LONGEST]}...")


class UnknownSettingError(CheckpointError):
    """Neither the weights nor the settings that came with them give a value that the model needs."""
