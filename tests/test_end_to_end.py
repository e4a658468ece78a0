"""The launch scripts as they stand, on data sets of a few pictures: pre-train, fine-tune, evaluate, predict.

Each run is a launch of its own, so all of this is marked slow.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridgetower.glue import GLUE
from bridgetower.preparation.schemas import CAPTIONS, NLVR2, SNLI_VE, VQA
from tests.miniature import ANSWERS, MODEL, _picture, _write, write_miniature

ROOT = Path(__file__).resolve().parents[1]
CAPTION_TABLES = (*(f"coco_caption_karpathy_{split}" for split in ("train", "restval", "test")),
                  *(f"f30k_caption_karpathy_{split}" for split in ("train", "val", "test")),
                  "vg", "sbu_0", "conceptual_caption_train_0")
#: Fits every script: few samples, small pictures and texts, no loader processes.
SMALL = ("--max_steps", "2", "--dataloader_num_workers", "0", "--per_device_eval_batch_size", "4", "--logging_steps",
         "1", "--disable_tqdm", "true")
DATA = ("data.image_size=32", "data.max_text_len=12")

pytestmark = pytest.mark.slow


def write_data(folder: Path) -> None:
    """All tables of the tasks, under the names that the experiment files expect."""
    colours, images = zip(*(_picture(number) for number in range(6)), strict=True)
    for name in CAPTION_TABLES:
        _write(folder / f"{name}.arrow", [
            {"image": image, "caption": [f"a {colour} square", f"the square is all {colour}"], "image_id": str(row),
             "split": "train"} for row, (colour, image) in enumerate(zip(colours, images, strict=True))], CAPTIONS)
    for name in ("vqav2_train_fix", "vqav2_val_fix", "vqav2_test", "vgqa_train", "vgqa_val"):
        _write(folder / f"{name}.arrow", [
            {"image": image, "questions": [f"is it {ANSWERS[row]}?"], "answers": [[ANSWERS[row]]],
             "answer_labels": [[row]], "answer_scores": [[1.0]], "image_id": row, "question_id": [10 * row],
             "split": "train"} for row, image in enumerate(images)], VQA)
    for split in ("train", "dev", "test"):
        _write(folder / f"snli_{split}.arrow", [
            {"image": image, "sentences": [[colour, f"a {colour} square"]], "labels": [2]}
            for colour, image in zip(colours, images, strict=True)], SNLI_VE)
    for split in ("train", "dev", "test1"):
        _write(folder / f"nlvr2_{split}.arrow", [
            {"image_0": images[row], "image_1": images[row - 1], "questions": [f"a {colours[row]} square"],
             "answers": ["True"], "identifier": f"{split}-{row}-0"} for row in range(6)], NLVR2)
    (folder / "cifar10").mkdir()
    pixels = np.random.default_rng(0).integers(0, 10, (6, 3073)).astype(np.uint8)
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        pixels.tofile(folder / "cifar10" / f"{name}.bin")
    (folder / "glue/rte").mkdir(parents=True)
    for split in ("train", "validation", "test"):
        rows = [{field: f"a red square {row}" for field in GLUE["rte"].fields} | {"label": row % 2} for row in range(5)]
        (folder / f"glue/rte/{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))


def launch(script: str, folder: Path, *words: str, settings: tuple[str, ...] = (), **environment: str) -> str:
    """Run a script and return what it printed."""
    result = subprocess.run(
        ["bash", str(ROOT / "scripts" / f"{script}.sh"), *words, *SMALL, "--set", *DATA, *settings], cwd=folder,
        text=True, capture_output=True, timeout=300,
        env={**os.environ, "PYTHON": sys.executable, "DEVICES": "cpu", "DATA_ROOT": str(folder / "data"),
             "TOKENIZER": str(folder / "tokenizer"), **environment})
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout


def metrics(output: Path, *splits: str) -> dict[str, Any]:
    return {name: value for split in splits for name, value in
            json.loads((output / f"{split}_results.json").read_text()).items()}


def model_settings(folder: Path) -> tuple[str, ...]:
    sizes = json.loads((folder / "sizes.json").read_text())
    return tuple(f"model.{name}={json.dumps(value)}" for name, value in sizes.items())


@pytest.fixture(scope="module")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, a tokenizer, and a model that the real pre-training script trained from random towers."""
    folder = write_miniature(tmp_path_factory.mktemp("end_to_end"))
    write_data(folder / "data")
    words = len(json.loads((folder / "tokenizer/vocab.json").read_text()))
    sizes = {**MODEL, "text_config": {**MODEL["text_config"], "vocab_size": words}}
    (folder / "sizes.json").write_text(json.dumps(sizes))
    launch("pre_train", folder, "--batch_size", "8", OUTPUT="pretrain", IMAGE_TOWER="", TEXT_TOWER="",
           settings=model_settings(folder))
    found = metrics(folder / "pretrain", "train", "eval")
    assert found["eval_the_metric"] == pytest.approx(found["eval_mlm_accuracy"] + found["eval_itm_accuracy"])
    return folder


@pytest.mark.parametrize(("script", "selected", "file", "settings", "processes"), [
    ("ftfpt_base_vqa", "vqa_score", "vqa_submit.json", ("task.num_labels=6",), "1"),
    ("ftfpt_base_snlive", "snli_dev_accuracy", "snli_predictions.csv", (), "2"),
    ("ftfpt_base_nlvr2", "nlvr2_dev_accuracy", "nlvr2_predictions.csv", (), "1"),
    ("ftfpt_base_irtr_f30k", "", "retrieval.json", ("task.num_false_texts=2",), "1"),
    ("ftfpt_base_irtr_itm_itc_f30k", "r_mean", "retrieval.json", (), "2"),
    ("ftfpt_base_irtr_itm_itc_coco", "r_mean", "retrieval.json", (), "1"),
])
def test_fine_tuning(miniature: Path, script: str, selected: str, file: str, settings: tuple[str, ...],
                     processes: str) -> None:
    launch(script, miniature, "--batch_size", "4", settings=settings, CHECKPOINT="pretrain", NPROC=processes)
    output = miniature / "output" / script
    found = metrics(output, "train", "eval", "test")
    if selected:
        scale = 100 if selected == "r_mean" else 1
        assert found["eval_the_metric"] == pytest.approx(found[f"eval_{selected}"] / scale)
    else:
        assert found["eval_the_metric"] == -found["eval_rank_loss"]
    if file.endswith("csv"):
        assert len(list(csv.DictReader((output / file).open(newline="")))) == 12  # dev and test, each row once
    elif file == "vqa_submit.json":
        answers = json.loads((output / file).read_text())
        assert [row["question_id"] for row in answers] == [10 * row for row in range(6)]
        assert {row["answer"] for row in answers} <= set(ANSWERS)
    else:
        assert json.loads((output / file).read_text())["rsum"] == pytest.approx(found["test_rsum"])


def test_other_experiment_files(miniature: Path) -> None:
    """Pre-training with hard negatives of both processes; VQA with VG-QA."""
    launch("pre_train_large", miniature, "--batch_size", "8", OUTPUT="hard", IMAGE_TOWER="", TEXT_TOWER="", NPROC="2",
           CONFIG=str(ROOT / "configs/pretrain_itm_itc_config.json"),
           settings=(*model_settings(miniature), "model.gather_global_negative=true"))
    found = metrics(miniature / "hard", "eval")
    assert found["eval_itc_loss"] > 0 and "eval_itm_accuracy" in found
    launch("ftfpt_base_vqa", miniature, "--batch_size", "4", OUTPUT="vgqa", CHECKPOINT="hard", DO="train",
           CONFIG=str(ROOT / "configs/vqav2_vgqa_config.json"), settings=("task.num_labels=6",))
    assert json.loads((miniature / "vgqa/trainer_state.json").read_text())["global_step"] == 2


def test_prediction_from_a_checkpoint_alone(miniature: Path) -> None:
    """What the trained model answers on its own is what its fine-tuning wrote."""
    answers = ("task.num_labels=6",)
    launch("ftfpt_large_vqa", miniature, "--batch_size", "4", settings=answers, CHECKPOINT="pretrain", OUTPUT="trained")
    launch("ftfpt_large_vqa", miniature, settings=answers, CHECKPOINT="trained", OUTPUT="predicted", DO="predict")
    files = [miniature / folder / "vqa_submit.json" for folder in ("trained", "predicted")]
    assert files[0].read_text() == files[1].read_text()
    assert not (miniature / "predicted/train_results.json").exists()


def test_single_towers(miniature: Path) -> None:
    launch("ftfpt_base_cifar", miniature, "--batch_size", "8", CHECKPOINT="pretrain", DATASETS="cifar10", EPOCHS="1",
           LEARNING_RATES="1e-5")
    found = metrics(miniature / "output/ftfpt_base_cifar/cifar10/1e-5_1", "train", "eval")
    assert found["eval_the_metric"] == found["eval_cifar_accuracy"]
    launch("ftfpt_base_glue", miniature, CHECKPOINT="pretrain", TASKS="rte", LEARNING_RATES="1e-5", BATCH_SIZES="16")
    output = miniature / "output/ftfpt_base_glue/rte/1e-5_16"
    assert metrics(output, "eval")["eval_the_metric"] == metrics(output, "eval")["eval_accuracy"]
    assert len((output / "RTE.tsv").read_text().splitlines()) == 1 + 5


def test_a_comparison_prints_its_table(miniature: Path) -> None:
    printed = launch("ablation", miniature, "meter", CONFIG=str(ROOT / "configs/quickstart_vqa.json"),
                     IMAGE_TOWER="", TEXT_TOWER="", OUTPUT="meter", settings=("data.image_size=32",))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in printed.splitlines()
            if line.startswith("| ")][1:]
    assert [row[0] for row in rows] == ["BridgeTower", "METER", "METER with gated fusion of all blocks"]
    for row, name in zip(rows, ("bridgetower", "meter", "meter_fusion"), strict=True):
        assert row[3] == f"{metrics(miniature / 'meter' / name, 'eval')['eval_the_metric']:.4f}"
        assert (miniature / "meter" / name / "model_state.pdparams").is_file()
    assert float(rows[0][2].rstrip("M")) >= float(rows[1][2].rstrip("M"))
