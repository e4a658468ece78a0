"""The batch per device, for any number of devices."""

from __future__ import annotations

import json
from pathlib import Path

import paddle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridgetower.experiment import SettingsError
from bridgetower.training.arguments import BridgeTowerTrainingArguments, device_batch, parse_arguments


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


def parse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, training: dict[str, int], devices: int, *words: str
          ) -> BridgeTowerTrainingArguments:
    """The arguments in one of several processes, all of which have one device."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"training": training}))
    monkeypatch.setattr(BridgeTowerTrainingArguments, "world_size", devices)
    monkeypatch.setattr(paddle.distributed, "get_world_size", lambda: devices)
    return parse_arguments(["--config_name", str(config), "--output_dir", str(tmp_path), "--do_train", "--device",
                            "cpu", "--fit_device_batch", "true", *words])[0]


@pytest.mark.parametrize(("words", "expected"), [
    ([], 4), (["--batch_size", "12"], 6), (["--per_device_train_batch_size", "2"], 2),
    (["--per_device_train_batch_size=2"], 2),
    (["--set", "training.batch_size=20", "--lr_end", "0", "--set", "training.per_device_train_batch_size=3"], 2)])
def test_the_named_batch_is_the_largest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str],
                                              expected: int) -> None:
    args = parse(tmp_path, monkeypatch, {"batch_size": 8, "per_device_train_batch_size": 7}, 2, *words)
    assert args.per_device_train_batch_size == expected
    assert args.gradient_accumulation_steps * expected * 2 == args.batch_size


def test_without_a_total_the_devices_take_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    args = parse(tmp_path, monkeypatch, {"per_device_train_batch_size": 7}, 3)
    assert (args.per_device_train_batch_size, args.gradient_accumulation_steps) == (7, 1)


@pytest.mark.parametrize(("devices", "words", "message"), [
    (3, [], "use 2 of them, or --batch_size 9"),
    (1, ["--batch_size", "-4"], "--batch_size -4 is not a multiple"),
    (2, ["--per_device_train_batch_size", "3", "--fit_device_batch", "false"], "3 x 2 devices = 6; use 6"),
    (1, ["--set", "trainin.x=1"], "did you mean 'training'"),
])
def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, devices: int, words: list[str], message: str
                  ) -> None:
    with pytest.raises(SettingsError, match=message):
        parse(tmp_path, monkeypatch, {"batch_size": 8}, devices, *words)
