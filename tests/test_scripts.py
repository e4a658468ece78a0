"""The launch scripts: every real command line through the real parser, on one CPU process and on many devices."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import paddle
import pytest

import trainer_util
from bridgetower.experiment import Experiment
from bridgetower.report.ablations import COMPARISONS
from bridgetower.tasks import get_task
from trainer_util import BridgeTowerTrainingArguments, parse_arguments
from utils import check_run

ROOT = Path(__file__).resolve().parents[1]
BASE, LARGE = "BridgeTower/bridgetower-base-itm-mlm", "BridgeTower/bridgetower-large-itm-mlm"
CLIP16, CLIP14 = "openai/clip-vit-base-patch16", "openai/clip-vit-large-patch14"
#: Script -> (experiment file, weights: a checkpoint, or the two towers).
SCRIPTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "pre_train": ("pretrain_config.json", (CLIP16, "FacebookAI/roberta-base")),
    "pre_train_large": ("pretrain_large_config.json", (CLIP14, "FacebookAI/roberta-large")),
    "ftfs_base_vqa": ("vqav2_from_towers_config.json", (CLIP16, "FacebookAI/roberta-base")),
    "ftfs_large_vqa": ("vqav2_large_from_towers_config.json", (CLIP14, "FacebookAI/roberta-large")),
    "ftfpt_base_vqa": ("vqav2_config.json", (BASE,)),
    "ftfpt_large_vqa": ("vqav2_large_config.json", (LARGE,)),
    "ftfpt_base_snlive": ("snli_ve_config.json", (BASE,)),
    "ftfpt_base_nlvr2": ("nlvr2_config.json", (BASE,)),
    "ftfpt_base_irtr_f30k": ("irtr_f30k_config.json", (BASE,)),
    "ftfpt_base_irtr_itm_itc_f30k": ("irtr_itm_itc_f30k_config.json", (BASE,)),
    "ftfpt_base_irtr_itm_itc_coco": ("irtr_itm_itc_coco_config.json", (BASE,)),
}


@dataclass(frozen=True)
class Command:
    """A launch command taken apart: of the launcher, its environment and flags; and what train.py gets."""

    environment: tuple[str, ...]
    launcher: tuple[str, ...]
    train: tuple[str, ...]

    def parse(self, monkeypatch: pytest.MonkeyPatch, devices: int = 1
              ) -> tuple[BridgeTowerTrainingArguments, Experiment]:
        """What the real parser makes of it in one of `devices` processes; there is no GPU here to ask for."""
        monkeypatch.setattr(trainer_util.TrainingArguments, "world_size", devices)
        monkeypatch.setattr(paddle.distributed, "get_world_size", lambda: devices)
        return parse_arguments(["cpu" if word == "gpu" else word for word in self.train])


def run(script: str, *words: str, folder: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    return subprocess.run(["bash", str(ROOT / "scripts" / f"{script}.sh"), *words], cwd=folder, text=True,
                          capture_output=True, timeout=240,
                          env={**inherited, "PYTHON": sys.executable, "DRY_RUN": "1", "DEVICES": "cpu", **environment})


def commands(script: str, *words: str, **environment: str) -> list[Command]:
    result = run(script, *words, **environment)
    assert result.returncode == 0, result.stderr
    found = []
    for line in result.stdout.splitlines():
        parts = shlex.split(line)
        python, train = parts.index(sys.executable), parts.index(str(ROOT / "train.py"))
        assert parts[python + 1:python + 4] == ["-u", "-m", "paddle.distributed.launch"]
        found.append(Command(tuple(parts[:python]), tuple(parts[python + 4:train]), tuple(parts[train + 1:])))
    return found


@pytest.mark.parametrize("script", SCRIPTS)
def test_defaults(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    command, = commands(script)
    config, weights = SCRIPTS[script]
    args, experiment = command.parse(monkeypatch)
    is_pretraining = script.startswith("pre_train")
    assert experiment.source == str(ROOT / "configs" / config)
    assert (args.data_root, args.output_dir) == ("data/pre-train" if is_pretraining else "data/fine-tune",
                                                 f"output/{script}")
    assert tuple(name for name in (args.checkpoint_path, args.image_tower, args.text_tower) if name) == weights
    assert (args.checkpoint_path is None) == (len(weights) == 2)
    assert (args.do_train, args.do_eval, args.do_predict) == (True, True, not is_pretraining)
    assert command.launcher == ("--log_dir", f"output/{script}/log", "--nproc_per_node", "1")
    assert not command.environment
    assert args.per_device_train_batch_size == experiment.training["per_device_train_batch_size"]
    assert args.batch_size == args.per_device_train_batch_size * args.gradient_accumulation_steps
    check_run(experiment, get_task(experiment.task), args)


@pytest.mark.parametrize("script", SCRIPTS)
def test_sixteen_devices(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Two hosts of eight: the same total batch as on one process, in no larger parts than the file says."""
    command, = commands(script, DEVICES="0,1,2,3,4,5,6,7", NNODES="2", MASTER="first:6170")
    assert command.launcher[2:] == ("--devices", "0,1,2,3,4,5,6,7", "--nnodes", "2", "--master", "first:6170")
    assert Path(command.launcher[1]).parent.name == "log"  # the hosts share the folder, and each has a process 0
    assert not command.environment and command.train[command.train.index("--device") + 1] == "gpu"
    args, experiment = command.parse(monkeypatch, devices=16)
    assert args.world_size == 16 and args.batch_size == experiment.training["batch_size"]
    assert args.per_device_train_batch_size * 16 * args.gradient_accumulation_steps == args.batch_size
    assert args.per_device_train_batch_size <= experiment.training["per_device_train_batch_size"]
    if script == "ftfpt_base_snlive":
        assert (args.per_device_train_batch_size, args.gradient_accumulation_steps) == (4, 1)


def test_environment_and_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    command, = commands("ftfpt_base_snlive", "--max_steps", "3", "--set", "data.image_size=32", "--output_dir", "o 2",
                        DATA_ROOT="my data", CHECKPOINT="a b.ckpt", OUTPUT="out", TOKENIZER="words", DO="predict",
                        CONFIG="configs/vqav2_vgqa_config.json")
    monkeypatch.chdir(ROOT)
    args, experiment = command.parse(monkeypatch)
    assert (args.data_root, args.checkpoint_path, args.max_steps) == ("my data", "a b.ckpt", 3)
    assert args.output_dir == "o 2" and command.launcher[1] == "out/log"
    assert (args.do_train, args.do_eval, args.do_predict) == (False, False, True)
    assert experiment.source == "configs/vqav2_vgqa_config.json"
    assert (experiment.data.tokenizer, experiment.data.image_size) == ("words", 32)


def test_total_batch_from_the_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    command, = commands("ftfpt_base_vqa", "--batch_size", "12", NPROC="2")
    assert command.environment == ("env", "PADDLE_DISTRI_BACKEND=gloo")
    args, _ = command.parse(monkeypatch, devices=2)
    assert (args.per_device_train_batch_size, args.gradient_accumulation_steps, args.batch_size) == (6, 1, 12)


@pytest.mark.parametrize(("environment", "expected"), [
    ({}, "0,1,2"), ({"CUDA_VISIBLE_DEVICES": "2,3"}, "2,3"), ({"CUDA_VISIBLE_DEVICES": ""}, None),
    ({"DEVICES": "1", "CUDA_VISIBLE_DEVICES": "0,1"}, "1"), ({"DEVICES": "cpu"}, None)])
def test_devices_of_a_host(tmp_path: Path, environment: dict[str, str], expected: str | None) -> None:
    """A host with three GPUs."""
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\nprintf 'GPU 0: A\\nGPU 1: B\\nGPU 2: C\\n'\n")
    smi.chmod(0o755)
    command, = commands("ftfpt_base_vqa", "--batch_size", "12", PATH=f"{tmp_path}:{os.environ['PATH']}",
                        **{"DEVICES": "", **environment})
    flag = ("--nproc_per_node", "1") if expected is None else ("--devices", expected)
    assert command.launcher[2:] == flag
    assert command.train[command.train.index("--device") + 1] == ("cpu" if expected is None else "gpu")


#: The two command lines of the README that this project follows, for eight devices of one host.
README_COMMANDS = {
    "configs/pretrain_config.json": (
        "--do_train --do_eval --evaluation_strategy epoch --learning_rate 1.0 --eval_steps 1000 --warmup_ratio 0.1 "
        "--save_steps 1000 --dataloader_num_workers 8 --logging_steps 50 --num_nodes 1 --num_gpus 8 "
        "--per_device_train_batch_size 16 --per_device_eval_batch_size 128 --batch_size 128 --num_train_epochs 10 "
        "--weight_decay 0.01 --save_total_limit 50 --adam_epsilon 1e-8 --adam_beta1 0.9 --adam_beta2 0.98 "
        "--lr_scheduler_type polynomial --lr_end 0 --power 1 --seed 1 --max_grad_norm -1 --max_steps 100000 "
        "--label_names text_labels --data_root pre-train --output_dir pretrain_output"),
    "configs/snli_ve_config.json": (
        "--do_eval --do_train --learning_rate 1.0 --warmup_ratio 0.06 --logging_steps 50 --eval_steps 100 "
        "--evaluation_strategy epoch --num_nodes 1 --num_gpus 8 --per_device_train_batch_size 8 "
        "--per_device_eval_batch_size 64 --batch_size 64 --dataloader_num_workers 8 --save_steps 8000 "
        "--num_train_epochs 5 --weight_decay 0.01 --save_total_limit 50 --adam_epsilon 1e-8 --adam_beta1 0.9 "
        "--adam_beta2 0.98 --seed 1 --data_root fine-tune --lr_scheduler_type polynomial --checkpoint_path "
        "./checkpoints/checkpoint-40000/model_state.pdparams --lr_end 0 --power 1 --max_grad_norm -1 "
        "--output_dir output_pd"),
}


@pytest.mark.parametrize("config", README_COMMANDS)
def test_the_first_readme(monkeypatch: pytest.MonkeyPatch, config: str) -> None:
    """Its command lines mean what they say, and for visual entailment what the original's script says."""
    words = ("--config_name", str(ROOT / config), *shlex.split(README_COMMANDS[config]))
    args, experiment = Command((), (), words).parse(monkeypatch, devices=8)
    assert args.seed == 1 and args.gradient_accumulation_steps == 1 and args.learning_rate == 1
    check_run(experiment, get_task(experiment.task), args)
    if "snli" in config:
        ours, _ = commands("ftfpt_base_snlive", DEVICES="0,1,2,3,4,5,6,7")[0].parse(monkeypatch, devices=8)
        different = {name for name, value in vars(ours).items() if not name.startswith("_")
                     and getattr(args, name) != value and "dir" not in name}
        assert different == {"data_root", "checkpoint_path", "do_predict", "eval_steps", "save_steps", "num_nodes",
                             "num_gpus", "seed", "run_name", "fit_device_batch"}


@pytest.mark.parametrize(("kind", "config", "task"), [
    ("classify", "classify", "classify"), ("snli", "classify", "classify"), ("vqa", "vqa", "vqa"),
    ("pair_classify", "classify", "pair_classify"), ("nlvr2", "classify", "pair_classify"),
    ("caption", "retrieval", "irtr_itm_itc")])
def test_own_tables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, config: str, task: str) -> None:
    """The description of the tables decides the experiment."""
    (tmp_path / "my-shop.json").write_text(json.dumps({"kind": kind}))
    command, = commands("finetune", "my-shop", "trained", "--max_steps", "3", DATA_ROOT=str(tmp_path))
    args, experiment = command.parse(monkeypatch)
    assert experiment.source == str(ROOT / f"configs/finetune_{config}.json") and experiment.task.name == task
    assert experiment.data.datasets == ("my-shop",) and not {*experiment.given} - {"datasets"}
    assert (args.checkpoint_path, args.data_root, args.output_dir) == ("trained", str(tmp_path), "output/my-shop")
    assert (args.max_steps, args.do_train, args.do_eval, args.do_predict) == (3, True, True, True)
    check_run(experiment, get_task(experiment.task), args)


def test_own_tables_without_a_checkpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The released model; and pre-training goes on with captions if its experiment is asked for."""
    (tmp_path / "mine.json").write_text(json.dumps({"kind": "caption"}))
    command, = commands("finetune", "mine", "--seed", "5", DATA_ROOT=str(tmp_path), OUTPUT="out",
                        CONFIG=str(ROOT / "configs/finetune_pretrain.json"))
    args, experiment = command.parse(monkeypatch)
    assert (args.checkpoint_path, args.output_dir, args.seed) == (BASE, "out", 5)
    assert experiment.task.name == "pretrain" and not args.do_predict
    check_run(experiment, get_task(experiment.task), args)


@pytest.mark.parametrize(("words", "content", "message"), [
    ((), None, "name your tables: bash scripts/finetune.sh NAME [CHECKPOINT]"),
    (("mine",), None, "mine.json does not exist; make it with python -m bridgetower.preparation table"),
    (("mine",), "{}", "mine.json does not describe tables"),
    (("mine",), '{"kind": "sound"}', "holds sound samples; use any of caption, classify, pair_classify and vqa")])
def test_refusals_of_own_tables(tmp_path: Path, words: tuple[str, ...], content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "mine.json").write_text(content)
    result = run("finetune", *words, DATA_ROOT=str(tmp_path))
    assert result.returncode == 2 and message in result.stderr.splitlines()[-1] and not result.stdout


def test_towers_and_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint replaces the towers; nothing means random weights."""
    for environment, expected in (({"IMAGE_TOWER": "clip.pt"}, (None, "clip.pt", "FacebookAI/roberta-base")),
                                  ({"IMAGE_TOWER": "", "TEXT_TOWER": ""}, (None, None, None)),
                                  ({"CHECKPOINT": "trained", "IMAGE_TOWER": "clip.pt"}, ("trained", None, None))):
        command, = commands("ftfs_base_vqa", **environment)
        args, _ = command.parse(monkeypatch)
        assert (args.checkpoint_path, args.image_tower, args.text_tower) == expected
    args, _ = commands("ftfpt_base_vqa", CHECKPOINT="")[0].parse(monkeypatch)
    assert args.checkpoint_path is None


def test_tokenizer_of_a_local_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """That of the checkpoint, or of the text tower, when the folder has one and none is named."""
    for name in ("trained", "roberta", "bare"):
        (tmp_path / name).mkdir()
    (tmp_path / "trained/tokenizer.json").touch()
    (tmp_path / "roberta/vocab.json").touch()
    trained, roberta, bare = (str(tmp_path / name) for name in ("trained", "roberta", "bare"))
    for environment, expected in (({"CHECKPOINT": trained}, trained), ({"TEXT_TOWER": roberta}, roberta),
                                  ({"CHECKPOINT": bare, "TEXT_TOWER": roberta}, "roberta-base"),
                                  ({"CHECKPOINT": trained, "TOKENIZER": "own"}, "own"), ({}, "roberta-base")):
        _, experiment = commands("ftfs_base_vqa", **environment)[0].parse(monkeypatch)
        assert experiment.data.tokenizer == expected


@pytest.mark.parametrize(("environment", "message"), [
    ({"DO": "train evaluate"}, "DO has 'evaluate'; use any of train, eval, predict"),
    ({"NNODES": "2"}, "NNODES=2 needs MASTER=HOST:PORT"),
    ({"NPROC": "0"}, "NPROC=0 must be positive"),
])
def test_refusals(environment: dict[str, str], message: str) -> None:
    result = run("ftfpt_base_snlive", **environment)
    assert result.returncode == 2 and message in result.stderr and not result.stdout


@pytest.mark.parametrize(("environment", "devices", "error", "message"), [
    ({"NPROC": "3"}, 3, ValueError, "3 devices cannot share a batch of 64 samples"),
    ({"CONFIG": "configs/snli_config.json"}, 1, FileNotFoundError, "did you mean configs/snli_ve_config.json"),
])
def test_refusals_of_the_program(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], devices: int,
                                 error: type[Exception], message: str) -> None:
    command, = commands("ftfpt_base_snlive", **environment)
    with monkeypatch.context() as patch, pytest.raises(error, match=message):
        patch.chdir(ROOT)
        command.parse(patch, devices)


@pytest.mark.parametrize("name", ["meter", "backbones"])
def test_ablations(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    found = commands("ablation", name, "--max_steps", "5", OUTPUT="o")
    assert len(found) == len(COMPARISONS[name])
    for command, variant in zip(found, COMPARISONS[name], strict=True):
        args, experiment = command.parse(monkeypatch)
        assert args.output_dir == f"o/{variant.name}" and args.max_steps == 5 and args.overwrite_output_dir
        assert args.image_tower == (variant.image_tower or CLIP16)
        assert args.text_tower == (variant.text_tower or "FacebookAI/roberta-base")
        assert tuple(args.set) == variant.settings
        assert experiment.model.get("num_bridges") == (0 if "METER" in variant.label else None)
        assert (args.do_train, args.do_eval, args.do_predict) == (True, True, False)


def test_variants_start_from_their_own_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    found = commands("ablation", "meter", PRETRAINED="pre")
    assert [command.parse(monkeypatch)[0].checkpoint_path for command in found] == [
        f"pre/{variant.name}" for variant in COMPARISONS["meter"]]


def test_a_variant_that_is_done_is_not_run_again(tmp_path: Path) -> None:
    (tmp_path / "meter").mkdir()
    (tmp_path / "meter/eval_results.json").write_text("{}")
    found = commands("ablation", "meter", OUTPUT=str(tmp_path))
    assert [Path(command.train[command.train.index("--output_dir") + 1]).name for command in found] == [
        "bridgetower", "meter_fusion"]


@pytest.mark.parametrize(("script", "original"), [("ftfpt_base_cifar", "ftfpt_cifar.sh"),
                                                  ("ftfpt_base_glue", "ftfpt_glue.sh")])
def test_sweeps_are_the_originals(monkeypatch: pytest.MonkeyPatch, script: str, original: str) -> None:
    """The same settings as the original's runs from a pre-trained checkpoint."""
    recorded = json.loads((ROOT / "tests/data/original_configs.json").read_text(encoding="utf-8"))["scripts"][original]
    wanted = {(run["group_name"], run["learning_rate"], run.get("batch_size", 512), run.get("max_epoch", 10))
              for run in recorded["runs"] if run["load_flag"]}
    found, outputs = set(), set()
    for command in commands(script):
        args, experiment = command.parse(monkeypatch)
        assert args.checkpoint_path == BASE and args.batch_size % args.per_device_train_batch_size == 0
        found.add((*experiment.data.datasets, experiment.optimization.learning_rate, args.batch_size,
                   args.num_train_epochs))
        outputs.add(args.output_dir)
        assert experiment.task.name in script and args.do_predict == (experiment.task.name == "glue")
    assert found == wanted and len(outputs) == len(wanted)


def test_one_run_of_a_sweep(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    chosen = dict(TASKS="rte cola", LEARNING_RATES="3e-5", BATCH_SIZES="16", CHECKPOINT="", TEXT_TOWER="roberta",
                  OUTPUT=str(tmp_path))
    (tmp_path / "rte/3e-5_16").mkdir(parents=True)
    (tmp_path / "rte/3e-5_16/test_results.json").write_text("{}")
    command, = commands("ftfpt_base_glue", **chosen, DEVICES="0,1,2,3", NNODES="1")
    args, experiment = command.parse(monkeypatch, devices=4)
    assert experiment.data.datasets == ("cola",) and experiment.optimization.learning_rate == 3e-5
    assert (args.checkpoint_path, args.image_tower, args.text_tower) == (None, None, "roberta")
    assert (args.per_device_train_batch_size, args.batch_size) == (4, 16)


def test_a_failing_run_ends_the_comparison(tmp_path: Path) -> None:
    """The interpreter lists the variants and fails at the launch."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\ncase "$*" in *launch*train.py*) echo launched; exit 3;; esac\n'
                      f'exec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    result = run("ablation", "meter", folder=tmp_path, PYTHON=str(python), DRY_RUN="0")
    assert result.returncode == 3 and result.stdout == "launched\n", result.stderr


def test_unknown_comparison() -> None:
    result = run("ablation", "bridge")
    assert result.returncode == 2 and "bridges" in result.stderr


def test_the_demo_needs_the_quickstart(tmp_path: Path) -> None:
    result = run("search_demo", str(tmp_path))
    assert result.returncode == 2
    assert result.stderr == (f"search_demo: error: {tmp_path}/pretrain holds no model; run bash scripts/quickstart.sh "
                             f"{tmp_path} first\n")


def test_every_script_explains_itself() -> None:
    """Each names its purpose and an example of its own, and is listed here or among the other scripts."""
    others = {"environment", "test", "quickstart", "launch", "gpu_check"}
    for path in sorted((ROOT / "scripts").glob("*.sh")):
        if path.stem in others:
            continue
        assert path.stem in {*SCRIPTS, "finetune", "ablation", "ftfpt_base_cifar", "ftfpt_base_glue", "search_demo"}
        lines = path.read_text(encoding="utf-8").splitlines()
        assert lines[0] == "#!/usr/bin/env bash" and lines[1].startswith("# ")
        assert any(f"bash scripts/{path.name}" in line for line in lines)
        assert os.access(path, os.X_OK) and all(len(line) <= 120 for line in lines)
