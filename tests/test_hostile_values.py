"""A thousand values that nobody means, in settings, files and flags: refused in one line, or legal.

`BRIDGETOWER_HOSTILE_VALUES=20000` draws that many instead of a thousand.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bridgetower import BridgeTowerConfig
from bridgetower.config import tower_settings
from bridgetower.experiment import load_experiment
from bridgetower.inputs import BridgeTowerImageProcessor, BridgeTowerProcessor, BridgeTowerTokenizer
from bridgetower.modules.loading import check_size
from bridgetower.setting_rules.config_limits import MOST_PARAMETERS, parameter_count
from bridgetower.setting_rules.json_files import LARGEST, read_json_object
from tests.hostile_values import FILES, VALUES, damaged, damaged_json, paths, with_value, write_over
from tests.models import small_config

DRAWS = int(os.environ.get("BRIDGETOWER_HOSTILE_VALUES", "1000"))
ROOT = Path(__file__).parents[1]
SETTINGS: dict[str, Any] = {
    **{name: getattr(small_config(), name) for name in (
        "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "num_bridges", "bridge_type",
        "gated_fusion", "hidden_act", "hidden_dropout_prob", "attention_probs_dropout_prob", "cross_layer_norm_eps",
        "layer_norm_eps", "token_type_vocab_size", "contrastive_hidden_size", "initial_temperature",
        "gather_global_negative", "objectives", "head_layers", "head_hidden_scale", "initializer_range",
        "tie_word_embeddings", "cross_hidden_act", "mlm_layer_norm_eps", "num_labels", "id2label", "label2id",
        "architectures", "dtype", "output_attentions", "return_dict", "tensor_parallel_degree", "sequence_parallel",
        "problem_type", "pruned_heads", "max_length", "early_stopping")},
    "text_config": tower_settings(small_config().text_config),
    "vision_config": tower_settings(small_config().vision_config), "quantization_config": {"quant_type": None}}
PORT: dict[str, Any] = {
    "transformers_version": "4.40.0", "link_tower_type": "add", "share_layernorm": True, "logit_scale_init_value": 2.6,
    "hidden_size": 64, "num_hidden_layers": 2, "contrastive_hidden_size": 8, "tie_word_embeddings": False,
    "architectures": ["BridgeTowerForMaskedLM"],
    "text_config": {"vocab_size": 50, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
                    "intermediate_size": 64, "max_position_embeddings": 20, "layer_norm_eps": 1e-5, "pad_token_id": 1},
    "vision_config": {"hidden_size": 64, "num_hidden_layers": 2, "patch_size": 16, "image_size": 32,
                      "remove_last_layer": False, "share_layernorm": True, "stop_gradient": False}}
EXPERIMENT = json.loads((ROOT / "configs/irtr_itm_itc_f30k_config.json").read_text())


def refused(read: Callable[[], Any], *names: str) -> str | None:
    """The one line with which a value is refused, which has all names in it; None when it is accepted."""
    try:
        read()
    except (ValueError, FileNotFoundError) as error:
        message = str(error)
        assert "\n" not in message and 10 < len(message) < 2000 and all(name in message for name in names), message
        return message
    return None


def some(values: Any, draw: random.Random, share: float) -> list[tuple[tuple[Any, ...], Any]]:
    """Random ways into nested values, each with a hostile value for its end."""
    ways = paths(values)
    return [(draw.choice(ways), draw.choice(VALUES)) for _ in range(max(1, int(DRAWS * share)))]


@pytest.mark.parametrize("settings", [SETTINGS, PORT], ids=["ours", "port"])
def test_settings_of_a_model(settings: dict[str, Any]) -> None:
    draw = random.Random(0)
    for way, value in some(settings, draw, 0.25):
        built: list[BridgeTowerConfig] = []
        message = refused(lambda way=way, value=value, built=built: built.append(
            BridgeTowerConfig.from_dict(with_value(settings, way, value))))
        if message is None:
            assert parameter_count(built[0]) <= MOST_PARAMETERS
            is_huge = isinstance(value, (int, float)) and not isinstance(value, bool) and not abs(value) < 1e6
            assert not is_huge or way[-1] in ("initial_temperature", "max_length"), (way, value)


def test_settings_of_an_experiment(tmp_path: Path) -> None:
    draw, file = random.Random(1), tmp_path / "experiment.json"
    for way, value in some(EXPERIMENT, draw, 0.3):
        file.write_text(json.dumps(with_value(EXPERIMENT, way, value)))
        message = refused(lambda: load_experiment(file), str(file))
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if message is None and way[0] in ("data", "task", "optimization") and is_number:
            assert 0 <= value <= 1e6, (way, value)


@pytest.mark.parametrize("content", FILES, ids=lambda content: repr(content[:12]))
def test_files_that_are_no_settings(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "settings.json"
    file.write_bytes(content)
    accepts_infinity = content == b'{"a": 1e999}'  # the range of the setting refuses it
    assert (refused(lambda: read_json_object(file), str(file)) is None) == accepts_infinity


def test_files_that_cannot_be_settings(tmp_path: Path) -> None:
    with open(tmp_path / "huge.json", "wb") as file:
        file.truncate(LARGEST + 1)
    os.mkfifo(tmp_path / "pipe.json")
    for name, message in (("huge.json", "MB at most"), ("pipe.json", "is not a file"), ("none.json", "does not exist"),
                          (".", "is not a file")):
        assert message in (refused(lambda name=name: read_json_object(tmp_path / name)) or "")


@pytest.mark.parametrize("kind", ["roberta", "port", "bert"])
def test_files_of_a_tokenizer(saved: Any, tmp_path: Path, kind: str) -> None:
    draw, whole = random.Random(2), tmp_path / "whole"
    shutil.copytree(saved("mlm"), whole, ignore=shutil.ignore_patterns("*.pdparams", "config.json"))
    if kind == "bert":
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "##s"]
        (whole / "tokenizer.json").unlink()
        (whole / "vocab.txt").write_text("\n".join(words))
        (whole / "tokenizer_config.json").write_text('{"do_lower_case": true, "strip_accents": null}')
    elif kind == "roberta":
        (whole / "tokenizer.json").unlink()
        BridgeTowerTokenizer.from_pretrained(saved("mlm")).save_vocabulary(whole)
        (whole / "special_tokens_map.json").write_text('{"pad_token": {"content": "<pad>", "lstrip": false}}')
        (whole / "added_tokens.json").write_text('{"zebra": 290}')
    files = {file.name: file.read_bytes() for file in whole.iterdir() if file.suffix in (".json", ".txt")}
    for _ in range(max(1, DRAWS // 10)):
        name = draw.choice(list(files))
        change = damaged_json if name.endswith(".json") and name != "tokenizer.json" else damaged
        write_over(whole / name, change(files[name], draw))
        read: list[BridgeTowerTokenizer] = []
        if refused(lambda read=read: read.append(BridgeTowerTokenizer.from_pretrained(whole)), str(whole)) is None:
            ids = read[0](["a red square", ""], truncation=True, max_length=6)["input_ids"]
            assert max(map(max, ids)) < len(read[0])
        write_over(whole / name, files[name])


def test_settings_of_a_processor(tmp_path: Path, saved: Any) -> None:
    draw, folder = random.Random(3), tmp_path / "processor"
    shutil.copytree(saved("mlm"), folder, ignore=shutil.ignore_patterns("*.pdparams"))
    tokenizer = BridgeTowerTokenizer.from_pretrained(folder)
    BridgeTowerProcessor(BridgeTowerImageProcessor.for_transform("clip", 64), tokenizer).save_pretrained(folder)
    file = folder / "preprocessor_config.json"
    whole = file.read_bytes()
    for _ in range(max(1, DRAWS // 10)):
        write_over(file, damaged_json(whole, draw))
        refused(lambda: BridgeTowerProcessor.from_pretrained(folder), "preprocessor_config.json")


def test_weights_for_another_size_are_refused_before_the_model_is_made() -> None:
    config = small_config(text_config=dict(hidden_size=4096, num_attention_heads=4))
    with pytest.raises(ValueError, match="parameters, but small.pdparams holds 1,000"):
        check_size(config, 1000, "small.pdparams")


@pytest.mark.slow
@pytest.mark.parametrize("words", [
    ("train.py", "--config_name", "configs/vqav2_config.json", "--output_dir", "{out}", "--do_train", "--set",
     "data.image_size=1000000000"),
    ("train.py", "--config_name", "configs/vqav2_config.json", "--output_dir", "{out}", "--do_train", "--seed", "-1"),
    ("export.py", "nowhere", "--output", "{out}", "--image_size", "1000000000"),
    ("torch2paddle.py", "nowhere", "--image_size", "nan"),
    ("-m", "bridgetower.preparation", "tokenizer", "--source", "x", "--output", "{out}", "--vocab_size", "-1"),
    ("-m", "bridgetower.report", "nowhere"), ("-m", "bridgetower", "ask", "nowhere", "x.png", "why?", "--top", "1e9"),
], ids=lambda words: "_".join(words[:3]))
def test_whole_programs(words: tuple[str, ...], warm_python: Path, tmp_path: Path) -> None:
    command = [warm_python, *(word.format(out=tmp_path / "out") for word in words)]
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120,
                          env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert not (tmp_path / "out").exists() and "error" in done.stderr.splitlines()[-1]
