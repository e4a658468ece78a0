"""The command line of the converter: statuses, what it prints, what it refuses."""

from __future__ import annotations

import json
import os
import shlex
import signal
from pathlib import Path

import pytest
import torch
from tqdm import tqdm

import torch2paddle
from bridgetower.verification import converter

from .conversion.checkpoints import lightning, tensors


@pytest.fixture
def ckpt(tmp_path: Path) -> Path:
    """A checkpoint of the original with a VQA head."""
    torch.save(lightning("vqa"), tmp_path / "vqa.ckpt")
    return tmp_path / "vqa.ckpt"


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_converts_beside_the_source(ckpt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert torch2paddle.main([str(ckpt)]) == 0
    assert _names(ckpt.parent) == {"vqa.ckpt", "vqa.ckpt.pdparams", "vqa.ckpt.config.json"}
    printed = capsys.readouterr()
    assert printed.err == ""
    assert f"-> {ckpt}.pdparams" in printed.out
    for part in ("text tower", "image tower", "cross-modal", "bridges", "heads", "all"):
        assert f"\n  {part} " in printed.out
    assert "dropped temperature: no contrastive head" in printed.out


def test_dry_run_writes_nothing(ckpt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert torch2paddle.main([str(ckpt), "--dry_run"]) == 0
    assert _names(ckpt.parent) == {"vqa.ckpt"}
    assert "dry run: nothing written" in capsys.readouterr().out


def test_verify(ckpt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert torch2paddle.main([str(ckpt), "--verify", "--image_size", "48"]) == 0
    printed = capsys.readouterr().out
    assert "largest difference of logits: " in printed and "is within the tolerance of 1e-04" in printed


def test_verify_above_the_tolerance(
    ckpt: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(converter, "TOLERANCE", 1e-12)
    assert torch2paddle.main([str(ckpt), "--verify"]) == 1
    assert "is ABOVE the tolerance" in capsys.readouterr().out


def test_verify_fails_on_outputs_that_are_no_numbers(ckpt: Path) -> None:
    content = lightning("vqa")
    content["state_dict"]["vqa_classifier.3.bias"][0] = float("nan")
    torch.save(content, ckpt)
    assert torch2paddle.main([str(ckpt), "--verify", "--allow_nonfinite"]) == 1


def test_termination_leaves_nothing(ckpt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tqdm, "update", lambda self, count: os.kill(os.getpid(), signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    assert torch2paddle.main([str(ckpt)]) == 130
    assert signal.getsignal(signal.SIGTERM) == before
    assert _names(ckpt.parent) == {"vqa.ckpt"}


def test_there_and_back(ckpt: Path) -> None:
    assert torch2paddle.main([str(ckpt), "--output", str(ckpt.parent / "model")]) == 0
    back = ckpt.parent / "back.ckpt"
    assert torch2paddle.main([str(ckpt.parent / "model"), "--reverse", "--output", str(back)]) == 0
    state = torch.load(back, weights_only=True)["state_dict"]
    name = "vqa_classifier.3.weight"
    assert state[name].numpy().tobytes() == tensors("vqa")[name].tobytes()


@pytest.mark.parametrize("arguments, message", [
    (["absent.ckpt"], "absent.ckpt: no such file or folder"),
    (["{ckpt}", "--image_size", "50"], "image_size=50 is not a multiple of patch_size=4; try 48"),
    (["{ckpt}", "--towers", "absent.json"], "absent.json"),
    (["{ckpt}", "--reverse"], "--reverse takes weights of this project"),
    (["{ckpt}", "--output", "/proc/nowhere/x.pdparams"], "/proc/nowhere"),
    (["{text}"], "not a torch, safetensors or Paddle file"),
])  # fmt: skip
def test_unusable_input_is_status_2_and_one_line(
    arguments: list[str], message: str, ckpt: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (ckpt.parent / "notes.txt").write_text("no weights here")
    before = _names(ckpt.parent)
    filled = [part.format(ckpt=ckpt, text=ckpt.parent / "notes.txt") for part in arguments]
    assert torch2paddle.main(filled) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and error.startswith("torch2paddle.py: error: ")
    assert _names(ckpt.parent) == before


@pytest.mark.parametrize("arguments, message", [
    ([], "required: source"),
    (["x", "--format", "ckpt"], "--format ckpt is for the way to torch"),
    (["x", "--format", "pdparams", "--reverse"], "--format pdparams is for the way from torch"),
    (["x", "--head", "mlm"], "--head is only for --reverse"),
    (["x", "--verify", "--dry_run"], "drop --dry_run or --reverse"),
    (["x", "--format", "onnx"], "invalid choice: 'onnx'"),
    (["x", "--image_size", "big"], "'big' is not a whole number between 1 and 4096"),
])  # fmt: skip
def test_options_that_contradict(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        torch2paddle.main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_help_says_where_checkpoints_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        torch2paddle.main(["--help"])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    assert "huggingface.co/LooperXX/BridgeTower" in printed and "huggingface.co/BridgeTower." in printed


EXAMPLES = [line.strip() for line in torch2paddle.EXAMPLES.splitlines() if line.strip().startswith("python ")]


@pytest.mark.parametrize("line", EXAMPLES)
def test_examples_of_the_help_are_valid(line: str) -> None:
    program, script, *arguments = shlex.split(line)
    assert (program, script) == ("python", "torch2paddle.py")
    assert torch2paddle.parse_arguments(arguments).source


def test_hub_name_becomes_a_folder_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    from .conversion.checkpoints import write_port_folder

    cache = write_port_folder(tmp_path / "cache" / "snapshot")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(cache))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert torch2paddle.main(["BridgeTower/bridgetower-base"]) == 0
    assert _names(tmp_path / "here" / "bridgetower-base-paddle") == {"config.json", "model_state.pdparams"}
    assert json.loads((tmp_path / "here" / "bridgetower-base-paddle" / "config.json").read_text())["model_type"]


def test_offline_hub_name(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert torch2paddle.main(["BridgeTower/absent-model"]) == 2
    assert "not downloaded from the Hugging Face hub" in capsys.readouterr().err
