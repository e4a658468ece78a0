"""`train.py` from the command line to its files, on a miniature."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from paddle.utils import unique_name

import train
from bridgetower import BridgeTowerForPreTraining, BridgeTowerForQuestionAnswering, BridgeTowerProcessor
from bridgetower.inputs.tokenizer import BridgeTowerTokenizer
from bridgetower.training.trainer import BridgeTowerTrainer
from tests.miniature import ANSWERS, MODEL, NUM_TEST, picture, write_experiment, write_tables

ROOT = Path(train.__file__).parent
VQA = {"name": "vqa"}
DROPOUT = {**MODEL, "hidden_dropout_prob": 0.2,
           "text_config": {**MODEL["text_config"], "hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.2}}
pytestmark = pytest.mark.usefixtures("untuned")


@pytest.fixture
def experiment(mini: Path, tmp_path: Path) -> Callable[..., Path]:
    """experiment(task, **settings): a file in the miniature's folder that belongs to this test."""
    return lambda task, **settings: write_experiment(mini, tmp_path.name, task, **settings)


def run(config: Path, output: Path, *flags: str, data: Path | None = None) -> int:
    with unique_name.guard():  # parameters are named as in a process of its own
        return train.main(["--config_name", str(config), "--output_dir", str(output), "--data_root",
                           str(data or config.parent / "data"), *flags])


def run_process(python: Path, config: Path, output: Path, *flags: str, data: Path | None = None
                ) -> subprocess.CompletedProcess[str]:
    """A process of its own, which loader processes need: they are forked, and pytest has threads."""
    command = [python, ROOT / "train.py", "--config_name", config, "--output_dir", output, "--data_root",
               data or config.parent / "data", *flags]
    return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=120, check=False)


def logged(output: Path, key: str) -> list[float]:
    lines = (output / "metrics.jsonl").read_text().splitlines()
    return [line[key] for line in map(json.loads, lines) if key in line]


def weights(folder: Path) -> dict[str, np.ndarray]:
    return paddle.load(str(folder / "model_state.pdparams"), return_numpy=True)


def assert_same_weights(left: Path, right: Path, atol: float = 1e-6) -> None:
    ours, theirs = weights(left), weights(right)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_allclose(value, theirs[name], rtol=0, atol=atol, err_msg=name)


def answers(output: Path) -> list[dict[str, Any]]:
    return json.loads((output / "vqa_submit.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("objectives", [["mlm", "itm"], ["mlm", "itm", "itc"], ["mlm", "itm_itc"]], ids="+".join)
def test_pretraining_learns(experiment: Any, tmp_path: Path, objectives: list[str]) -> None:
    config = experiment({"name": "pretrain", "objectives": objectives}, num_train_epochs=6)
    assert run(config, tmp_path / "out", "--do_train", "--do_eval", "--evaluation_strategy", "epoch") == 0
    losses = logged(tmp_path / "out", "loss")
    assert len(losses) == 18 and np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])
    parts = {"mlm_loss", *({"itm_loss"} if objectives != ["mlm"] else ()),
             *({"itc_loss"} if {"itc", "itm_itc"} & {*objectives} else ())}
    last = json.loads((tmp_path / "out" / "metrics.jsonl").read_text().splitlines()[0])
    assert parts <= {*last} and last["loss"] == pytest.approx(sum(last[part] for part in parts), rel=1e-5)
    assert all(logged(tmp_path / "out", f"eval_{part}") for part in parts)
    assert BridgeTowerForPreTraining.from_pretrained(tmp_path / "out").objectives == {*objectives}


@pytest.mark.slow
def test_question_answering_from_pretraining(experiment: Any, mini: Path, tmp_path: Path) -> None:
    """Pre-train, fine-tune from it, evaluate and predict; then the same from the best checkpoint alone."""
    pretraining = write_experiment(mini, "pretrain", {"name": "pretrain", "objectives": ["mlm", "itm"]}, max_steps=2)
    assert run(pretraining, tmp_path / "pre", "--do_train") == 0
    config, out = experiment(VQA, num_train_epochs=8), tmp_path / "vqa"
    assert run(config, out, "--checkpoint_path", str(tmp_path / "pre"), "--do_train", "--do_eval", "--do_predict",
               "--evaluation_strategy", "epoch", "--save_strategy", "epoch", "--save_total_limit", "2",
               "--load_best_model_at_end") == 0
    start, losses = weights(tmp_path / "pre"), logged(out, "loss")
    assert len(losses) == 40 and np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])

    scores = logged(out, "eval_vqa_score")[:8]
    state = json.loads((out / "trainer_state.json").read_text())
    best = Path(state["best_model_checkpoint"])
    assert state["best_metric"] == max(scores) and int(best.name.split("-")[1]) == 5 * (1 + int(np.argmax(scores)))
    kept = {folder.name for folder in out.glob("checkpoint-*")}
    assert best.name in kept and "checkpoint-40" in kept and len(kept) <= 2
    assert_same_weights(out, best)
    assert any(not np.allclose(value, start[name]) for name, value in weights(out).items() if name in start)
    assert list(out.glob("runs/*/vdlrecords*"))  # VisualDL
    assert json.loads((out / "training_args.json").read_text())["save_total_limit"] == 2
    assert json.loads((out / "experiment.json").read_text())["task"]["name"] == "vqa"

    assert [row["question_id"] for row in answers(out)] == [10 * n + k for n in range(NUM_TEST) for k in range(3)]
    BridgeTowerTokenizer.from_pretrained(best)
    model = BridgeTowerForQuestionAnswering.from_pretrained(best)
    assert model.config.num_labels == 6 and list(model.config.id2label.values()) == ANSWERS
    processor = BridgeTowerProcessor.from_pretrained(best)
    inputs = processor([picture(number) for number in range(NUM_TEST)], ["what color is the square?"] * NUM_TEST, "pd")
    found = model(**inputs).logits.argmax(axis=-1).tolist()
    assert [model.config.id2label[index] for index in found] == [row["answer"] for row in answers(out)[::3]]
    written = out / "experiment.json"  # an experiment file as well
    assert run(written, tmp_path / "alone", "--checkpoint_path", str(best), "--do_eval", "--do_predict",
               data=mini / "data") == 0
    assert answers(tmp_path / "alone") == answers(out)
    assert logged(tmp_path / "alone", "eval_vqa_loss")[-1] == pytest.approx(logged(out, "eval_vqa_loss")[-1])
    assert max(scores) == pytest.approx(logged(tmp_path / "alone", "eval_vqa_score")[-1])


def test_the_last_evaluation_is_made_once(experiment: Any, tmp_path: Path) -> None:
    """Of a training that ends with an evaluation, by epochs or by steps that fit; what follows is none of its own."""
    config = experiment(VQA, num_train_epochs=1)
    for name, flags, evaluations in (("fits", ("epoch",), 1), ("not", ("steps", "--eval_steps", "2"), 3),
                                     ("never", ("no",), 1)):
        out = tmp_path / name
        assert run(config, out, "--do_train", "--do_eval", "--evaluation_strategy", *flags) == 0
        scores = logged(out, "eval_vqa_score")
        assert len(scores) == evaluations
        assert json.loads((out / "eval_results.json").read_text())["eval_vqa_score"] == scores[-1]


def test_prediction_needs_the_test_table_only(experiment: Any, mini: Path, trained: Path, tmp_path: Path, capsys: Any
                                              ) -> None:
    """The checkpoint names its answers; one that was converted without them takes those of the training tables."""
    (tmp_path / "data").mkdir()
    shutil.copy(mini / "data/easy_vqa_test.arrow", tmp_path / "data")
    flags = ("--do_predict", "--checkpoint_path")
    config = experiment(VQA | {"num_labels": 3129})  # as the original's file says, whatever the checkpoint has
    assert run(config, tmp_path / "alone", *flags, str(trained), data=tmp_path / "data") == 0
    assert {row["answer"] for row in answers(tmp_path / "alone")} <= set(ANSWERS)
    unnamed = shutil.copytree(trained, tmp_path / "unnamed")
    stored = json.loads((unnamed / "config.json").read_text())
    (unnamed / "config.json").write_text(json.dumps(stored | {"id2label": {n: f"LABEL_{n}" for n in range(6)}}))
    assert run(experiment(VQA), tmp_path / "no", *flags, str(unnamed), data=tmp_path / "data") == 2
    assert "easy_vqa_train.arrow does not exist" in (error := capsys.readouterr().err) and "names the" in error
    assert run(experiment(VQA), tmp_path / "tables", *flags, str(unnamed)) == 0
    assert answers(tmp_path / "tables") == answers(tmp_path / "alone")
    (unnamed / "config.json").write_text(json.dumps(stored | {"id2label": {n: f"no {n}" for n in range(6)}}))
    assert run(experiment(VQA), tmp_path / "other", *flags, str(unnamed)) == 2
    assert "trained with other answers: its number 0 is 'no 0', in the tables" in capsys.readouterr().err


def test_inputs_may_come_from_the_checkpoint(experiment: Any, mini: Path, tmp_path: Path, caplog: Any) -> None:
    """Tokenizer, image size, transform and text length, where the experiment names none of them."""
    caplog.set_level("INFO")
    assert run(experiment(VQA, max_steps=1, data={"eval_transform": "blip"}), tmp_path / "first", "--do_train") == 0
    bare = write_experiment(mini, "bare", VQA, model={}, max_steps=1)
    values = json.loads(bare.read_text()) | {"data": {"datasets": ["easy_vqa"], "max_text_len": 9}}
    bare.write_text(json.dumps(values))
    assert run(bare, tmp_path / "second", "--do_train", "--checkpoint_path", str(tmp_path / "first")) == 0
    data = json.loads((tmp_path / "second" / "experiment.json").read_text())["data"]
    assert data["tokenizer"] == str(tmp_path / "first") and data["max_text_len"] == 9
    assert (data["image_size"], data["train_transform"], data["eval_transform"]) == (32, "blip", "blip")
    assert f"from {tmp_path / 'first'}: data.tokenizer=" in caplog.text


def test_a_classifier_of_other_answers_starts_anew_with_a_flag(experiment: Any, trained: Path, tmp_path: Path,
                                                               caplog: Any, capsys: Any) -> None:
    config = json.loads((trained / "config.json").read_text())
    shutil.copytree(trained, tmp_path / "other")
    first, second = config["id2label"]["0"], config["id2label"]["1"]
    config["id2label"] |= {"0": second, "1": first}  # as many answers, numbered in another way
    config["label2id"] = {name: int(index) for index, name in config["id2label"].items()}
    (tmp_path / "other" / "config.json").write_text(json.dumps(config))
    flags = ("--do_train", "--checkpoint_path", str(tmp_path / "other"))
    assert run(experiment(VQA, max_steps=1), tmp_path / "out", *flags) == 2
    assert f"class 0 is {second!r} there and {first!r} here" in capsys.readouterr().err
    assert run(experiment(VQA, max_steps=1), tmp_path / "out", *flags, "--new_classifier", "true") == 0
    assert f"{tmp_path / 'other'} has no weights for classifier: it starts at random" in caplog.text


@pytest.mark.parametrize(("factor", "is_odd"), [("1", False), ("5e-5", True)])
def test_the_rates_are_said(experiment: Any, tmp_path: Path, caplog: Any, factor: str, is_odd: bool) -> None:
    caplog.set_level("INFO")
    assert run(experiment(VQA, max_steps=1, lr_scheduler_type="constant"), tmp_path / "out", "--do_train",
               "--learning_rate", factor) == 0
    assert f"learning rates: towers {0.003 * float(factor):g}, cross-modal layers" in caplog.text
    assert ("write --set optimization.learning_rate=5e-05" in caplog.text) is is_odd


def test_model_settings_may_come_from_the_checkpoint(experiment: Any, mini: Path, tmp_path: Path) -> None:
    assert run(experiment(VQA, max_steps=1), tmp_path / "first", "--do_train") == 0
    empty = write_experiment(mini, "no_model", VQA, model={}, max_steps=1, learning_rate=0.0,
                             lr_scheduler_type="constant")
    assert run(empty, tmp_path / "second", "--do_train", "--checkpoint_path", str(tmp_path / "first")) == 0
    assert_same_weights(tmp_path / "first", tmp_path / "second", atol=0)


@pytest.mark.parametrize("flags", [("--save_strategy", "steps", "--save_steps", "1"), ("--logging_steps", "9")],
                         ids=["save", "end"])
def test_a_loss_that_is_no_number_ends_the_run(experiment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                               flags: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """It is looked at where something is logged or saved, and at the end; nothing of it is saved."""
    compute = BridgeTowerTrainer.compute_loss
    monkeypatch.setattr(BridgeTowerTrainer, "compute_loss", lambda *inputs, **kwargs: compute(*inputs) * float("nan"))
    assert run(experiment(VQA, max_steps=1), tmp_path / "out", "--do_train", *flags) == 2
    assert "train.py: error: the loss is nan at step 1; nothing" in capsys.readouterr().err
    assert not list((tmp_path / "out").rglob("model_state.pdparams"))


def resume_and_compare(start: Callable[..., Any], config: Path, output: Path, steps: int) -> None:
    flags = ("--do_train", "--save_strategy", "steps", "--save_steps", str(steps))
    start(config, output, *flags)
    losses = {key: logged(output, key) for key in ("loss", "learning_rate", "mlm_accuracy", "itm_accuracy")}
    expected = weights(output)
    start(config, output, *flags, "--resume_from_checkpoint", str(output / f"checkpoint-{steps}"))
    for key, values in losses.items():
        np.testing.assert_allclose(logged(output, key), values, rtol=1e-6, err_msg=key)
    for name, value in weights(output).items():
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("model", [MODEL, DROPOUT], ids=["plain", "dropout"])
@pytest.mark.parametrize("steps", [  # three updates an epoch: inside the first, at its end, in the second
    pytest.param(2, marks=pytest.mark.slow), 3, pytest.param(4, marks=pytest.mark.slow)])
def test_resuming_changes_nothing(experiment: Any, tmp_path: Path, model: Any, steps: int) -> None:
    config = experiment({"name": "pretrain", "objectives": ["mlm", "itm_itc"]}, model=model, max_steps=7)
    resume_and_compare(run, config, tmp_path / "out", steps)


@pytest.mark.slow
def test_resuming_with_loader_processes(experiment: Any, warm_python: Path, tmp_path: Path) -> None:
    config = experiment({"name": "pretrain", "objectives": ["mlm", "itm"]}, model=DROPOUT, max_steps=5,
                        dataloader_num_workers=2)
    resume_and_compare(partial(run_process, warm_python), config, tmp_path / "out", 2)


def test_skipped_batches_are_not_read(experiment: Any, mini: Path, tmp_path: Path,
                                      monkeypatch: pytest.MonkeyPatch) -> None:
    from bridgetower.datasets import ImageTextDataset

    config = experiment(VQA, max_steps=4, per_device_train_batch_size=4)
    assert run(config, tmp_path / "out", "--do_train", "--save_strategy", "steps", "--save_steps", "3") == 0
    read: list[int] = []
    original = ImageTextDataset.__getitem__
    monkeypatch.setattr(ImageTextDataset, "__getitem__", lambda self, i: (read.append(i), original(self, i))[1])
    assert run(config, tmp_path / "out", "--do_train", "--resume_from_checkpoint", "last") == 0
    assert 0 < len(read) < 36 - 3 * 4 + 1  # the loader may prefetch, but not what was skipped


@pytest.mark.slow
@pytest.mark.parametrize("drop", [(), ("--dataloader_drop_last",)], ids=["fill", "drop"])
def test_resuming_with_incomplete_accumulation(experiment: Any, tmp_path: Path, drop: tuple[str, ...]) -> None:
    """36 questions are 18 batches of 2, which groups of 5 do not divide."""
    config = experiment(VQA, max_steps=9, per_device_train_batch_size=2)
    flags = ("--do_train", "--save_strategy", "steps", "--save_steps", "4", "--batch_size", "10", *drop)
    assert run(config, tmp_path / "out", *flags) == 0
    whole = logged(tmp_path / "out", "loss")
    expected = weights(tmp_path / "out")
    assert run(config, tmp_path / "out", *flags, "--resume_from_checkpoint",
               str(tmp_path / "out" / "checkpoint-4")) == 0
    np.testing.assert_allclose(logged(tmp_path / "out", "loss"), whole, rtol=1e-6)
    for name, value in weights(tmp_path / "out").items():
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize("per_pass", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_accumulation_changes_nothing(experiment: Any, tmp_path: Path, per_pass: int) -> None:
    config = experiment(VQA, num_train_epochs=2)  # five updates of 8, the last one filled up from the beginning
    assert run(config, tmp_path / "whole", "--do_train", "--batch_size", "8") == 0
    assert run(config, tmp_path / "parts", "--do_train", "--batch_size", "8", "--per_device_train_batch_size",
               str(per_pass)) == 0
    assert len(logged(tmp_path / "whole", "loss")) == 10
    np.testing.assert_allclose(logged(tmp_path / "parts", "loss"), logged(tmp_path / "whole", "loss"), rtol=1e-4)
    np.testing.assert_allclose(logged(tmp_path / "parts", "vqa_score"), logged(tmp_path / "whole", "vqa_score"))
    assert_same_weights(tmp_path / "parts", tmp_path / "whole", atol=1e-4)


@pytest.fixture(scope="module")
def trained(mini: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("trained") / "out"
    os.environ["BRIDGETOWER_TUNE_CPU"] = "0"
    assert run(write_experiment(mini, "trained", VQA, max_steps=1), output, "--do_train") == 0
    return output


def test_unreadable_image_stops_evaluation(experiment: Any, trained: Path, tmp_path: Path, capsys: Any) -> None:
    write_tables(tmp_path / "data", b"no picture", "test")
    assert run(experiment(VQA), tmp_path / "out", "--do_eval", "--checkpoint_path", str(trained),
               data=tmp_path / "data") == 2
    assert f"error: {tmp_path / 'data' / 'easy_vqa_test.arrow'} row 0" in capsys.readouterr().err


def test_unreadable_images_are_skipped_in_training_up_to_a_limit(experiment: Any, tmp_path: Path, capsys: Any,
                                                                 caplog: Any) -> None:
    write_tables(tmp_path / "data", b"no picture", "train")
    config = experiment(VQA, num_train_epochs=2)
    assert run(config, tmp_path / "out", "--do_train", data=tmp_path / "data") == 0
    assert json.loads((tmp_path / "out" / "train_results.json").read_text())["skipped_images"] == 1
    assert "1 unreadable images were skipped" in caplog.text
    assert run(config, tmp_path / "strict", "--do_train", "--set", "data.max_unreadable_images=0",
               data=tmp_path / "data") == 2
    assert "easy_vqa_train.arrow row 0" in capsys.readouterr().err


@pytest.mark.slow
def test_unreadable_images_in_loader_processes(experiment: Any, trained: Path, warm_python: Path, tmp_path: Path
                                               ) -> None:
    write_tables(tmp_path / "train", b"no picture", "train")
    write_tables(tmp_path / "test", b"no picture", "test")
    config = experiment(VQA, num_train_epochs=2, dataloader_num_workers=2)
    done = run_process(warm_python, config, tmp_path / "out", "--do_train", data=tmp_path / "train")
    assert done.returncode == 0 and "1 unreadable images were skipped" in done.stderr
    done = run_process(warm_python, config, tmp_path / "out", "--do_eval", "--checkpoint_path", str(trained),
                       data=tmp_path / "test")
    assert done.returncode == 2
    assert f"error: {tmp_path / 'test' / 'easy_vqa_test.arrow'} row 0" in done.stderr.splitlines()[-1]


def bad_checkpoint(folder: Path, checkpoint: Path) -> None:
    """A checkpoint whose random state would run a program."""
    class Evil:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(folder / "hacked"),)

    shutil.copytree(checkpoint, folder / "evil")
    (folder / "evil" / "rng_state.pth").write_bytes(pickle.dumps(Evil()))


def test_resuming_runs_no_code_of_a_checkpoint(experiment: Any, tmp_path: Path, capsys: Any) -> None:
    config = experiment(VQA, max_steps=2)
    assert run(config, tmp_path / "out", "--do_train", "--save_strategy", "steps", "--save_steps", "1") == 0
    bad_checkpoint(tmp_path, tmp_path / "out" / "checkpoint-1")
    assert run(config, tmp_path / "out", "--do_train", "--resume_from_checkpoint", str(tmp_path / "evil")) == 2
    assert "rng_state.pth cannot be read safely" in capsys.readouterr().err
    assert not (tmp_path / "hacked").exists()


def test_moved_output_folder_and_broken_last_checkpoint(experiment: Any, tmp_path: Path) -> None:
    config = experiment(VQA, max_steps=4)
    flags = ("--do_train", "--do_eval", "--evaluation_strategy", "steps", "--eval_steps", "1", "--save_strategy",
             "steps", "--save_steps", "1", "--save_total_limit", "2")
    assert run(config, tmp_path / "out", *flags) == 0
    (tmp_path / "out").rename(tmp_path / "moved")
    (tmp_path / "moved" / "checkpoint-9").mkdir()  # the machine stopped while it was written
    assert run(config, tmp_path / "moved", *flags, "--max_steps", "6", "--resume_from_checkpoint", "last") == 0
    assert len(logged(tmp_path / "moved", "loss")) == 6
    state = json.loads((tmp_path / "moved" / "trainer_state.json").read_text())
    assert Path(state["best_model_checkpoint"]).parent == tmp_path / "moved"
