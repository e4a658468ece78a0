"""The `bridgetower` command in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bridgetower.cli import main


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """Runs a command that must succeed; the lines that it prints."""
    def run(*words: Any) -> list[str]:
        status = main([str(word) for word in words])
        output = capsys.readouterr()
        assert status == 0, output.err
        return output.out.splitlines()

    return run
