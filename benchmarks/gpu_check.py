"""Run on a GPU what could only be tried on a CPU, and write a report that can be attached to an issue.

    bash scripts/gpu_check.sh [FOLDER]

Each check is a process of its own, with its log in FOLDER (`output/gpu_check` by default): one that fails does not stop
the others. FOLDER/report.md names the machine, has one line per check, and ends with the logs of those that failed.
Without a GPU, the checks that need none run on the CPU and show that this program works.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 3600
LINES = 30
#: Relative differences of the losses from those of one device in float32.
ROUNDING, HALF = 1e-3, 0.1


@dataclass(frozen=True)
class Check:
    """One command.

    Attributes:
        name: of the log file and of the line in the report.
        words: the command.
        gpus: how many it needs.
        environment: added to that of this process.
        judge: looks at what the command left behind; what it returns goes into the report, what it raises is a failure.
    """

    name: str
    words: tuple[object, ...]
    gpus: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    judge: Callable[[], str] = lambda: ""


def checks(folder: Path, gpus: int) -> list[Check]:
    """All checks, in their order: later ones compare with what earlier ones left in `folder`."""
    device = "gpu" if gpus else "cpu"
    # TensorFloat-32 would round the products of float32 to 10 bits.
    exact = {"BRIDGETOWER_TEST_DEVICE": device, "BRIDGETOWER_KERNELS": "paddle", "NVIDIA_TF32_OVERRIDE": "0"}
    pytest = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0")
    goldens = ("tests/modules/test_goldens.py", "tests/training/test_optimization.py")

    def training(name: str, *flags: str, tolerance: float = ROUNDING, gpus: int = 0) -> Check:
        words = (sys.executable, "train.py", *_flags(folder, name), "--device", device, *flags)
        return Check(name, words, gpus, {"NVIDIA_TF32_OVERRIDE": "0"}, lambda: _compare(folder, name, tolerance))

    port = ("-m", "paddle.distributed.launch", "--nproc_per_node", "2", "--log_dir", folder / "two_devices_log")
    return [
        Check("goldens", (*pytest, goldens[0]), 0, exact),
        Check("trajectory", (*pytest, goldens[1], "-k", "training_steps or adamw"), 0, exact),
        training("float32"),
        training("recompute", "--recompute"),
        *(training(f"{name}_{level}", f"--{name}", "--fp16_opt_level", level, tolerance=HALF, gpus=1)
          for name in ("bf16", "fp16") for level in ("O1", "O2")),
        training("bf16_recompute", "--bf16", "--recompute", tolerance=HALF, gpus=1),
        Check("two_devices", (sys.executable, *port, "train.py", *_flags(folder, "two_devices", per_device=4),
                              "--device", device), 2 if gpus else 0, {"PADDLE_DISTRI_BACKEND": "" if gpus else "gloo"},
              lambda: _compare(folder, "two_devices", ROUNDING)),
        Check("speed", (sys.executable, "benchmarks/bench_gpu.py", "--output", folder / "speed.json"), 0, {},
              lambda: (folder / "speed.log").read_text().split("\n\n", 1)[-1]),
    ]


def _flags(folder: Path, name: str, per_device: int = 8) -> tuple[object, ...]:
    return ("--config_name", folder / "miniature/vqa.json", "--data_root", folder / "miniature/data", "--output_dir",
            folder / name, "--overwrite_output_dir", "true", "--do_train", "--batch_size", 8,
            "--per_device_train_batch_size", per_device)


def _losses(folder: Path, name: str) -> np.ndarray:
    lines = map(json.loads, (folder / name / "metrics.jsonl").read_text().splitlines())
    return np.array([line["loss"] for line in lines if "loss" in line])


def _compare(folder: Path, name: str, tolerance: float) -> str:
    """How far the losses of a run are from those in float32.

    Raises:
        ValueError: too far, or not all there.
    """
    found, expected = _losses(folder, name), _losses(folder, "float32")
    if found.shape != expected.shape:
        raise ValueError(f"{len(found)} log lines instead of {len(expected)}")
    difference = float((np.abs(found - expected) / np.abs(expected)).max())
    if not difference <= tolerance:
        raise ValueError(f"the losses differ by {difference:.1e}, allowed are {tolerance:.0e}")
    return f"the losses differ from float32 by {difference:.1e} at most"


def run(check: Check, folder: Path, gpus: int) -> tuple[str, str]:
    """Run a check: its outcome, and a detail."""
    if check.gpus > gpus:
        return "skipped", f"needs {check.gpus} GPU" + "s" * (check.gpus > 1)
    start = time.perf_counter()
    inherited = {key: value for key, value in os.environ.items() if value or key != "CUDA_VISIBLE_DEVICES"}
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {key: value for key, value in {**inherited, **check.environment}.items() if value}
    with open(folder / f"{check.name}.log", "w", encoding="utf-8") as log:
        try:
            status = subprocess.run([*map(str, check.words)], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT,
                                    check=False, timeout=SECONDS, env={**environment, "PYTHONPATH": paths}).returncode
        except subprocess.TimeoutExpired:
            return "failed", f"not done after {SECONDS} seconds"
    seconds = f"{time.perf_counter() - start:.0f} s"
    if status:
        return "failed", f"exit status {status} after {seconds}"
    try:
        return "passed", f"{check.judge()} ({seconds})".lstrip()
    except (OSError, ValueError, LookupError) as error:
        return "failed", str(error)


def machine(gpus: int) -> str:
    """What the checks ran on."""
    import paddle

    lines = [f"{platform.platform()}, Python {platform.python_version()}, Paddle {paddle.__version__}, "
             f"CUDA {paddle.version.cuda()}, cuDNN {paddle.version.cudnn()}"]
    for number in range(gpus):
        found = paddle.device.cuda.get_device_properties(number)
        lines.append(f"GPU {number}: {found.name}, {found.major}.{found.minor}, {found.total_memory / 1e9:.0f} GB")
    return "\n".join(lines if gpus else [*lines, "no GPU: this was a dry run on the CPU"])


def report(folder: Path, gpus: int, outcomes: Mapping[str, tuple[str, str]]) -> str:
    """The report as Markdown."""
    parts = ["# GPU check", f"```\n{machine(gpus)}\n```", "| check | outcome | |\n| --- | --- | --- |\n" + "\n".join(
        f"| {name} | {outcome} | {'see below' if '|' in detail else detail} |"
        for name, (outcome, detail) in outcomes.items())]
    for name, (outcome, detail) in outcomes.items():
        if "|" in detail:
            parts += [f"## {name}", detail]
        if outcome == "failed":
            tail = (folder / f"{name}.log").read_text(encoding="utf-8", errors="replace").splitlines()[-LINES:]
            parts += [f"## {name}: the end of its log", "```\n" + "\n".join(tail) + "\n```"]
    return "\n\n".join(parts) + "\n"


def main() -> int:
    """Run all checks; the status is 1 when one failed."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "output/gpu_check").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    sys.path.insert(0, str(ROOT))
    import paddle

    from tests.miniature import write_experiment, write_miniature

    gpus = paddle.device.cuda.device_count()
    write_experiment(write_miniature(folder / "miniature"), "vqa", {"name": "vqa"}, max_steps=10, adam_epsilon=1e-3)
    outcomes = {}
    for check in checks(folder, gpus):
        outcomes[check.name] = run(check, folder, gpus)
        print(f"{check.name:15} {': '.join(outcomes[check.name])}", flush=True)
    (folder / "report.md").write_text(report(folder, gpus, outcomes), encoding="utf-8")
    print(f"report: {folder / 'report.md'}")
    return int(any(outcome == "failed" for outcome, _ in outcomes.values()))


if __name__ == "__main__":
    sys.exit(main())
