"""Experiment files: typed, checked, changed from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridgetower import BridgeTowerConfig
from bridgetower.experiment import DataSettings, SettingsError, load_experiment, parse_experiment


def test_values_are_typed() -> None:
    experiment = parse_experiment({"data": {"datasets": ["vqa"], "mlm_probability": 1}, "task": {"num_labels": None},
                                   "optimization": {"lr_mult_head": 50}, "training": {"seed": 1}})
    assert experiment.data.datasets == ("vqa",) and experiment.data.image_size == DataSettings().image_size
    assert isinstance(experiment.data.mlm_probability, float)
    assert isinstance(experiment.optimization.lr_mult_head, float)
    assert experiment.task.num_labels is None and experiment.training == {"seed": 1}


@pytest.mark.parametrize("values, message", [
    ({"dta": {}}, "no section 'dta'; did you mean 'data'?"),
    ({"data": {"max_text_length": 5}}, "data has no setting 'max_text_length'; did you mean 'max_text_len'?"),
    ({"data": []}, "data is list, expected an object with settings"),
    ({"model": 3}, "model is int, expected an object with settings"),
    ({"data": {"image_size": 3.5}}, "data.image_size=3.5 is float, expected int"),
    ({"data": {"image_size": True}}, "data.image_size=True is bool, expected int"),
    ({"data": {"clean_splits": 1}}, "data.clean_splits=1 is int, expected bool"),
    ({"data": {"datasets": "vqa"}}, "data.datasets='vqa' is str, expected a list; write ['vqa']"),
    ({"data": {"datasets": ["vqa", 4]}}, "data.datasets[1]=4 is int, expected str"),
    ({"task": {"num_labels": "13"}}, "task.num_labels='13' is str, expected int"),
    ({"optimization": {"learning_rate": "1e-5"}}, "optimization.learning_rate='1e-5' is str, expected float"),
])
def test_errors_name_file_key_and_value(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as error:
        parse_experiment(values, "some.json")
    assert str(error.value).startswith("some.json: ") and message in str(error.value)


def write(path: Path, values: Any) -> Path:
    path.write_text(json.dumps(values))
    return path


def test_assignments(tmp_path: Path) -> None:
    file = write(tmp_path / "a.json", {"data": {"image_size": 288}})
    experiment = load_experiment(file, ["data.image_size=384", 'data.datasets=["coco", "vg"]', "data.tokenizer=folder",
                                        "model.text_config.hidden_size=64", "training.seed=5", "task.num_labels=null"])
    assert experiment.data == DataSettings(image_size=384, datasets=("coco", "vg"), tokenizer="folder")
    assert experiment.model == {"text_config": {"hidden_size": 64}} and experiment.training == {"seed": 5}
    assert experiment.source == str(file)


@pytest.mark.parametrize("assignment, message", [
    ("data.image_size", "write section.key=value"),
    ("image_size=3", "write section.key=value"),
    ("data.image_size.x=3", "image_size is a value, not a section"),
    ("data.image_sizes=3", "did you mean 'image_size'?"),
])
def test_wrong_assignments(tmp_path: Path, assignment: str, message: str) -> None:
    file = write(tmp_path / "a.json", {"data": {"image_size": 288}})
    with pytest.raises(SettingsError, match=message.replace(".", r"\.").replace("?", r"\?")):
        load_experiment(file, [assignment])


def test_config_of_a_model(tmp_path: Path) -> None:
    BridgeTowerConfig().save_pretrained(str(tmp_path))
    experiment = load_experiment(tmp_path / "config.json", ["task.name=vqa"])
    assert experiment.task.name == "vqa" and experiment.model["model_type"] == "bridgetower"


@pytest.mark.parametrize("content", [b"{'a': 1}", b"", b"\xff\xfe", b"[1]"])
def test_no_object(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(SettingsError, match="a.json"):
        load_experiment(tmp_path / "a.json")


def test_missing_file(tmp_path: Path) -> None:
    write(tmp_path / "quickstart.json", {})
    with pytest.raises(FileNotFoundError, match="did you mean .*quickstart.json"):
        load_experiment(tmp_path / "quikstart.json")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                        st.sampled_from(["image_size", "datasets", "name", "learning_rate", "x"]), inner, max_size=3),
                    max_leaves=6),
       st.sampled_from(["data", "task", "optimization", "model", "training", "other"]))
def test_any_value_is_accepted_or_refused_with_a_settings_error(value: Any, section: str) -> None:
    try:
        parse_experiment({section: value})
    except SettingsError as error:
        assert section in str(error)
