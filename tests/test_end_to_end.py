"""From raw data to prediction files: the commands of the preparation, then the launch scripts unchanged.

Every release is a miniature in its own layout, the single towers are folders of Hugging Face models. The processes
share the imports (tests/warm_python.py), except in one run with Paddle's launcher; all of this is marked slow.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from PIL import Image

from bridgetower import BridgeTowerForQuestionAnswering, BridgeTowerProcessor
from bridgetower.datasets.glue_tasks import GLUE
from bridgetower.preparation.__main__ import main as prepare
from tests.miniature import MODEL
from tests.preparation import raw_data

ROOT = Path(__file__).resolve().parents[1]
#: The commands of the preparation, in the order of the documentation, and what the miniatures need besides.
COMMANDS = {"coco": (), "f30k": (), "gcc": (), "sbu": (), "vg": (), "vqa": ("--held_out", "3"),
            "vgqa_split": ("--held_out", "3"), "vgqa": (), "snli": (), "nlvr2": ()}
QUESTIONS = [100_000, 100_001, 101_000]  # of the test split of VQAv2
ANSWERS = {"yes", "2"}
#: Fits every script: few samples, small pictures and texts, no loader processes.
SMALL = ("--max_steps", "2", "--dataloader_num_workers", "0", "--per_device_eval_batch_size", "4", "--logging_steps",
         "1", "--disable_tqdm", "true")
DATA = ("data.image_size=32", "data.max_text_len=12")
LAUNCHED = "ftfpt_base_snlive"  # with Paddle's own launcher and two processes

pytestmark = pytest.mark.slow


def write_raw_data(folder: Path) -> None:
    """All releases below one folder, as the original's setup leaves them."""
    raw_data.coco_release(folder / raw_data.SHARED, copies=2)
    raw_data.flickr_release(folder / raw_data.SHARED, ("train", "val", "test", "train", "test", "train"))
    raw_data.entailment_release(folder / raw_data.SHARED)
    raw_data.vqa_release(folder / raw_data.SHARED)
    raw_data.cc_release(folder / "cc")
    raw_data.sbu_release(folder / "sbu")
    raw_data.genome_release(folder / "vg")
    raw_data.genome_regions(folder / "vg")
    raw_data.genome_questions(folder / "vg")
    raw_data.nlvr2_release(folder / "nlvr")


def write_probes(data: Path) -> None:
    """CIFAR and GLUE, which are read as they are published."""
    (data / "cifar10").mkdir()
    pixels = np.random.default_rng(0).integers(0, 10, (6, 3073)).astype(np.uint8)
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        pixels.tofile(data / "cifar10" / f"{name}.bin")
    (data / "glue/rte").mkdir(parents=True)
    for split in ("train", "validation", "test"):
        rows = [{field: f"a red square {row}" for field in GLUE["rte"].fields} | {"label": row % 2} for row in range(5)]
        (data / f"glue/rte/{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))


def write_towers(folder: Path) -> dict[str, Any]:
    """Folders `clip` and `roberta` as they are downloaded, the second with its tokenizer; returns their sizes."""
    words = len(json.loads((folder / "tokenizer/vocab.json").read_text()))
    text = {**MODEL["text_config"], "vocab_size": words}
    clip_text = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=1, intermediate_size=16, vocab_size=50)
    vision = dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=1, intermediate_size=256, patch_size=16,
                  image_size=48)
    config = transformers.CLIPConfig(text_config=clip_text, vision_config=vision, projection_dim=8)
    transformers.CLIPModel(config).save_pretrained(folder / "clip")
    roberta = transformers.RobertaConfig(**text, type_vocab_size=1, layer_norm_eps=1e-5)
    transformers.RobertaForMaskedLM(roberta).save_pretrained(folder / "roberta")
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(folder / "tokenizer" / name, folder / "roberta")
    return {**MODEL, "text_config": text}


def launch(script: str, folder: Path, *words: str, settings: tuple[str, ...] = (), **environment: str) -> str:
    """Run a script and return what it printed."""
    inherited = {name: value for name, value in os.environ.items() if name != "TOKENIZER"}
    result = subprocess.run(
        ["bash", str(ROOT / "scripts" / f"{script}.sh"), *words, *SMALL, "--set", *DATA, *settings], cwd=folder,
        text=True, capture_output=True, timeout=900,
        env={**inherited, "PYTHON": str(folder / "python"), "DEVICES": "cpu", "DATA_ROOT": str(folder / "data"),
             **environment})
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout


def metrics(output: Path, *splits: str) -> dict[str, Any]:
    return {name: value for split in splits for name, value in
            json.loads((output / f"{split}_results.json").read_text()).items()}


def model_settings(folder: Path) -> tuple[str, ...]:
    sizes = json.loads((folder / "sizes.json").read_text())
    return tuple(f"model.{name}={json.dumps(value)}" for name, value in sizes.items())


@pytest.fixture(scope="module")
def miniature(warm_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Arrow files, tokenizer and towers, and a model that the real pre-training script trained from the towers."""
    folder = tmp_path_factory.mktemp("end_to_end")
    write_raw_data(folder / "raw")
    for name, words in COMMANDS.items():
        output = folder / ("raw/vg/vgqa" if name == "vgqa_split" else "data")
        assert raw_data.run(name, "--source", folder / "raw", "--output", output, *words) == 0
    assert prepare(["--check", str(folder / "data"), "--workers", "1"]) == 0
    assert prepare(["tokenizer", "--source", str(folder / "data"), "--output", str(folder / "tokenizer"),
                    "--vocab_size", "300"]) == 0
    write_probes(folder / "data")
    (folder / "sizes.json").write_text(json.dumps(write_towers(folder)))
    (folder / "python").symlink_to(warm_python)
    launch("pre_train", folder, "--batch_size", "8", OUTPUT="pretrain", IMAGE_TOWER="clip", TEXT_TOWER="roberta",
           settings=model_settings(folder))
    found = metrics(folder / "pretrain", "train", "eval")
    assert found["eval_the_metric"] == pytest.approx(found["eval_mlm_accuracy"] + found["eval_itm_accuracy"])
    return folder


def check_submission(file: Path) -> None:
    """Every question of the test split once, each with an answer of the vocabulary."""
    rows = json.loads(file.read_text())
    assert [row["question_id"] for row in rows] == QUESTIONS and {row["answer"] for row in rows} <= ANSWERS


def check_classes(file: Path, texts: list[str], identifiers: list[str]) -> None:
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["text"] for row in rows] == texts and [row["identifier"] for row in rows] == identifiers
    assert all(row["prediction"] in list(row)[5:] for row in rows)


@pytest.mark.parametrize(("script", "selected", "file", "settings", "processes"), [
    ("ftfpt_base_vqa", "vqa_score", "vqa_submit.json", ("task.num_labels=2",), "1"),
    ("ftfpt_base_snlive", "snli_dev_accuracy", "snli_predictions.csv", (), "2"),
    ("ftfpt_base_nlvr2", "nlvr2_dev_accuracy", "nlvr2_predictions.csv", (), "1"),
    ("ftfpt_base_irtr_f30k", "", "retrieval.json", ("task.num_false_texts=2",), "1"),
    ("ftfpt_base_irtr_itm_itc_f30k", "r_mean", "retrieval.json", (), "2"),
    ("ftfpt_base_irtr_itm_itc_coco", "r_mean", "retrieval.json", (), "1"),
])
def test_fine_tuning(miniature: Path, script: str, selected: str, file: str, settings: tuple[str, ...],
                     processes: str) -> None:
    python = sys.executable if script == LAUNCHED else str(miniature / "python")
    launch(script, miniature, "--batch_size", "4", settings=settings, CHECKPOINT="pretrain", NPROC=processes,
           PYTHON=python)
    output = miniature / "output" / script
    found = metrics(output, "train", "eval", "test")
    if selected:
        scale = 100 if selected == "r_mean" else 1
        assert found["eval_the_metric"] == pytest.approx(found[f"eval_{selected}"] / scale)
    else:
        assert found["eval_the_metric"] == -found["eval_rank_loss"]
    if file == "vqa_submit.json":
        check_submission(output / file)
    elif file == "snli_predictions.csv":  # dev and test, each row once
        check_classes(output / file, ["a", "c", "b"] * 2, [""] * 6)
    elif file == "nlvr2_predictions.csv":
        names = ["dev-7-0-1", "test1-8-1-0"]
        check_classes(output / file, [f"about {name}" for name in names], names)
    else:
        table = json.loads((output / file).read_text())
        recalls = [table[f"{side}_r{k}"] for side in ("ir", "tr") for k in (1, 5, 10)]
        assert table["rsum"] == pytest.approx(sum(recalls)) == pytest.approx(found["test_rsum"])


def test_pretraining_with_hard_negatives(miniature: Path) -> None:
    """Those of both processes."""
    launch("pre_train_large", miniature, "--batch_size", "8", OUTPUT="hard", IMAGE_TOWER="", TEXT_TOWER="", NPROC="2",
           CONFIG=str(ROOT / "configs/pretrain_itm_itc_config.json"), TOKENIZER="tokenizer",
           settings=(*model_settings(miniature), "model.gather_global_negative=true"))
    found = metrics(miniature / "hard", "eval")
    assert found["eval_itc_loss"] > 0 and "eval_itm_accuracy" in found


@pytest.mark.parametrize("script", ["ftfs_base_vqa", "ftfs_large_vqa"])
def test_question_answering_from_towers(miniature: Path, script: str) -> None:
    launch(script, miniature, "--batch_size", "4", IMAGE_TOWER="clip", TEXT_TOWER=str(miniature / "roberta"),
           settings=(*model_settings(miniature), "task.num_labels=2"))
    output = miniature / "output" / script
    found = metrics(output, "train", "eval", "test")
    assert found["eval_the_metric"] == found["eval_vqa_score"]
    check_submission(output / "vqa_submit.json")


def test_prediction_from_a_checkpoint_alone(miniature: Path) -> None:
    """Trained with VG-QA; then the test table alone is enough, and without `train.py` a picture and a question."""
    launch("ftfpt_large_vqa", miniature, "--batch_size", "4", settings=("task.num_labels=2",), CHECKPOINT="pretrain",
           OUTPUT="trained", CONFIG=str(ROOT / "configs/vqav2_large_vgqa_config.json"))
    (miniature / "test_only").mkdir()
    shutil.copy(miniature / "data/vqav2_test_fix.arrow", miniature / "test_only")
    launch("ftfpt_large_vqa", miniature, CHECKPOINT="trained", OUTPUT="predicted", DO="predict",
           DATA_ROOT=str(miniature / "test_only"))
    check_submission(miniature / "predicted/vqa_submit.json")
    files = [miniature / folder / "vqa_submit.json" for folder in ("trained", "predicted")]
    assert files[0].read_text() == files[1].read_text()
    assert not (miniature / "predicted/train_results.json").exists()
    model = BridgeTowerForQuestionAnswering.from_pretrained(miniature / "trained")
    processor = BridgeTowerProcessor.from_pretrained(miniature / "trained")
    image, question = Image.open(next(miniature.glob("raw/*/test2015/*101.jpg"))), "question 0 of 101?"
    inputs = processor(image, question, "pd", truncation=True, max_length=12)
    answer = model.config.id2label[int(model(**inputs).logits.argmax())]
    assert answer == json.loads(files[0].read_text())[-1]["answer"]


def test_single_towers(miniature: Path) -> None:
    launch("ftfpt_base_cifar", miniature, "--batch_size", "8", CHECKPOINT="pretrain", DATASETS="cifar10", EPOCHS="1",
           LEARNING_RATES="1e-5")
    found = metrics(miniature / "output/ftfpt_base_cifar/cifar10/1e-5_1", "train", "eval")
    assert found["eval_the_metric"] == found["eval_cifar_accuracy"]
    launch("ftfpt_base_glue", miniature, CHECKPOINT="pretrain", TASKS="rte", LEARNING_RATES="1e-5", BATCH_SIZES="16")
    output = miniature / "output/ftfpt_base_glue/rte/1e-5_16"
    assert metrics(output, "eval")["eval_the_metric"] == metrics(output, "eval")["eval_accuracy"]
    lines = [line.split("\t") for line in (output / "RTE.tsv").read_text().splitlines()]
    assert lines[0] == ["index", "prediction"] and [line[0] for line in lines[1:]] == list("01234")
    assert {line[1] for line in lines[1:]} <= {"entailment", "not_entailment"}


def test_a_comparison_prints_its_table(miniature: Path) -> None:
    printed = launch("ablation", miniature, "meter", "--batch_size", "4", IMAGE_TOWER="clip", TEXT_TOWER="roberta",
                     OUTPUT="meter", settings=(*model_settings(miniature), "task.num_labels=2"))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in printed.splitlines()
            if line.startswith("| ")][1:]
    assert [row[0] for row in rows] == ["BridgeTower", "METER", "METER with gated fusion of all blocks"]
    for row, name in zip(rows, ("bridgetower", "meter", "meter_fusion"), strict=True):
        assert row[3] == f"{metrics(miniature / 'meter' / name, 'eval')['eval_the_metric']:.4f}"
        assert (miniature / "meter" / name / "model_state.pdparams").is_file()
    assert float(rows[0][2].rstrip("M")) >= float(rows[1][2].rstrip("M"))
