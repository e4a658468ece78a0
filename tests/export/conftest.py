"""What several tests of exports share: a tokenizer, and one exported model."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from bridgetower import BridgeTowerForImageAndTextRetrieval
from bridgetower.export import ExportOptions, exporter
from bridgetower.preparation.train_tokenizer import save_tokenizer, train_tokenizer
from tests.export.small_exports import model_of, save


@pytest.fixture(scope="package")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words")
    save_tokenizer(train_tokenizer(["what is this?", "a red square", "is it blue?"] * 5, 280), folder)
    return folder


@pytest.fixture(scope="package")
def itm(words: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, Path]:
    """A model, its checkpoint, and its export in all formats that can be written here."""
    folder = tmp_path_factory.mktemp("itm")
    model = model_of(BridgeTowerForImageAndTextRetrieval, words)
    formats = ("paddle", "onnx", "int8") if importlib.util.find_spec("onnxruntime") else ("paddle", "onnx")
    exporter.export_checkpoint(save(model, folder / "checkpoint", words), folder / "static",
                               ExportOptions(formats=formats))
    return model, folder / "checkpoint", folder / "static"
