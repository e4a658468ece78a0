"""Files that try to run code: no side effect, exit status 2, one line, no output."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import torch2paddle
from tests.conversion.checkpoints import lightning

Attack = Callable[[Path], tuple[Any, ...]]


class _Exploit:
    """Pickles as a call that creates `marker`, if anybody makes it."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


ATTACKS: dict[str, Attack] = {
    "os.system": lambda marker: (os.system, f"touch {marker}"),
    "eval": lambda marker: (eval, f"open({str(marker)!r}, 'w')"),
    "exec": lambda marker: (exec, f"open({str(marker)!r}, 'w')"),
    "open": lambda marker: (open, str(marker), "w"),
    "getattr": lambda marker: (getattr, "text", "upper"),
    "mkdir": lambda marker: (os.mkdir, str(marker)),
    "torch.load": lambda marker: (torch.load, str(marker)),
    "Path.touch": lambda marker: (Path.touch, Path(marker)),
}


def _inside_tensor(content: dict[str, Any], exploit: Any) -> Any:
    content["state_dict"]["cross_modal_text_transform.bias"] = exploit
    return content


def _beside_tensors(content: dict[str, Any], exploit: Any) -> Any:
    content["state_dict"]["zz"] = {"deeper": [exploit]}
    return content


def _whole_state(content: dict[str, Any], exploit: Any) -> Any:
    content["state_dict"] = exploit
    return content


PLACES = {"a tensor": _inside_tensor, "nested in the state": _beside_tensors, "the state": _whole_state,
          "everything": lambda content, exploit: exploit}  # fmt: skip


def _save(content: Any, container: str, path: Path) -> None:
    if container == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=container == "zip")


def _refused(path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    before = set(path.parent.iterdir())
    assert torch2paddle.main([str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and str(path) in captured.err
    assert captured.out == ""
    assert set(path.parent.iterdir()) == before
    return captured.err


@pytest.mark.parametrize("container", ["zip", "legacy", "pickle"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_in_a_file_runs(
    attack: str, place: str, container: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marker = tmp_path / "outside" / "marker"
    marker.parent.mkdir()
    exploit = _Exploit(*ATTACKS[attack](marker))
    folder = tmp_path / "in"
    folder.mkdir()
    _save(PLACES[place](lightning("vqa"), exploit), container, folder / "x.ckpt")
    _refused(folder / "x.ckpt", capsys)
    assert not marker.exists()


@pytest.mark.parametrize("container", ["zip", "legacy"])
@pytest.mark.parametrize("key", ["callbacks", "hyper_parameters", "optimizer_states"])
def test_known_attacks_outside_the_weights_are_refused_too(
    key: str, container: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = lightning("vqa") | {key: _Exploit(os.system, f"touch {tmp_path / 'marker'}")}
    _save(content, container, tmp_path / "x.ckpt")
    assert "system; nothing was run, do not trust it" in _refused(tmp_path / "x.ckpt", capsys)


def test_modules_named_by_a_file_are_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = tmp_path / "marker"
    (tmp_path / "trap_module.py").write_text(f"open({str(marker)!r}, 'w')\nclass Thing: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import trap_module  # type: ignore[import-not-found]

    torch.save(lightning("vqa") | {"callbacks": {trap_module.Thing: trap_module.Thing()}}, tmp_path / "x.ckpt")
    del sys.modules["trap_module"]
    marker.unlink()
    assert torch2paddle.main([str(tmp_path / "x.ckpt"), "--dry_run"]) == 0
    assert "trap_module" not in sys.modules and not marker.exists()


def test_paddle_weights_are_held_to_the_same_rule(tmp_path: Path) -> None:
    from bridgetower.conversion import CheckpointError, load_weights

    marker = tmp_path / "marker"
    exploit = _Exploit(os.system, f"touch {marker}")
    (tmp_path / "model_state.pdparams").write_bytes(pickle.dumps({"text_tower.a": exploit}))
    with pytest.raises(CheckpointError, match="nothing was run"):
        load_weights(tmp_path)
    assert not marker.exists()


def test_torch_is_not_imported_by_a_conversion(original_ckpt: Path, tmp_path: Path) -> None:
    import subprocess

    code = (
        "import sys, torch2paddle\n"
        f"status = torch2paddle.main([{str(original_ckpt)!r}, '--output', {str(tmp_path / 'x.pdparams')!r}])\n"
        "loaded = [name for name in ('torch', 'transformers', 'paddle', 'pickle5') if name in sys.modules]\n"
        "sys.exit(f'imported {loaded}' if loaded else status)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=240)
