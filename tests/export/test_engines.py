"""Engines: precisions, the choice of one, plain ONNX files, and messages for what cannot be used."""

from __future__ import annotations

import importlib.util
import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import export
from bridgetower import BridgeTowerForQuestionAnswering, pipeline
from bridgetower.export import BridgeTowerPredictor, ExportOptions, export_checkpoint
from bridgetower.export.engines import ENGINES
from bridgetower.export.manifest import PARTS
from tests.export.small_exports import dynamic_results, model_of, random_batch, save

ROOT = Path(__file__).parents[2]
#: Of the largest logit: bfloat16 has 8 bits of mantissa, int8 weights have 7 bits, so results are near, not equal.
NEAR = {"bfloat16": 0.05, "int8": 0.2}
Exported = tuple[Any, Path, Path]


def _without(packages: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let packages look as if they were not installed."""
    for package in packages:
        monkeypatch.setitem(sys.modules, package, None)


def _with_formats(folder: Path, formats: list[str], copy: Path) -> Path:
    """A copy of an export whose manifest names fewer formats."""
    shutil.copytree(folder, copy)
    manifest = json.loads((copy / "export.json").read_text())
    (copy / "export.json").write_text(json.dumps({**manifest, "formats": formats}))
    return copy


@pytest.mark.parametrize(("engine", "precision"), [
    ("paddle", "bfloat16"), ("openvino", "bfloat16"), ("onnxruntime", "int8"),
])
def test_lower_precision_is_near_or_refused(engine: str, precision: str, itm: Exported) -> None:
    """Whether bfloat16 runs depends on the processor; where it does not, the message says so."""
    pytest.importorskip(engine)
    model, _, folder = itm
    batch = random_batch(3, 6, 3)
    try:
        static = BridgeTowerPredictor(folder, engine, precision, threads=2)
    except ValueError as error:
        assert precision == "bfloat16" and "this processor has no" in str(error)
        return
    found = static.fuse(static.encode_text(batch["input_ids"], batch["attention_mask"]),
                        static.encode_image(batch["pixel_values"]))
    expected = dynamic_results(model, batch, [0, 1, 2])["fused"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=NEAR[precision] * np.abs(expected).max())


@pytest.mark.parametrize("engine", list(ENGINES))
def test_pipelines_take_an_engine(engine: str, itm: Exported) -> None:
    pytest.importorskip(engine)
    _, checkpoint, folder = itm
    picture = np.random.default_rng(0).integers(0, 256, (40, 30, 3)).astype(np.uint8)
    pipe = pipeline("image-text-matching", folder, engine=engine)
    expected = pipeline("image-text-matching", checkpoint)(picture, "a red square")
    assert pipe.engine.predictor.engine.name == engine
    assert pipe(picture, "a red square")["score"] == pytest.approx(expected["score"], abs=1e-5)


def test_int8_files_are_smaller(itm: Exported) -> None:
    pytest.importorskip("onnxruntime")
    sizes = {name: sum((itm[2] / f"{part}.{name}").stat().st_size for part in PARTS) for name in ("onnx", "int8.onnx")}
    assert sizes["int8.onnx"] < 0.7 * sizes["onnx"]


class TestAuto:
    """`auto` takes the fastest that is installed, has files and suits the processor, and says so."""

    @pytest.mark.parametrize(("absent", "chosen"), [
        ((), "openvino"), (("openvino",), "onnxruntime"), (("openvino", "onnxruntime"), "paddle"),
    ])
    def test_what_is_installed(self, absent: tuple[str, ...], chosen: str, itm: Exported, caplog: Any,
                               monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip(chosen)
        _without(absent, monkeypatch)
        with caplog.at_level(logging.INFO):
            assert BridgeTowerPredictor(itm[2]).engine.name == chosen
        assert f"engine {chosen} in float32, the fastest that can run here" in caplog.text
        assert all(f"not {name}: the package {name} is not installed" in caplog.text for name in absent)

    @pytest.mark.parametrize(("formats", "options", "chosen"), [
        (["paddle"], {}, "paddle"),
        (["paddle", "onnx"], {"onednn": False}, "paddle"),
        (["paddle", "onnx", "int8"], {"precision": "int8"}, "onnxruntime"),
    ])
    def test_what_the_folder_and_the_options_allow(self, formats: list[str], options: dict[str, Any], chosen: str,
                                                   itm: Exported, tmp_path: Path) -> None:
        pytest.importorskip(chosen)
        assert BridgeTowerPredictor(_with_formats(itm[2], formats, tmp_path / "copy"), **options).engine.name == chosen

    def test_none(self, itm: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
        _without(tuple(ENGINES), monkeypatch)
        with pytest.raises(ValueError, match="no engine can run .* in float32: openvino: the package openvino is not"):
            BridgeTowerPredictor(itm[2])


class TestUnusable:
    """What cannot be used is one line with the reason and the remedy."""

    @pytest.mark.parametrize(("options", "message"), [
        ({"engine": "onnx_runtime"}, "engine='onnx_runtime' is none of auto, .*did you mean 'onnxruntime'"),
        ({"precision": "float16"}, "precision='float16' is none of float32, bfloat16, int8; did you mean"),
        ({"device": "tpu"}, "device='tpu' is none of auto, cpu, gpu"),
        ({"engine": "paddle", "precision": "int8"}, "it has no precision='int8'; use 'float32' or 'bfloat16'"),
        ({"engine": "onnxruntime", "precision": "bfloat16"}, "no precision='bfloat16'; use 'float32' or 'int8'"),
        ({"engine": "openvino", "device": "gpu"}, "runs on CPUs only; use engine='paddle'"),
        ({"engine": "onnxruntime", "onednn": False}, "onednn=False is for engine='paddle'"),
    ])
    def test_options(self, options: dict[str, Any], message: str, itm: Exported) -> None:
        if options.get("engine") in ENGINES:
            pytest.importorskip(options["engine"])
        with pytest.raises(ValueError, match=message) as caught:
            BridgeTowerPredictor(itm[2], **options)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(("engine", "precision", "formats", "missing"), [
        ("onnxruntime", "float32", ["paddle"], "onnx"),
        ("openvino", "float32", ["paddle"], "onnx"),
        ("onnxruntime", "int8", ["paddle", "onnx"], "int8"),
        ("paddle", "float32", ["onnx"], "paddle"),
    ])
    def test_format(self, engine: str, precision: Any, formats: list[str], missing: str, itm: Exported,
                    tmp_path: Path) -> None:
        pytest.importorskip(engine)
        folder = _with_formats(itm[2], formats, tmp_path / "copy")
        with pytest.raises(ValueError, match=f"has no {missing} files; export the checkpoint again with --format"):
            BridgeTowerPredictor(folder, engine, precision)

    @pytest.mark.parametrize("engine", ENGINES)
    def test_package(self, engine: Any, itm: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
        _without((engine,), monkeypatch)
        with pytest.raises(ValueError, match=f"the package {engine} is not installed; pip install -r requirements-eng"):
            BridgeTowerPredictor(itm[2], engine)


class TestExport:
    def test_onnx_alone(self, itm: Exported, tmp_path: Path) -> None:
        """Nothing of Paddle's stays in a folder that holds ONNX files only."""
        manifest = export_checkpoint(itm[1], tmp_path / "onnx", ExportOptions(formats=("onnx",)))
        assert manifest.formats == ("onnx",)
        names = {file.name for file in (tmp_path / "onnx").iterdir()}
        assert names >= {f"{part}.onnx" for part in PARTS}
        assert not any(name.endswith((".pdiparams", ".int8.onnx")) or name == "text.json" for name in names)

    @pytest.mark.parametrize(("package", "wanted"), [("paddle2onnx", "onnx"), ("onnxruntime", "int8")])
    def test_missing_package(self, package: str, wanted: str, itm: Exported, tmp_path: Path, capsys: Any,
                             monkeypatch: pytest.MonkeyPatch) -> None:
        _without((package,), monkeypatch)
        assert export.main([str(itm[1]), "--output", str(tmp_path / "new"), "--format", wanted]) == 2
        assert f"--format {wanted} needs the package {package}, which is not" in capsys.readouterr().err
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(("formats", "message"), [
        (("onyx",), "formats='onyx' is none of paddle, onnx, int8; did you mean 'onnx'"), ((), "formats is empty"),
    ])
    def test_unknown_format(self, formats: tuple[str, ...], message: str, itm: Exported, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=message):
            export_checkpoint(itm[1], tmp_path / "new", ExportOptions(formats=formats))
        assert not list(tmp_path.iterdir())

    def test_program_of_the_package(self) -> None:
        run = subprocess.run([sys.executable, "-m", "bridgetower.export", "--help"], capture_output=True, text=True,
                             timeout=240)
        assert run.returncode == 0 and "examples:\n  python export.py" in run.stdout


class TestOnnxFiles:
    def test_checker_and_axes(self, itm: Exported) -> None:
        onnx = pytest.importorskip("onnx")
        axes = {}
        for part in PARTS:
            model = onnx.load(str(itm[2] / f"{part}.onnx"))
            onnx.checker.check_model(model, full_check=True)
            for value in (*model.graph.input, *model.graph.output):
                shape = [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
                assert axes.setdefault(value.name, shape) == shape
        assert axes == {
            "input_ids": ["batch", "tokens"], "attention_mask": ["batch", "tokens"],
            "pixel_values": ["batch", 3, 32, 32], "text_states": ["batch", 2, "tokens", 32],
            "image_states": ["batch", 2, 5, 32], "logits": ["batch", 2]}

    def test_paddle_is_not_needed(self, itm: Exported) -> None:
        """A machine that serves with ONNX Runtime or OpenVINO starts without Paddle."""
        engines = [name for name in ("onnxruntime", "openvino") if importlib.util.find_spec(name)]
        code = ("import sys, numpy as np; from bridgetower.export import BridgeTowerPredictor\n"
                f"for engine in {engines}:\n"
                f"    static = BridgeTowerPredictor({str(itm[2])!r}, engine, threads=1)\n"
                "    print(static('what is this?', np.zeros((40, 40, 3), np.uint8)).shape)\n"
                "print([name for name in ('paddle', 'paddlenlp') if name in sys.modules])")
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)
        assert run.stdout.splitlines() == ["(1, 2)"] * len(engines) + ["[]"], run.stderr

    def test_documented_example(self, words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                capsys: pytest.CaptureFixture[str]) -> None:
        """The program of docs/inference.md without this project runs as it stands and gives what the model gives."""
        pytest.importorskip("onnxruntime")
        text = (ROOT / "docs" / "inference.md").read_text(encoding="utf-8")
        command, program = (text.split(f"```{language}\n")[2].split("```")[0] for language in ("bash", "python"))
        assert "bridgetower" not in program and "paddle" not in program
        monkeypatch.chdir(tmp_path)
        model = model_of(BridgeTowerForQuestionAnswering, words, num_labels=3)
        model.config.name_labels({0: "red", 1: "yes", 2: "no"})
        save(model, tmp_path / "build" / "quickstart" / "vqa", words)
        assert export.main(command.split()[2:]) == 0
        capsys.readouterr()
        results: dict[str, Any] = {}
        exec(compile(program, "inference.md", "exec"), results)
        batch = {"input_ids": results["ids"], "attention_mask": results["mask"], "pixel_values": results["pixels"]}
        expected = dynamic_results(model, batch, [0])["fused"]
        np.testing.assert_allclose(results["logits"], expected, rtol=0, atol=1e-5)
        assert capsys.readouterr().out.strip() == model.config.label_names[int(expected.argmax())]
