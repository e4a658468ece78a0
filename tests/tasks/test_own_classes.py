"""From a user's CSV file to predictions, through the real programs and experiment files, on a miniature."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from paddle.utils import unique_name

import train
from bridgetower.conversion import load_weights
from bridgetower.pipelines import pipeline
from bridgetower.preparation.__main__ import main as prepare
from bridgetower.report.__main__ import main as report
from tests.host_reads import HostReads
from tests.miniature import picture

ROOT = Path(__file__).resolve().parents[2]
COUNT = {"train": 8, "val": 4, "test": 4}
pytestmark = pytest.mark.usefixtures("untuned")


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """make(task, **columns): tables called `mine` of pictures and columns, each a function of the row's number."""

    def tables(task: str, images: bool = True, flags: tuple[str, ...] = (), **columns: Callable[[int], Any]) -> Path:
        splits = [split for split, count in COUNT.items() for _ in range(count)]
        if images:
            columns = {"image": lambda number: f"{number}.png", **columns}
            for number in range(len(splits)):
                picture(number).save(tmp_path / f"{number}.png")
        with open(tmp_path / "mine.csv", "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["split", *columns])
            writer.writerows([split, *(column(number) for column in columns.values())]
                             for number, split in enumerate(splits))
        assert prepare(["table", "--source", str(tmp_path / "mine.csv"), "--task", task, "--name", "mine", "--output",
                        str(tmp_path / "data"), "--workers", "1", "--overwrite", *flags]) == 0
        return tmp_path / "data"

    return tables


@pytest.fixture
def run(saved: Callable[[str], Path], tmp_path: Path) -> Callable[..., Path]:
    """run(task, *flags): three steps with the shipped experiment file of a task, which returns the output folder."""

    def finetune(task: str, *flags: str, checkpoint: Path | None = None, output: str = "out",
                 parts: tuple[str, ...] = ("--do_train", "--do_eval", "--do_predict"), status: int = 0) -> Path:
        config = "vqa" if task == "vqa" else "classify"
        with unique_name.guard():
            assert train.main([
                "--config_name", str(ROOT / f"configs/finetune_{config}.json"), "--data_root", str(tmp_path / "data"),
                "--checkpoint_path", str(checkpoint or saved("pretrain")), "--output_dir", str(tmp_path / output),
                "--device", "cpu", "--max_steps", "3", "--logging_steps", "3", "--batch_size", "8",
                "--dataloader_num_workers", "0",
                "--evaluation_strategy", "no", "--save_strategy", "no", "--load_best_model_at_end", "false",
                "--early_stopping_patience", "0", "--disable_tqdm", "true", *parts, "--set",
                f"task.name={task}", 'data.datasets=["mine"]', "data.max_text_len=12", *flags]) == status
        return tmp_path / output

    return finetune


def predictions(output: Path) -> list[dict[str, str]]:
    with open(output / "predictions.csv", newline="") as file:
        return list(csv.DictReader(file))


def results(output: Path, split: str) -> dict[str, float]:
    return json.loads((output / f"{split}_results.json").read_text())


def label(number: int) -> str:
    return ("no, never", "yes")[number % 2]


def text(number: int) -> str:
    return f"a {('red', 'blue')[number % 2]} square {number}"


@pytest.mark.parametrize(("images", "texts", "model", "served"), [
    (True, True, "BridgeTowerForImageAndTextClassification", "image-text-classification"),
    (True, False, "BridgeTowerForImageClassification", "image-classification"),
    (False, True, "BridgeTowerForSequenceClassification", "text-classification")], ids=["both", "image", "text"])
def test_classes(make: Callable[..., Path], run: Callable[..., Path], tmp_path: Path, images: bool, texts: bool,
                 model: str, served: str, host_reads: HostReads) -> None:
    """The model fits the columns; what it predicts is in the file, in the metrics, and what the pipeline says."""
    make("classify", images, label=label, **({"text": text} if texts else {}))
    output = run("classify")
    host_reads.check()
    config = json.loads((output / "config.json").read_text())
    assert config["architectures"] == [model] and config["id2label"] == {"0": "no, never", "1": "yes"}
    assert (output / "preprocessor_config.json").is_file() is images
    assert (output / "tokenizer.json").is_file() is texts
    rows = predictions(output)
    assert [row["label"] for row in rows] == [label(number) for number in range(12, 16)]
    assert [row["text"] for row in rows] == [text(number) if texts else "" for number in range(12, 16)]
    if images:
        assert [row["identifier"] for row in rows] == [f"{number}.png" for number in range(12, 16)]
    for row in rows:
        scores = {name: float(row[name]) for name in ("no, never", "yes")}
        assert row["prediction"] == max(scores, key=scores.__getitem__) and sum(scores.values()) == pytest.approx(1)
    right = sum(row["label"] == row["prediction"] for row in rows)
    metrics = results(output, "test")
    assert metrics["test_classify_accuracy"] == right / 4 == metrics["test_the_metric"]
    assert {"test_classify_loss", "test_classify_macro_f1", "test_classify_auc"} <= metrics.keys()
    for split in ("eval", "test"):
        confusion = json.loads((output / f"{split}_confusion.json").read_text())
        assert confusion["classes"] == ["no, never", "yes"] and [sum(row) for row in confusion["counts"]] == [2, 2]
    assert confusion["counts"][0][0] + confusion["counts"][1][1] == right
    inputs = [*([str(tmp_path / "12.png")] if images else []), *([text(12)] if texts else [])]
    for found in pipeline(served, output)(*inputs, top_k=None):
        assert found["score"] == pytest.approx(float(rows[0][found["label"]]), abs=1e-5)
    assert report([str(output)]) == 0
    assert {path.name for path in output.glob("*.png")} == {"loss_curves.png", "eval_confusion.png",
                                                            "test_confusion.png"}


def test_pairs_of_pictures(make: Callable[..., Path], run: Callable[..., Path], tmp_path: Path) -> None:
    """Three classes, so there is no area under a curve; identifiers are the user's own."""
    make("pair_classify", image_1=lambda number: f"{number}.png", text=text, id=lambda number: f"row {number}",
         label=lambda number: "abc"[number % 3])
    output = run("pair_classify")
    config = json.loads((output / "config.json").read_text())
    assert config["architectures"] == ["BridgeTowerForImagesAndTextClassification"]
    assert [*config["id2label"].values()] == ["a", "b", "c"]
    rows = predictions(output)
    assert [row["identifier"] for row in rows] == [f"row {number}" for number in range(12, 16)]
    for found in pipeline("image-text-classification", output)((str(tmp_path / "12.png"),) * 2, text(12)):
        assert found["score"] == pytest.approx(float(rows[0][found["label"]]), abs=1e-5)
    metrics = results(output, "eval")
    assert "eval_pair_classify_macro_f1" in metrics and "eval_pair_classify_auc" not in metrics


def test_questions(make: Callable[..., Path], run: Callable[..., Path]) -> None:
    make("vqa", question=lambda number: "what color is the square?", answer=lambda number: ("red", "blue")[number % 2],
         id=lambda number: 100 + number)
    output = run("vqa")
    answers = json.loads((output / "vqa_submit.json").read_text())
    assert [row["question_id"] for row in answers] == [112, 113, 114, 115]
    assert {row["answer"] for row in answers} <= {"red", "blue"}


def test_entailment_of_own_tables_is_selected_by_accuracy(make: Callable[..., Path], run: Callable[..., Path]) -> None:
    make("classify", text=text, label=lambda number: ("contradiction", "neutral", "entailment")[number % 3])
    metrics = results(run("classify"), "eval")
    assert metrics["eval_the_metric"] == metrics["eval_classify_accuracy"]


def test_a_checkpoint_of_other_classes(make: Callable[..., Path], run: Callable[..., Path],
                                       capsys: pytest.CaptureFixture[str]) -> None:
    """It starts a new classifier if asked to; without training it is refused."""
    make("classify", text=text, label=label)
    first = run("classify", output="first", parts=("--do_train",))
    make("classify", text=text, label=lambda number: "abc"[number % 3])
    run("classify", checkpoint=first, status=2)
    assert "add --new_classifier" in capsys.readouterr().err
    second = run("classify", "--new_classifier", "true", checkpoint=first)
    assert load_weights(second)[0]["classifier.fc2.bias"].shape == (3,)
    run("classify", checkpoint=first, parts=("--do_eval",), status=2)
    assert "was trained with the classes no, never, yes, but the tables" in capsys.readouterr().err


@pytest.mark.parametrize(("task", "names", "message"), [
    ("pair_classify", ["mine"], "'mine', which holds classify samples, but the task pair_classify reads"),
    ("classify", ["easy_vqa"], "'easy_vqa', which holds vqa samples, but the task classify reads"),
    ("classify", ["mine", "snli"], "snli has 3 classes (contradiction, neutral, entailment) of image+text, but mine"),
    ("classify", ["mein"], "unknown data set 'mein'"),
    ("classify", [], "data.datasets is empty")])
def test_data_that_do_not_fit(make: Callable[..., Path], run: Callable[..., Path], task: str, names: list[str],
                              message: str, capsys: pytest.CaptureFixture[str]) -> None:
    make("classify", text=text, label=label)
    run(task, "--set", f"data.datasets={json.dumps(names)}", status=2)
    assert message in capsys.readouterr().err
