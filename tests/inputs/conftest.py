"""Small tokenizers in folders, read by our classes and by the port's."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bridgetower.inputs import BridgeTowerImageProcessor, BridgeTowerProcessor, BridgeTowerTokenizer
from bridgetower.preparation.train_tokenizer import train_tokenizer

TRAINING_TEXTS = ["what color is the shape?", "is there a circle in the image?", "a red car isn't on the road"] * 5
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "car", "##s", "##t", "is", "##n", "'", ".", "?",
         "on", "the", "road", "what", "color", "shape"]


def _write(kind: str, folder: Path) -> None:
    if kind == "roberta":
        tokenizer = BridgeTowerTokenizer(train_tokenizer(TRAINING_TEXTS, 320), "roberta")
    else:
        (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
        tokenizer = BridgeTowerTokenizer.from_pretrained(folder, do_lower_case=True)
    BridgeTowerProcessor(BridgeTowerImageProcessor(size=64), tokenizer).save_pretrained(folder)


@pytest.fixture(scope="session", params=["roberta", "bert"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """`ours` and `port`: the processors of one folder."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp(request.param)
    _write(request.param, folder)
    fast = transformers.RobertaTokenizerFast if request.param == "roberta" else transformers.BertTokenizerFast
    images = transformers.BridgeTowerImageProcessor.from_pretrained(str(folder))
    port = SimpleNamespace(tokenizer=fast.from_pretrained(str(folder)), image_processor=images)
    if request.param == "roberta":  # the port's processor refuses others
        port = transformers.BridgeTowerProcessor(images, port.tokenizer)
    return SimpleNamespace(kind=request.param, folder=folder, port=port,
                           ours=BridgeTowerProcessor.from_pretrained(folder))
