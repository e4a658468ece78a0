"""Memory: long runs stay flat, and tables are read where they lie."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bridgetower import BridgeTowerConfig
from bridgetower.preparation.schemas import CAPTIONS
from bridgetower.training.memory import Method, Passes, kept_activations, need_of
from tests.miniature import MODEL, write_experiment, write_miniature

ROOT = Path(__file__).resolve().parents[2]

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

#: Trains with the words of the command line, and prints the resident bytes after each step.
TRAIN = """
import json, sys
import psutil
import train, trainer_util
from paddlenlp.trainer import TrainerCallback

class Sampler(TrainerCallback):
    resident = []

    def on_step_end(self, args, state, control, **kwargs):
        self.resident.append(psutil.Process().memory_info().rss)

build = trainer_util.BridgeTowerTrainer.__init__

def watched(self, *args, **kwargs):
    build(self, *args, **kwargs)
    self.add_callback(Sampler())

trainer_util.BridgeTowerTrainer.__init__ = watched
status = train.main(sys.argv[1:])
print(json.dumps({"status": status, "resident": Sampler.resident}))
"""

#: Opens the captions of a folder, reads one sample, and prints what that added to the process's own memory.
READ = """
import json, sys
from pathlib import Path
import pyarrow as pa
from bridgetower.datasets import DatasetOptions, build_dataset

def own_memory():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))

options = DatasetOptions(image_size=32, transform="clip")
build_dataset(["easy_vqa_caption"], "val", sys.argv[1], options)[0]  # what the libraries allocate once
before, allocated = own_memory(), pa.total_allocated_bytes()
dataset = build_dataset(["easy_vqa_caption"], "train", sys.argv[1], options)
sample = dataset[len(dataset) - 1]
print(json.dumps({"own": own_memory() - before, "arrow": pa.total_allocated_bytes() - allocated,
                  "samples": len(dataset), "shape": sample.pixel_values.shape}))
"""


def last_line(python: Path | str, *words: str, timeout: int = 600) -> Any:
    """Run an interpreter and read the JSON that it prints last."""
    run = subprocess.run([python, *words], cwd=ROOT, capture_output=True, text=True, timeout=timeout,
                         env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"})
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout.splitlines()[-1])


@linux
@pytest.mark.slow
def test_a_long_run_does_not_grow(warm_python: Path, tmp_path: Path) -> None:
    folder = write_miniature(tmp_path)
    shallow = {**MODEL, "num_hidden_layers": 1} | {
        name: {**MODEL[name], "num_hidden_layers": 1} for name in ("text_config", "vision_config")}
    experiment = write_experiment(
        folder, "long", {"name": "vqa", "num_labels": 6}, shallow, max_steps=300, dataloader_num_workers=1,
        logging_steps=50, per_device_train_batch_size=1, evaluation_strategy="steps", eval_steps=140)
    found = last_line(warm_python, "-c", TRAIN, "--config_name", str(experiment), "--data_root", str(folder / "data"),
                      "--output_dir", str(folder / "run"), "--do_train", "--device", "cpu")
    assert found["status"] == 0 and len(found["resident"]) == 300
    lines = (json.loads(line) for line in (folder / "run/metrics.jsonl").read_text().splitlines())
    assert [line["global_step"] for line in lines if "eval_the_metric" in line][:2] == [140, 280]
    after_100, at_the_end = found["resident"][99], max(found["resident"][-10:])
    assert at_the_end < 1.02 * after_100, f"{after_100 / 1e6:.1f} MB after step 100, {at_the_end / 1e6:.1f} at the end"


@linux
def test_a_table_is_mapped_and_not_loaded(tmp_path: Path) -> None:
    write_miniature(tmp_path)
    source = pa.ipc.open_file(pa.memory_map(str(tmp_path / "data/easy_vqa_caption_train.arrow"))).read_all()
    image = source["image"][0].as_py()
    row = {"image": image + bytes(1 << 20), "caption": ["a", "b"], "image_id": "0", "split": "train"}  # PNG ends before
    file = tmp_path / "data/easy_vqa_caption_train.arrow"
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, CAPTIONS) as writer:
        for _ in range(10):
            writer.write_batch(pa.RecordBatch.from_pylist([row] * 20, schema=CAPTIONS))
    assert file.stat().st_size > 200e6
    found = last_line(sys.executable, "-c", READ, str(tmp_path / "data"))
    assert found["samples"] == 400 and found["shape"] == [3, 32, 32]
    assert found["arrow"] < 1e6
    assert found["own"] < 10e6, f"{found['own'] / 1e6:.1f} MB for one sample of a file of 210 MB"


def test_computed_activations_are_those_that_were_measured() -> None:
    """docs/training.md: 3.15 GiB for MLM and ITM of the base model with 4 texts and 2 false images, 0.24 recomputed."""
    passes = Passes(images=1.5, texts=2, pooled=1, text_only=1)
    config = BridgeTowerConfig(hidden_dropout_prob=0, attention_probs_dropout_prob=0,
                               text_config=dict(hidden_dropout_prob=0, attention_probs_dropout_prob=0))
    for method, measured in ((Method(keeps_weights=True), 3.15), (Method(recompute=True), 0.24)):
        kept = 4 * kept_activations(config, passes, 50, method, buffers=False) @ np.array([4, 4, 1]) / 2**30
        assert kept == pytest.approx(measured, rel=0.12)


def test_methods_need_less_or_more() -> None:
    def total(batch: int = 8, **changes: Any) -> float:
        return need_of(BridgeTowerConfig(), 330_000_000, Passes(1, 1, 1), 50, Method(**changes)).total(batch)

    assert total(16) > total() > total(recompute=True) > 16 * 330e6
    assert total() - total(sharding=1, devices=4) == pytest.approx(8 * 330e6 * 3 / 4)
    assert total(sharding=1, devices=4) - total(sharding=2, devices=4) == pytest.approx(4 * 330e6 * 3 / 4)
    assert total(keeps_weights=True) > total() > total(precision="bf16 O1") > total(precision="bf16 O2")
    assert total(0, clips=True) == pytest.approx(20 * 330e6)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["pooled", "dropout", "deep", "recompute", "weights"])
def test_computed_peaks_are_those_of_small_trainings(warm_python: Path, case: str) -> None:
    found = last_line(warm_python, "-m", "tests.training.memory_peak", case, timeout=300)
    assert found["computed"] == pytest.approx(found["measured"], rel=0.08), found
