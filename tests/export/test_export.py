"""Static models against the dynamic ones: all tasks, other architectures, text and picture inputs, bad input."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from threadpoolctl import threadpool_info

import export
from bridgetower import (
    BridgeTowerForImageAndTextRetrieval,
    BridgeTowerForImagesAndTextClassification,
    BridgeTowerForPreTraining,
    BridgeTowerForQuestionAnswering,
    BridgeTowerImageProcessor,
)
from bridgetower.export import BridgeTowerPredictor, ExportOptions, exporter
from bridgetower.export.engines import ENGINES
from bridgetower.export.manifest import PARTS
from bridgetower.inputs.transforms import build_transform
from bridgetower.kernels import folded_share
from bridgetower.preparation.train_tokenizer import save_tokenizer, train_tokenizer
from bridgetower.runtime import cpu_threads, set_cpu_threads
from tests.export.small_exports import CASES, assert_close, dynamic_results, model_of, random_batch, save
from tests.miniature import write_tables
from tests.models import SIZE

PRE_TRAINED = {"objectives": ["mlm", "itm_itc"]}


@pytest.fixture(scope="module", params=CASES)
def exported(request: pytest.FixtureRequest, words: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A model of each task, and its export for all engines."""
    task, model_class, changes = CASES[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    model = model_of(model_class, words, **changes)
    source = save(model, folder / "checkpoint", words)
    assert export.main([str(source), "--output", str(folder / "static"), "--task", task, "--format", "paddle",
                        "onnx"]) == 0
    manifest = BridgeTowerPredictor(folder / "static", "paddle").manifest
    assert manifest.task == task and manifest.model_class == model_class.__name__
    return model, folder / "static"


@pytest.mark.parametrize(("engine", "options"), [
    ("paddle", {}), ("paddle", {"onednn": False}), ("onnxruntime", {}), ("openvino", {}),
], ids=["paddle", "no_onednn", "onnxruntime", "openvino"])
def test_equals_dynamic_model(engine: str, options: dict[str, Any], exported: tuple[Any, Path]) -> None:
    pytest.importorskip(engine)
    model, folder = exported
    static = BridgeTowerPredictor(folder, engine, threads=1, **options)
    # One image for all texts, its features reused; then one image per text, other numbers and lengths.
    for rows, length, images in ((3, 6, 1), (1, 9, 1), (4, 2, 4)):
        batch = random_batch(rows, length, images)
        image_rows = [0] * rows if images == 1 else list(range(rows))
        expected = dynamic_results(model, batch, image_rows)
        image = static.encode_image(batch["pixel_values"])
        text = static.encode_text(batch["input_ids"], batch["attention_mask"])
        assert_close(static.fuse(text, image), expected["fused"])
        assert_close(static.fuse(text.take([rows - 1]), image.take([-1])), expected["fused"][-1:])
        if "text" in expected:
            assert_close(text.vectors, expected["text"])
            assert_close(image.vectors[image_rows], expected["image"])
        else:
            assert text.vectors is None and image.vectors is None


@pytest.mark.parametrize("changes", [
    {"text_config": {"kind": "bert"}},
    {"num_bridges": 0, "gated_fusion": True},
    {"num_bridges": 1, "bridge_type": "cross_attention_mlp"},
], ids=["bert", "meter", "external_layer"])
def test_other_architectures(changes: dict[str, Any], words: Path, tmp_path: Path) -> None:
    model = model_of(BridgeTowerForImageAndTextRetrieval, words, **changes)
    source = save(model, tmp_path / "checkpoint", words)
    exporter.export_checkpoint(source, tmp_path / "static", ExportOptions(formats=("paddle", "onnx")))
    batch = random_batch(2, 7, 2)
    for engine in (name for name in ENGINES if importlib.util.find_spec(name)):
        static = BridgeTowerPredictor(tmp_path / "static", engine, threads=1)
        found = static.fuse(static.encode_text(batch["input_ids"]), static.encode_image(batch["pixel_values"]))
        assert_close(found, dynamic_results(model, batch, [0, 1])["fused"])


@pytest.mark.parametrize("case", ["itm", "mlm"])
def test_images_much_longer_than_texts(case: str, words: Path, tmp_path: Path) -> None:
    """Programs in which text and image read each other folded; texts longer than said are right as well."""
    task, model_class, changes = CASES[case]
    model = model_of(model_class, words, **changes)
    config, limit = model.config, 3
    share = folded_share(limit, config.vision_config.num_tokens, config.hidden_size, config.num_attention_heads)
    assert share < 1, "nothing would be folded"
    source = save(model, tmp_path / "checkpoint", words)
    options = ExportOptions(task=task, max_text_len=limit, formats=("paddle", "onnx"))
    exporter.export_checkpoint(source, tmp_path / "static", options)
    for engine in (name for name in ENGINES if importlib.util.find_spec(name)):
        static = BridgeTowerPredictor(tmp_path / "static", engine, threads=1)
        for length in (3, 8):
            batch = random_batch(2, length, 2)
            found = static.fuse(static.encode_text(batch["input_ids"], batch["attention_mask"]),
                                static.encode_image(batch["pixel_values"]))
            assert_close(found, dynamic_results(model, batch, [0, 1])["fused"])


def test_pictures_texts_and_labels(words: Path, tmp_path: Path) -> None:
    """From strings and pictures to a named answer, as the training that made the checkpoint prepared them."""
    model = model_of(BridgeTowerForQuestionAnswering, words, num_labels=6)
    source = save(model, tmp_path / "run" / "checkpoint-7", words)
    BridgeTowerImageProcessor.for_transform("blip", SIZE).save_pretrained(source)
    (tmp_path / "run" / "experiment.json").write_text(json.dumps({"source": "x", "data": {"max_text_len": 8}}))
    write_tables(tmp_path / "data")
    arrows = [str(tmp_path / "data" / f"easy_vqa_{split}.arrow") for split in ("train", "test")]
    assert export.main([str(source), "--output", str(tmp_path / "static"), "--labels", *arrows]) == 0
    static = BridgeTowerPredictor(tmp_path / "static", threads=1)
    assert static.labels == ["red", "green", "blue", "white", "yes", "no"]
    assert static.tokenize(["what is this? " * 9])["input_ids"].shape == (1, 8)
    picture = Image.new("RGB", (90, 50), (250, 10, 10))
    logits = static(["what is this?", "is it blue?"], picture)
    assert logits.shape == (2, 6) and set(static.best_labels(logits)) <= set(static.labels)
    np.testing.assert_array_equal(static.prepare_images(np.asarray(picture)), static.prepare_images([picture]))
    np.testing.assert_array_equal(static.prepare_images(picture)[0], build_transform("blip", SIZE)(picture))


def test_processor_and_larger_image(words: Path, tmp_path: Path) -> None:
    """A processor beside the checkpoint is kept, at the size that the position table is resized to."""
    source = save(model_of(BridgeTowerForImageAndTextRetrieval, words), tmp_path / "checkpoint", words)
    BridgeTowerImageProcessor(size=SIZE, image_mean=(0.1, 0.2, 0.3)).save_pretrained(source)
    size = 2 * SIZE
    options = ExportOptions(image_size=size)
    manifest = exporter.export_checkpoint(source, tmp_path / "static", options)
    assert manifest.image_size == size
    static, picture = BridgeTowerPredictor(tmp_path / "static", threads=1), Image.new("RGB", (80, 100))
    pixels = static.prepare_images(picture)
    expected = -np.array([0.1, 0.2, 0.3]) / static.processor.image_processor.image_std
    np.testing.assert_allclose(pixels[0, :, size // 2, size // 2], expected, rtol=1e-6)
    model = BridgeTowerForImageAndTextRetrieval.from_pretrained(source, vision_config={"image_size": size})
    batch = {**random_batch(1, 5, 1), "pixel_values": pixels}
    found = static.fuse(static.encode_text(batch["input_ids"], batch["attention_mask"]), static.encode_image(pixels))
    assert_close(found, dynamic_results(model, batch, [0])["fused"])
    assert static.labels == ["no match", "match"]


def test_threads_are_left_as_they_were(itm: tuple[Any, Path, Path]) -> None:
    """`paddle.inference` leaves one thread behind, with which a dynamic model takes almost twice as long."""
    before = cpu_threads()
    set_cpu_threads(2)
    try:
        static = BridgeTowerPredictor(itm[2], "paddle", threads=2)
        static.encode_image(random_batch(1, 5, 1)["pixel_values"])
        threads = [pool["num_threads"] for pool in threadpool_info() if pool["prefix"] == "libiomp"]
    finally:
        set_cpu_threads(before)
    assert threads == [2]


def test_documented_example(words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                            capsys: pytest.CaptureFixture[str]) -> None:
    """The command and the program of docs/inference.md run as written."""
    text = (Path(__file__).parents[2] / "docs" / "inference.md").read_text(encoding="utf-8")
    command, program = (text.split(f"```{language}\n")[1].split("```")[0] for language in ("bash", "python"))
    monkeypatch.chdir(tmp_path)
    model = model_of(BridgeTowerForQuestionAnswering, words, num_labels=3)
    model.config.name_labels({0: "red", 1: "yes", 2: "no"})
    save(model, tmp_path / "build" / "quickstart" / "vqa", words)
    assert export.main(command.split()[2:]) == 0
    capsys.readouterr()
    exec(compile(program, "inference.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and all("red" in line or "yes" in line or "no" in line for line in lines)


class TestBadInput:
    """Each is one line with what is wrong and what to do, status 2, and nothing left behind."""

    @pytest.fixture(scope="class")
    def sources(self, words: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
        folder = tmp_path_factory.mktemp("sources")
        models = {
            "itm": model_of(BridgeTowerForImageAndTextRetrieval, words),
            "pretrain": model_of(BridgeTowerForPreTraining, words, **PRE_TRAINED),
            "vqa": model_of(BridgeTowerForQuestionAnswering, words, num_labels=4),
            "nlvr2": model_of(BridgeTowerForImagesAndTextClassification, words),
        }
        saved = {name: save(model, folder / name, words) for name, model in models.items()}
        (folder / "empty").mkdir()
        save(models["itm"], folder / "wordless", words)
        for file in words.iterdir():
            (folder / "wordless" / file.name).unlink()
        small = folder / "small"
        save_tokenizer(train_tokenizer(["a red square"] * 5, 262), small)
        (folder / "labels.json").write_text(json.dumps(["a"] * 9))
        (folder / "broken.json").write_text("[")
        return {**saved, "empty": folder / "empty", "wordless": folder / "wordless", "small": small,
                "labels": folder / "labels.json", "broken": folder / "broken.json", "absent": folder / "absent"}

    @pytest.mark.parametrize(("arguments", "message"), [
        (["{absent}"], "absent"),
        (["{empty}"], "the folder has no weights; expected one of"),
        (["{itm}", "--task", "vqa"], "no head for task 'vqa' (weights classifier.fc2); it has heads for itm"),
        (["{vqa}", "--task", "retrieval"], "no head for task 'retrieval'"),
        (["{itm}", "--task", "itc"], "task 'itc' is unknown; use one of itm, vqa, snli, mlm, retrieval"),
        (["{pretrain}"], "does not say its task: it has heads for itm, mlm, retrieval; give --task"),
        (["{vqa}", "--task", "snli"], "task 'snli' has 3 classes, the checkpoint 4; use --task vqa"),
        (["{nlvr2}", "--task", "vqa"], "reads two images"),
        (["{itm}", "--image_size", "40"], "--image_size 40 is not a multiple of patch_size=16"),
        (["{itm}", "--max_text_len", "90"], "--max_text_len 90 is not between 3 and 12"),
        (["{wordless}"], "no tokenizer beside it"),
        (["{itm}", "--tokenizer", "{small}"], "give --tokenizer with the one that it was trained with"),
        (["{itm}", "--image_transform", "clip_randaug"], "random"),
        (["{itm}", "--image_transform", "pixelbert"], "reads squares of 32 pixels"),
        (["{itm}", "--image_transform", "clap"], "did you mean 'clip'"),
        (["{itm}", "--labels", "{labels}"], "--labels is for classifiers"),
        (["{vqa}", "--labels", "{labels}"], "9 names with ids up to 8, the model 4 classes"),
        (["{vqa}", "--labels", "{broken}"], "is not JSON"),
        (["{vqa}", "--labels", "{absent}"], "does not exist"),
    ])
    def test_message(self, arguments: list[str], message: str, sources: dict[str, Path], tmp_path: Path,
                     capsys: pytest.CaptureFixture[str]) -> None:
        words = [word.format(**sources) for word in arguments]
        assert export.main([*words, "--output", str(tmp_path / "new" / "static")]) == 2
        error = capsys.readouterr().err
        assert message in error and error.startswith("export.py: error: ") and error.count("\n") == 1
        assert not list(tmp_path.iterdir())

    def test_output(self, sources: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str],
                    monkeypatch: pytest.MonkeyPatch) -> None:
        def empty_programs(_: Any, __: Any, folder: Path, ___: Any) -> None:
            for part in PARTS:
                (folder / f"{part}.json").touch()
                (folder / f"{part}.pdiparams").touch()

        def interrupted(*_: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(exporter, "_write_programs", empty_programs)
        output = tmp_path / "static"
        command = [str(sources["itm"]), "--output", str(output)]
        assert export.main(command) == 0
        written = {file.name: file.stat().st_mtime_ns for file in output.iterdir()}
        assert export.main(command) == 2
        assert "holds an export already; add --overwrite" in capsys.readouterr().err
        with monkeypatch.context() as patch:
            patch.setattr(exporter, "_write_programs", interrupted)
            assert export.main([*command, "--overwrite"]) == 130
        assert {file.name: file.stat().st_mtime_ns for file in output.iterdir()} == written
        assert export.main([*command, "--overwrite", "--max_text_len", "5"]) == 0
        assert BridgeTowerPredictor(output).manifest.max_text_len == 5
        assert [path.name for path in tmp_path.iterdir()] == ["static"]
        assert export.main([command[0], "--output", str(sources["itm"]), "--overwrite"]) == 2
        assert "holds other files and no export.json" in capsys.readouterr().err

    @pytest.mark.slow
    def test_terminated(self, sources: dict[str, Path], warm_python: Path, tmp_path: Path) -> None:
        """A process that is told to stop while it writes removes what it has written."""
        code = ("import os, signal, export\nfrom bridgetower.export import exporter\n"
                "exporter.make_parts = lambda *_: os.kill(os.getpid(), signal.SIGTERM)\n"
                f"raise SystemExit(export.main([{str(sources['itm'])!r}, '--output', {str(tmp_path / 'new')!r}]))")
        root = Path(__file__).parents[2]
        done = subprocess.run([warm_python, "-c", code], cwd=root, capture_output=True, text=True, timeout=240)
        assert done.returncode == 130 and done.stderr.endswith("export.py: interrupted, nothing written\n")
        assert not list(tmp_path.iterdir())

    def test_predictor(self, itm: tuple[Any, Path, Path], tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="no exported model"):
            BridgeTowerPredictor(itm[1])
        folder = Path(shutil.copytree(itm[2], tmp_path / "static"))
        static, batch = BridgeTowerPredictor(folder, threads=1), random_batch(3, 4, 2)
        with pytest.raises(ValueError, match="texts have 13 tokens, the position table .* holds 12"):
            static.encode_text(np.full((1, 13), 5))
        with pytest.raises(ValueError, match=r"pixel_values has shape \(1, 3, 16, 16\)"):
            static.encode_image(np.zeros((1, 3, 16, 16)))
        with pytest.raises(ValueError, match="attention_mask has shape"):
            static.encode_text(np.full((1, 4), 5), np.ones((1, 3)))
        with pytest.raises(ValueError, match="3 texts but 2 images"):
            static.fuse(static.encode_text(batch["input_ids"]), static.encode_image(batch["pixel_values"]))
        for settings in ({"device": "gpu"}, {"threads": 0}, {"precision": "bfloat16", "onednn": False}):
            with pytest.raises(ValueError, match=next(iter(settings))):
                BridgeTowerPredictor(folder, "paddle", **settings)
        (folder / "text.pdiparams").unlink()
        with pytest.raises(FileNotFoundError, match="lacks text.pdiparams"):
            BridgeTowerPredictor(folder)
        manifest = json.loads((folder / "export.json").read_text())
        (folder / "export.json").write_text(json.dumps({**manifest, "formats": ["tensorrt"]}))
        with pytest.raises(ValueError, match="unknown format 'tensorrt'; export the checkpoint again"):
            BridgeTowerPredictor(folder)
        (folder / "export.json").write_text(json.dumps({**manifest, "format_version": 0}))
        with pytest.raises(ValueError, match="format_version=0.*export the checkpoint again"):
            BridgeTowerPredictor(folder)


def test_predictor_loads_without_paddlenlp() -> None:
    code = ("import sys; from bridgetower.export import BridgeTowerPredictor; "
            "print([name for name in ('paddlenlp', 'bridgetower.modules', 'paddle') if name in sys.modules])")
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True,
                          timeout=240).stdout == "[]\n"
