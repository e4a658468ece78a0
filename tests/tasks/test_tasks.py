"""Tasks: metrics, selection and prediction files, and a miniature run of each through the real entry point."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import paddle
import pytest
from PIL import Image

import train
from bridgetower import BridgeTowerImageProcessor
from bridgetower.conversion import load_weights
from bridgetower.datasets.glue_tasks import GLUE
from bridgetower.experiment import SettingsError, TaskSettings
from bridgetower.inputs.tokenizer import BridgeTowerTokenizer
from bridgetower.preparation.schemas import NLVR2, SNLI_VE
from bridgetower.tasks import TASKS, get_task
from bridgetower.tasks.glue import METRICS
from bridgetower.tasks.metrics import Metrics
from tests.goldens import Golden
from tests.host_reads import HostReads
from tests.miniature import MODEL, NUM_TEST, _write, encoded_picture, write_experiment, write_miniature

SPLITS = {"snli": ("train", "dev", "test"), "nlvr2": ("train", "dev", "test1")}
NUM_ROWS = 4


@pytest.fixture(scope="module")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The miniature, with tables of visual entailment and of pairs of images."""
    folder = write_miniature(tmp_path_factory.mktemp("tasks"))
    colours, images = zip(*(encoded_picture(number) for number in range(NUM_ROWS)), strict=True)
    for split in SPLITS["snli"]:
        _write(folder / "data" / f"snli_{split}.arrow", [
            {"image": image, "sentences": [[colour, f"a {colour} square"], [colour, "is it white?"]], "labels": [2, 0]}
            for colour, image in zip(colours, images, strict=True)], SNLI_VE)
    for split in SPLITS["nlvr2"]:
        _write(folder / "data" / f"nlvr2_{split}.arrow", [
            {"image_0": images[row], "image_1": images[row - 1],
             "questions": [f"a {colours[row]} square", "is it, red"],
             "answers": ["True", "False"], "identifier": f"{split}-{row}-0"} for row in range(NUM_ROWS)], NLVR2)
    return folder


@pytest.fixture(autouse=True)
def waits_only_for_log_lines(host_reads: HostReads) -> Iterator[None]:
    """No training step reads a value of a tensor, so that on a GPU the host runs ahead of the device."""
    yield
    if host_reads.passes:
        host_reads.check()


def run(miniature: Path, task: dict[str, Any], dataset: str, predict: bool = True, data: dict[str, Any] | None = None,
        **training: Any) -> tuple[Path, dict[str, Any]]:
    """Train three steps with one log line, evaluate and predict; returns the output folder and all metrics."""
    output = miniature / "_".join(str(value) for value in (*task.values(), dataset))
    config = write_experiment(miniature, output.name, task, data={"datasets": [dataset], **(data or {})}, max_steps=3,
                              logging_steps=3, **training)
    files = {"--do_train": "train", "--do_eval": "eval"} | ({"--do_predict": "test"} if predict else {})
    assert train.main(["--config_name", str(config), "--data_root", str(miniature / "data"), "--output_dir",
                       str(output), *files, "--device", "cpu"]) == 0
    return output, {name: value for file in files.values() for name, value in
                    json.loads((output / f"{file}_results.json").read_text()).items()}


@pytest.mark.parametrize(("name", "classes"), [("snli", ["contradiction", "neutral", "entailment"]),
                                               ("nlvr2", ["False", "True"])])
def test_classification_run(miniature: Path, name: str, classes: list[str], caplog: pytest.LogCaptureFixture
                            ) -> None:
    output, metrics = run(miniature, {"name": name}, name)
    dev, test = (f"{name}_{split}" for split in SPLITS[name][1:])
    for table in (dev, test):
        assert 0 <= metrics[f"eval_{table}_accuracy"] <= 1 and metrics[f"eval_{table}_loss"] > 0
    assert metrics["eval_the_metric"] == metrics[f"eval_{dev}_accuracy"]
    assert list(json.loads((output / "config.json").read_text())["id2label"].values()) == classes
    with open(output / f"{name}_predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["table"] for row in rows] == [dev] * 2 * NUM_ROWS + [test] * 2 * NUM_ROWS
    assert list(rows[0])[5:] == classes
    for row in rows:
        scores = [float(row[label]) for label in classes]
        assert row["prediction"] == classes[int(np.argmax(scores))] and sum(scores) == pytest.approx(1, abs=1e-5)
    texts = {"snli": ["a red square", "is it white?"], "nlvr2": ["a red square", "is it, red"]}[name]
    assert [row["text"] for row in rows[:2]] == texts
    assert [row["identifier"] for row in rows[:2]] == (["dev-0-0"] * 2 if name == "nlvr2" else ["", ""])
    # Files of the original name image pairs, not sentences.
    assert ("several texts have one identifier" in caplog.text) is (name == "nlvr2")


@pytest.mark.parametrize("task", [{"name": "irtr", "num_false_texts": 2}, {"name": "irtr_itm_itc", "k_test": 3}])
def test_retrieval_run(miniature: Path, task: dict[str, Any]) -> None:
    output, metrics = run(miniature, task, "easy_vqa_caption")
    table = json.loads((output / "retrieval.json").read_text())
    names = [f"{side}_r{k}" for side in ("ir", "tr") for k in (1, 5, 10)]
    assert table["rsum"] == pytest.approx(sum(table[name] for name in names))
    assert table["tr_r5"] * NUM_TEST / 100 == pytest.approx(round(table["tr_r5"] * NUM_TEST / 100), abs=1e-6)
    assert metrics["eval_the_metric"] == pytest.approx(table["r_mean"] / 100)
    assert metrics["test_ir_r1"] == pytest.approx(table["ir_r1"])


def test_ranking_without_recall_selects_by_its_loss(miniature: Path) -> None:
    _, metrics = run(miniature, {"name": "irtr", "num_false_texts": 2, "recall": False}, "easy_vqa_caption")
    assert metrics["eval_the_metric"] == -metrics["eval_rank_loss"] < 0
    assert "test_rsum" in metrics and "eval_rsum" not in metrics


def test_accuracy_of_each_table_equals_the_recorded_one() -> None:
    for name, key, tables in (("snli", "in_labels", ["snli_dev", "snli_test"]),
                              ("nlvr2", "in_answers", ["nlvr2_dev", "nlvr2_test1"])):
        golden = Golden(name)
        metrics, task = Metrics(), TASKS[name]
        batch = {"labels": paddle.to_tensor(golden[key].astype("int64")),
                 "table_index": paddle.to_tensor([0, 1, 0, 1])}
        output = SimpleNamespace(logits=golden.tensor(f"out_{name}_logits"))
        task.update(metrics, batch, output)
        assert metrics.compute()[f"{name}_accuracy"] == pytest.approx(float(golden["out_train_acc"]))
        assert metrics.compute()[f"{name}_loss"] == pytest.approx(float(golden[f"out_{name}_loss"]), abs=1e-5)
        metrics.reset()
        task.update(metrics, batch, output, tables)
        found = metrics.compute()
        for split, table in zip(("val", "test"), tables, strict=True):
            assert found[f"{table}_accuracy"] == pytest.approx(float(golden[f"out_{split}_acc"]))
            assert found[f"{table}_loss"] == pytest.approx(float(golden[f"out_{split}_loss"]), abs=1e-5)
        assert task.selection_value(found) == pytest.approx(float(golden["out_val_acc"]))


@pytest.mark.parametrize(("dataset", "task"), [
    ("easy_vqa_caption", {"name": "pretrain", "objectives": ["mlm", "itm", "itc"]}),
    ("easy_vqa_caption", {"name": "pretrain", "objectives": ["mlm", "itm_itc"]}), ("easy_vqa", {"name": "vqa"})])
def test_a_step_as_on_a_gpu(miniature: Path, monkeypatch: pytest.MonkeyPatch, host_reads: HostReads, dataset: str,
                            task: dict[str, Any]) -> None:
    """With Paddle's own operators and dropout."""
    monkeypatch.setenv("BRIDGETOWER_KERNELS", "paddle")
    model = MODEL | {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
    config = write_experiment(miniature, "gpu", task, model, {"datasets": [dataset]}, max_steps=3, logging_steps=3)
    assert train.main(["--config_name", str(config), "--data_root", str(miniature / "data"), "--output_dir",
                       str(miniature / "gpu"), "--do_train", "--device", "cpu"]) == 0
    assert host_reads.total


def test_unknown_task_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match="did you mean 'snli'"):
        get_task(TaskSettings(name="snly"))


@pytest.mark.parametrize("train_classifier", [True, False])
def test_cifar_run(miniature: Path, train_classifier: bool) -> None:
    folder = miniature / "data" / "cifar10"
    folder.mkdir(exist_ok=True)
    rows = np.random.default_rng(0).integers(0, 10, (6, 3073)).astype(np.uint8)
    for name in (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"):
        rows.tofile(folder / name)
    task = {"name": "cifar", "train_classifier": train_classifier}
    output, metrics = run(miniature, task, "cifar10", predict=False, data={"tokenizer": "no such folder"})
    assert metrics["eval_the_metric"] == metrics["eval_cifar_accuracy"]
    assert metrics["eval_cifar_accuracy"] * 6 == pytest.approx(round(metrics["eval_cifar_accuracy"] * 6))
    bias = load_weights(output)[0]["classifier.bias"]
    assert not (output / "tokenizer.json").exists()
    pixels = BridgeTowerImageProcessor.from_pretrained(output)(Image.new("RGB", (9, 7)), "np")["pixel_values"]
    assert pixels.shape == (1, 3, 32, 32)
    assert bias.shape == (10,) and bool(np.abs(bias).max() > 0) is train_classifier


@pytest.mark.parametrize("name", ["stsb", "mnli"])
def test_glue_run(miniature: Path, name: str) -> None:
    task, folder = GLUE[name], miniature / "data" / "glue" / name
    folder.mkdir(parents=True, exist_ok=True)
    parts = [f"_{part}" for part in task.parts] or [""]
    for split in ("train", *(f"validation{part}" for part in parts), *(f"test{part}" for part in parts)):
        rows = [{field: f"a red square {row}" for field in task.fields} | {"label": row % 3} for row in range(5)]
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    output, metrics = run(miniature, {"name": "glue"}, name)
    assert metrics["eval_the_metric"] == metrics["eval_glue_score"] and metrics["eval_glue_loss"] > 0
    names = [f"{part}_{metric}" if part else metric for part in task.parts or ("",) for metric in METRICS[name]]
    assert {f"eval_{metric}" for metric in names} <= set(metrics)
    assert not (output / "preprocessor_config.json").exists()
    assert BridgeTowerTokenizer.from_pretrained(output).vocab_size == BridgeTowerTokenizer.from_pretrained(
        miniature / "tokenizer").vocab_size
    for file in task.files:
        assert len((output / file).read_text().splitlines()) == 1 + 5


def test_one_data_set_is_asked_for(miniature: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_experiment(miniature, "two", {"name": "glue"}, data={"datasets": ["cola", "rte"]})
    assert train.main(["--config_name", str(config), "--output_dir", str(miniature / "two"), "--do_train",
                       "--device", "cpu"]) == 2
    assert "the task glue reads one data set" in capsys.readouterr().err


def test_data_of_another_kind_are_refused(miniature: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_experiment(miniature, "kind", {"name": "irtr"}, data={"datasets": ["easy_vqa"]})
    assert train.main(["--config_name", str(config), "--output_dir", str(miniature / "kind"), "--do_train",
                       "--device", "cpu"]) == 2
    message = capsys.readouterr().err
    assert "'easy_vqa', which holds vqa samples, but the task reads caption samples; use any of coco" in message
