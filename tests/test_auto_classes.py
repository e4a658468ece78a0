"""PaddleNLP's Auto classes on a saved folder; this fails when PaddleNLP changes how they are made."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from paddlenlp import transformers

import bridgetower
from bridgetower import BridgeTowerForMaskedLM, BridgeTowerImageProcessor, BridgeTowerProcessor
from bridgetower.auto_classes import install
from bridgetower.inputs.tokenizer import BridgeTowerTokenizer
from tests.models import SIZE, small_model


@pytest.fixture(scope="module")
def folder(mini: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a processor."""
    folder = tmp_path_factory.mktemp("auto") / "model"
    small_model(BridgeTowerForMaskedLM).save_pretrained(str(folder))
    tokenizer = BridgeTowerTokenizer.from_pretrained(mini / "tokenizer")
    BridgeTowerProcessor(BridgeTowerImageProcessor(size=SIZE), tokenizer).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("auto", "ours"), [
    ("AutoConfig", "BridgeTowerConfig"), ("AutoModel", "BridgeTowerModel"),
    ("AutoModelForMaskedLM", "BridgeTowerForMaskedLM"), ("AutoModelForPretraining", "BridgeTowerForPreTraining"),
    ("AutoModelForQuestionAnswering", "BridgeTowerForQuestionAnswering"),
    ("AutoModelForSequenceClassification", "BridgeTowerForSequenceClassification"),
    ("AutoTokenizer", "BridgeTowerTokenizer"), ("AutoProcessor", "BridgeTowerProcessor"),
    ("AutoImageProcessor", "BridgeTowerImageProcessor")])
@pytest.mark.parametrize("kind", [str, Path])
def test_each_finds_our_class(folder: Path, auto: str, ours: str, kind: type) -> None:
    found = getattr(transformers, auto).from_pretrained(kind(folder))
    assert type(found) is getattr(bridgetower, ours)


def test_a_task_of_automodel(folder: Path) -> None:
    assert type(transformers.AutoModel.from_pretrained(str(folder), task="ForMaskedLM")) is BridgeTowerForMaskedLM


def test_other_models_stay_paddlenlps(tmp_path: Path) -> None:
    transformers.BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, vocab_size=9).save_pretrained(
        str(tmp_path))
    install()  # a second time changes nothing
    assert type(transformers.AutoConfig.from_pretrained(str(tmp_path))) is transformers.BertConfig


@pytest.mark.slow
@pytest.mark.parametrize("order", ["bridgetower, paddlenlp.transformers", "paddlenlp.transformers, bridgetower"])
def test_the_order_of_imports_does_not_matter(folder: Path, order: str) -> None:
    program = (f"import {order}\nfrom paddlenlp.transformers import AutoTokenizer\n"
               f"print(type(AutoTokenizer.from_pretrained({str(folder)!r})).__name__)")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONWARNINGS": "ignore"}, timeout=240)
    assert done.stdout.splitlines()[-1] == "BridgeTowerTokenizer"
