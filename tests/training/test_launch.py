"""The batch of a device, for any number of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridgetower.experiment import SettingsError
from bridgetower.training.launch import device_batch, main


@pytest.mark.parametrize(("total", "largest", "devices", "expected"), [
    (64, 8, 8, 8), (64, 8, 16, 4), (64, 8, 1, 8), (4096, 32, 64, 32), (4096, 16, 16, 16), (512, 4, 128, 4),
    (512, 16, 512, 1), (30, 8, 2, 5), (7, 4, 1, 1)])
def test_batches(total: int, largest: int, devices: int, expected: int) -> None:
    assert device_batch(total, largest, devices) == expected


@given(st.integers(1, 5000), st.integers(1, 64), st.integers(1, 200))
def test_a_batch_is_the_largest_that_fits(total: int, largest: int, devices: int) -> None:
    if total % devices:
        with pytest.raises(SettingsError, match=f"{devices} devices cannot share a batch of {total} "):
            device_batch(total, largest, devices)
        return
    batch = device_batch(total, largest, devices)
    assert 1 <= batch <= largest and total % (batch * devices) == 0
    assert not any(total % (other * devices) == 0 for other in range(batch + 1, largest + 1))


@pytest.mark.parametrize(("words", "printed"), [
    ([], "4"), (["--batch_size", "12"], "6"), (["--do_train", "--per_device_train_batch_size", "2"], "2"),
    (["--set", "training.batch_size=20", "--lr_end", "0", "--set", "training.per_device_train_batch_size=3"], "2")])
def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], printed: str) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"training": {"batch_size": 8, "per_device_train_batch_size": 7}}))
    assert main([str(config), "2", *words]) == 0
    assert capsys.readouterr().out == f"{printed}\n"


def test_without_a_total_the_devices_take_theirs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"training": {"per_device_train_batch_size": 7}}))
    assert main([str(config), "3"]) == 0
    assert capsys.readouterr().out == "7\n"


@pytest.mark.parametrize(("config", "words", "message"), [
    ("missing.json", ["1"], "missing.json does not exist"),
    ("config.json", ["3"], "use 2 of them, or --batch_size 9"),
    ("config.json", ["1", "--batch_size", "-4"], "negative"),
    ("config.json", ["1", "--set", "trainin.x=1"], "did you mean 'training'"),
])
def test_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str], config: str, words: list[str],
                  message: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"training": {"batch_size": 8}}))
    assert main([str(tmp_path / config), *words]) == 2
    assert message in capsys.readouterr().err
