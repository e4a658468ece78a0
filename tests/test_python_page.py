"""The examples of docs/python.md run in order, as a reader would paste them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from paddle.utils import unique_name

from bridgetower import (
    BridgeTowerConfig,
    BridgeTowerForPreTraining,
    BridgeTowerImageProcessor,
    BridgeTowerProcessor,
    BridgeTowerTokenizer,
)
from tests.miniature import MODEL

PAGE = Path(__file__).resolve().parents[1] / "docs" / "python.md"


@pytest.fixture
def folder(mini: Path, tmp_path: Path) -> Path:
    """A small model with the heads of pre-training, and its processor."""
    tokenizer = BridgeTowerTokenizer.from_pretrained(mini / "tokenizer")
    settings = {**MODEL, "text_config": {**MODEL["text_config"], "vocab_size": len(tokenizer)},
                "vision_config": {**MODEL["vision_config"], "image_size": 32}, "objectives": ["mlm", "itm"]}
    BridgeTowerForPreTraining(BridgeTowerConfig.from_settings(settings)).save_pretrained(str(tmp_path / "model"))
    processor = BridgeTowerProcessor(BridgeTowerImageProcessor(size=32), tokenizer)
    processor.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.usefixtures("untuned")
def test_the_examples_run(folder: Path, tmp_path: Path) -> None:
    found: dict[str, Any] = {"MODEL": str(folder), "OUTPUT": str(tmp_path / "out")}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    with unique_name.guard():
        for block in blocks:
            exec(compile(block, str(PAGE), "exec"), found)
    assert len(found["scores"]) == 2 and isinstance(found["words"], str)
    assert type(found["tokenizer"]) is BridgeTowerTokenizer
    total = sum(parameter.size for parameter in found["lora"].parameters())
    assert 0 < found["trainable"] < total / 2
    assert found["result"].global_step == 2 and found["result"].training_loss > 0
