"""How pictures are read: the command line before own tables, own tables before the checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import train
from bridgetower import BridgeTowerImageProcessor
from bridgetower.datasets import DatasetOptions, build_dataset
from bridgetower.experiment import Experiment, SettingsError, parse_experiment
from bridgetower.export.companions import find_processor
from bridgetower.tasks import get_task
from bridgetower.training.build import build_processor
from bridgetower.training.checkpoint_settings import with_checkpoint_settings, with_table_settings
from tests.miniature import MODEL, write_experiment
from tests.preparation.own_data.pictures import make


def experiment(**data: Any) -> Experiment:
    return parse_experiment({"data": {"datasets": ["mine", "yours", "coco"], "image_size": 32, **data},
                             "task": {"name": "cifar"}})


def describe(folder: Path, name: str, **settings: Any) -> None:
    (folder / f"{name}.json").write_text(json.dumps({"format": "bridgetower.tables/1", "name": name, **settings}))


def resolved(folder: Path, **data: Any) -> tuple[str, bool]:
    """What the saved processor of a run over the data sets says."""
    given = with_checkpoint_settings(with_table_settings(experiment(**data), str(folder)), str(folder))
    processor = build_processor(given, get_task(given.task), None)
    assert isinstance(processor, BridgeTowerImageProcessor)
    return processor.scale_16bit, processor.apply_exif


def test_the_order(tmp_path: Path) -> None:
    assert resolved(tmp_path) == ("full", False)
    processor = BridgeTowerImageProcessor.for_transform("clip", 32, scale_16bit="minmax", apply_exif=True)
    processor.save_pretrained(tmp_path)
    assert resolved(tmp_path) == ("minmax", True)
    describe(tmp_path, "mine", scale_16bit="percentile", apply_exif=False)
    describe(tmp_path, "yours")  # of an earlier version
    assert resolved(tmp_path) == ("percentile", False)
    assert resolved(tmp_path, scale_16bit="full", apply_exif=True) == ("full", True)


def test_data_sets_that_differ_need_a_decision(tmp_path: Path) -> None:
    describe(tmp_path, "mine", scale_16bit="percentile", apply_exif=False)
    describe(tmp_path, "yours", scale_16bit="full", apply_exif=False)
    with pytest.raises(SettingsError, match=r"different --scale_16bit \(mine: percentile, yours: full\); decide with "
                                            '--set data.scale_16bit=percentile'):
        resolved(tmp_path)
    assert resolved(tmp_path, scale_16bit="minmax") == ("minmax", False)


def test_an_unknown_rule(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="data.scale_16bit='fll' is unknown; did you mean 'full'"):
        resolved(tmp_path, scale_16bit="fll")


@pytest.mark.slow
@pytest.mark.usefixtures("untuned")
def test_from_files_of_16_bits_to_the_model(mini: Path, tmp_path: Path) -> None:
    """Tables, training and the processor of the trained model read the files alike."""
    for number in range(12):
        folder = tmp_path / "in" / ("dark", "bright")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(number).integers(900, 1000 + 2000 * (number % 2), (40, 40), dtype=np.uint16)
        Image.fromarray(values).save(folder / f"{number}.png")
    tables = tmp_path / "data"
    assert make(tmp_path / "in", "classify", tables, "--test_share", 0, "--scale_16bit", "percentile") == 0
    vision = {**MODEL["vision_config"], "num_channels": 1}
    config = write_experiment(mini, "deep", {"name": "classify"}, {**MODEL, "vision_config": vision},
                              {"datasets": ["mine"]})
    assert train.main(["--config_name", str(config), "--output_dir", str(tmp_path / "out"), "--data_root",
                       str(tables), "--do_train", "--max_steps", "1"]) == 0
    processor = find_processor(tmp_path / "out", None, 32, num_channels=1)
    assert processor.scale_16bit == "percentile"
    dataset = build_dataset(["mine"], "train", tables, DatasetOptions(32, "clip", mode="image_only", num_channels=1))
    path = next((tmp_path / "in").rglob(str(dataset.record(0).identifier)))
    np.testing.assert_array_equal(processor(path, "np")["pixel_values"][0], dataset[0].pixel_values)
