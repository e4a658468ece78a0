"""Models and pictures for the tests of pipelines, made once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.saved_models import save_model, write_pictures


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a model by its short name in `tests.saved_models`; each is made when it is first asked for."""
    folder = tmp_path_factory.mktemp("models")
    return cache(lambda name: save_model(name, folder / name))


@pytest.fixture(scope="session")
def exported(saved: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The exported folder of a model."""
    folder = tmp_path_factory.mktemp("static")

    @cache
    def export(name: str) -> Path:
        from bridgetower.export import export_checkpoint

        export_checkpoint(saved(name), folder / name)
        return folder / name

    return export


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Seven pictures of different sizes."""
    return write_pictures(tmp_path_factory.mktemp("pictures"), 7)
