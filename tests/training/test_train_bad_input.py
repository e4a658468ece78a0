"""What `train.py` says to bad input: exit status 2 and one line that names the place, the value and what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paddle
import pytest

import train
from bridgetower.preparation.train_tokenizer import save_tokenizer, train_tokenizer
from bridgetower.training.checkpoints import write_manifest
from tests.miniature import MODEL, write_experiment

VQA = {"name": "vqa"}
pytestmark = pytest.mark.usefixtures("untuned")


@pytest.fixture
def complaint(mini: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
              monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """complaint(task=..., flags=[...], **settings): the one line that a run ends with, which never starts to train."""
    from trainer_util import BridgeTowerTrainer

    monkeypatch.setattr(BridgeTowerTrainer, "train", lambda *_, **__: pytest.fail("the training started"))

    def run(task: dict[str, Any] = VQA, flags: tuple[str, ...] = (), data_root: Path | None = None,
            do: tuple[str, ...] = ("--do_train", "--do_eval"), config: Path | None = None, **settings: Any) -> str:
        config = config or write_experiment(mini, tmp_path.name, task, **settings)
        status = train.main(["--config_name", str(config), "--output_dir", str(tmp_path / "out"), "--data_root",
                             str(data_root or mini / "data"), *do, *flags])
        lines = capsys.readouterr().err.splitlines()
        message = [line for line in lines if line.startswith("train.py: error: ")]
        assert status == 2 and len(message) == 1 and "Traceback" not in "".join(lines)
        return message[0].removeprefix("train.py: error: ")

    return run


@pytest.mark.parametrize("settings, expected", [
    (dict(data={"image_sise": 32}), ["data has no setting 'image_sise'", "did you mean 'image_size'?"]),
    (dict(data={"image_size": "32"}), ["data.image_size='32' is str, expected int"]),
    (dict(data={"image_size": 40}), ["image_size=40", "patch_size=16", "try 32"]),
    (dict(data={"datasets": ["easy_vqq"]}), ["easy_vqq", "did you mean 'easy_vqa'?"]),
    (dict(data={"tokenizer": "nowhere/tokenizer"}), ["nowhere/tokenizer", "no tokenizer: expected tokenizer.json"]),
    (dict(data={"train_transform": "klip"}), ["klip", "did you mean 'clip'?"]),
    (dict(data={"eval_transform": "clip_randaug"}), ["data.eval_transform", "'clip_randaug' is random", "'clip'"]),
    (dict(data={"padding": "shortest"}), ["padding='shortest'", "longest"]),
    (dict(task={"name": "vqaa"}), ["task.name='vqaa' is unknown", "did you mean 'vqa'?"]),
    (dict(task={"name": "pretrain", "objectives": ["mlm", "itn"]}), ["itn", "itm"]),
    (dict(task={"name": "pretrain", "objectives": []}), ["objectives", "mlm"]),
    (dict(model={**MODEL, "hidden_sise": 64}), ["hidden_sise", "hidden_size"]),
    (dict(model={**MODEL, "num_attention_heads": 3}), ["64", "3"]),
    (dict(model={**MODEL, "num_labels": 9}), ["model.num_labels=9", "the task has 6 answers", "leave it out"]),
    (dict(weight_decai=0.1), ["training has no setting 'weight_decai'", "did you mean 'weight_decay'?"]),
    (dict(weight_decay="much"), ["training.weight_decay='much'", "invalid float"]),
    (dict(save_strategy="sometimes"), ["training.save_strategy='sometimes'", "epoch"]),
    (dict(flags=("--weight_decai", "0.1")), ["--weight_decai is no flag", "did you mean 'weight_decay'?"]),
    (dict(flags=("--num_train_epochs", "three")), ["--num_train_epochs", "'three'"]),
    (dict(flags=("--batch_size", "20")), ["--batch_size 20 is not a multiple", "8 x 1 devices = 8", "use 16"]),
    (dict(flags=("--per_device_train_batch_size", "0")), ["--per_device_train_batch_size 0", "must be positive"]),
    (dict(flags=("--set", "image_size=32")), ["--set 'image_size=32'", "section.key=value"]),
    (dict(flags=("--set", "data.image_sise=32")), ["data has no setting 'image_sise'"]),
    (dict(task={"name": "pretrain"}, do=("--do_train", "--do_predict")), ["--do_predict", "'pretrain'", "vqa"]),
    (dict(lr_end=0.01), ["--lr_end 0.01 is not between 0 and the rate of the towers, 0.003", "--lr_end 0"]),
    (dict(flags=("--learning_rate", "0")), ["--lr_end 1e-07", "rate of the towers, 0 (", "constant"]),
    (dict(do=()), ["nothing to do", "--do_train"]),
    (dict(do=("--do_eval",)), ["--checkpoint_path is missing", "--do_train"]),
    (dict(flags=("--checkpoint_path", "nowhere.ckpt")), ["nowhere.ckpt"]),
    (dict(flags=("--resume_from_checkpoint", "last")), ["--resume_from_checkpoint last", "no checkpoint"]),
    (dict(flags=("--resume_from_checkpoint", "last", "--checkpoint_path", "x"), do=("--do_eval",)),
     ["--resume_from_checkpoint last", "--do_train is missing"]),
    (dict(flags=("--dataloader_drop_last", "true", "--batch_size", "64", "--per_device_train_batch_size", "64")),
     ["--dataloader_drop_last drops everything", "36 samples", "64 of an update"]),
    (dict(model={}), ["50265", "use the tokenizer that the tower was trained with"]),
], ids=lambda value: "_".join(map(str, value)) if isinstance(value, dict) else "")
def test_settings(complaint: Callable[..., str], settings: dict[str, Any], expected: list[str]) -> None:
    message = complaint(**settings)
    assert all(part in message for part in expected), message


@pytest.mark.parametrize("below", ["", "/run"])
def test_an_output_folder_that_is_a_file(complaint: Callable[..., str], tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    message = complaint(flags=("--output_dir", f"{tmp_path / 'file'}{below}"))
    assert message == f"{tmp_path / 'file'} is a file; name a folder for the output"


def test_experiment_file(complaint: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "quickstart.json").write_text("{'model': 1}")
    assert "quickstart.json is not valid JSON" in complaint(config=tmp_path / "quickstart.json")
    message = complaint(config=tmp_path / "quickstrat.json")
    assert "does not exist" in message and f"did you mean {tmp_path / 'quickstart.json'}?" in message


def test_missing_table(complaint: Callable[..., str], mini: Path, tmp_path: Path) -> None:
    shutil.copytree(mini / "data", tmp_path / "data")
    (tmp_path / "data" / "easy_vqa_train.arrow").unlink()
    message = complaint(data_root=tmp_path / "data")
    assert str(tmp_path / "data") in message and "easy_vqa_train" in message
    assert "python -m bridgetower.preparation easy_vqa" in message


def save_model(folder: Path, **changes: Any) -> Path:
    from bridgetower import BridgeTowerConfig, BridgeTowerForQuestionAnswering

    text = {**MODEL["text_config"], "vocab_size": 300, **changes.pop("text_config", {})}
    vision = {**MODEL["vision_config"], "image_size": 32}
    settings = {**MODEL, "text_config": text, "vision_config": vision, "num_labels": 6, **changes}
    BridgeTowerForQuestionAnswering(BridgeTowerConfig.from_settings(settings)).save_pretrained(str(folder))
    return folder


def test_checkpoints_that_do_not_fit(complaint: Callable[..., str], mini: Path, tmp_path: Path) -> None:
    deeper = save_model(tmp_path / "deeper", num_hidden_layers=1)
    message = complaint(flags=("--checkpoint_path", str(deeper)))
    assert str(deeper) in message and "missing in the file: bridgetower.cross_modal_image_layers.1" in message
    words = save_model(tmp_path / "words", text_config={"vocab_size": 500})
    message = complaint(flags=("--checkpoint_path", str(words)))
    assert "word_embeddings.weight is (500, 64) in the file" in message and "vocabulary" in message
    message = complaint(flags=("--checkpoint_path", str(words)), model={})
    assert "500" in message and "use the tokenizer that the tower was trained with" in message
    answers = save_model(tmp_path / "answers", num_labels=9)
    message = complaint(flags=("--checkpoint_path", str(answers)))
    assert "has a classifier for other answers or classes" in message and "add --new_classifier" in message
    # A new head is fine when it is trained, but not when it is evaluated.
    weights = paddle.load(str(save_model(tmp_path / "headless") / "model_state.pdparams"))
    headless = {name: value for name, value in weights.items() if not name.startswith("classifier.")}
    paddle.save(headless, str(tmp_path / "headless" / "model_state.pdparams"))
    message = complaint(flags=("--checkpoint_path", str(tmp_path / "headless")), do=("--do_eval",))
    assert "missing in the file: classifier." in message
    (tmp_path / "headless" / "model_state.pdparams").write_bytes(b"\x80\x02broken")
    assert "headless" in complaint(flags=("--checkpoint_path", str(tmp_path / "headless")))


def test_another_tokenizer(complaint: Callable[..., str], tmp_path: Path) -> None:
    save_tokenizer(train_tokenizer(["a b c d"] * 9, 262), tmp_path / "other")
    message = complaint(model={**MODEL, "text_config": {**MODEL["text_config"], "vocab_size": 999}},
                        data={"tokenizer": str(tmp_path / "other")})
    assert str(tmp_path / "other") in message and "999" in message


def test_output_folder_of_an_earlier_run(complaint: Callable[..., str], tmp_path: Path) -> None:
    checkpoint = tmp_path / "out" / "checkpoint-7"
    checkpoint.mkdir(parents=True)
    assert "no checkpoint" in complaint(flags=("--resume_from_checkpoint", "last"))  # it is not complete
    assert "lacks model_state.pdparams" in complaint(flags=("--resume_from_checkpoint", str(checkpoint)))
    save_model(checkpoint, num_hidden_layers=1)
    for name in ("optimizer.pdopt", "scheduler.pdparams"):
        paddle.save({"a": paddle.zeros([1])}, str(checkpoint / name))
    (checkpoint / "trainer_state.json").write_text(json.dumps({"global_step": 7}))
    write_manifest(checkpoint, 8)
    message = complaint()
    assert "checkpoint-7" in message and "--resume_from_checkpoint last" in message
    message = complaint(flags=("--resume_from_checkpoint", "last"))
    assert str(checkpoint) in message and "missing in the file" in message
    (checkpoint / "trainer_state.json").write_text("{}")
    write_manifest(checkpoint, 8)
    assert "trainer_state.json has no global_step" in complaint(flags=("--resume_from_checkpoint", "last"))


@pytest.mark.parametrize("flags, settings, expected", [
    (("--per_device_train_batch_size", "65536"), {}, ["--per_device_train_batch_size", "smaller data.image_size",
                                                      "for each of 65536 samples", "cpu has 2.0 GB in all"]),
    (("--per_device_train_batch_size", "65536", "--recompute"), {}, ["takes", "GB or more"]),
    (("--per_device_train_batch_size", "64"), dict(data={"image_size": 2048}), ["samples of 2048 pixels"]),
    ((), dict(model={**MODEL, "hidden_size": 4096, "intermediate_size": 16384}),
     ["million parameters", "smaller model"]),
])
def test_what_no_device_here_could_hold(complaint: Callable[..., str], monkeypatch: pytest.MonkeyPatch,
                                        flags: tuple[str, ...], settings: dict[str, Any], expected: list[str]) -> None:
    from bridgetower.training import fitting

    monkeypatch.setattr(fitting, "device_memory", lambda device: 2 * 10**9)
    message = complaint(flags=flags, do=("--do_train",), **settings)
    assert all(part in message for part in expected), message
