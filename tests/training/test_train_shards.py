"""Pre-training on tar shards from the command line, on a miniature."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.miniature import COLOURS, encoded_picture, write_experiment
from tests.preparation.own_data.pictures import write_tar
from tests.training.test_train import resume_and_compare, run

pytestmark = pytest.mark.usefixtures("untuned")
PRETRAIN = {"name": "pretrain", "objectives": ["mlm", "itm"]}


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """The folder of three shards of eight samples, one of which has a broken picture and another one no caption."""
    for shard in range(3):
        members = []
        for number in range(8 * shard, 8 * shard + 8):
            colour, image = encoded_picture(number)
            members += [(f"{number:05}.png", image if number else b"broken"),
                        (f"{number:05}.json", json.dumps({"caption": f"a {colour} square"}).encode())]
        write_tar(tmp_path / f"{shard:03}.tar", [*members, ("lonely.png", b"x")])
    return tmp_path


def test_training_and_resuming_in_the_middle_of_an_epoch(mini: Path, shards: Path, tmp_path: Path, caplog: Any) -> None:
    config = write_experiment(mini, tmp_path.name, PRETRAIN, max_steps=4,
                              data={"datasets": ["{000..002}.tar"], "shuffle_buffer": 10})
    resume_and_compare(lambda config, output, *flags: run(config, output, *flags, data=shards), config,
                       tmp_path / "out", 2)
    assert "002.tar: 1 of 9 samples are left out: lonely (no caption)" in caplog.text
    assert "000.tar member 00000.png, column image: unreadable image" in caplog.text
    assert json.loads((tmp_path / "out/train_results.json").read_text())["skipped_images"] == 1
    assert len(COLOURS) == 4 and sorted(path.name for path in shards.glob("*.index")) == [
        "000.tar.index", "001.tar.index", "002.tar.index"]


def test_what_is_missing_is_said(mini: Path, shards: Path, tmp_path: Path, capsys: Any) -> None:
    config = write_experiment(mini, tmp_path.name, PRETRAIN, max_steps=1, data={"datasets": ["{000..003}.tar"]})
    assert run(config, tmp_path / "out", "--do_train", data=shards) == 2
    assert f"1 of the 4 tar shards of {{000..003}}.tar are missing: {shards}/003.tar;" in capsys.readouterr().err
    shards_only = ("--set", 'data.datasets=["*.tar"]')
    assert run(config, tmp_path / "out", "--do_train", "--do_eval", *shards_only, data=shards) == 2
    assert "the val split of *.tar is empty" in capsys.readouterr().err
    vqa = write_experiment(mini, f"{tmp_path.name}_vqa", {"name": "vqa"}, max_steps=1, data={"datasets": ["*.tar"]})
    assert run(vqa, tmp_path / "out", "--do_train", data=shards) == 2
    assert "'*.tar', which holds caption samples" in capsys.readouterr().err
