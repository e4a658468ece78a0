"""Steps per second of the quickstart's training with and without the CPU settings of `bridgetower.runtime`.

    python benchmarks/bench_runtime.py [--rounds 3] [--steps 30] [--output results.json]

Both ways run `train.py` itself on the easy-VQA data, in turn, in fresh processes; the medians count. Warm-up and start
are left out: the Trainer's own timer runs from the first step.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
CONFIGS = {"pre-training": "quickstart_pretrain", "VQA fine-tuning": "quickstart_vqa"}


def prepare(folder: Path) -> None:
    """Make the easy-VQA data and its tokenizer, as scripts/quickstart.sh does."""
    for arguments in (["easy_vqa", "--output", f"{folder}/data"],
                      ["tokenizer", "--source", f"{folder}/data", "--output", f"{folder}/tokenizer",
                       "--vocab_size", "600"]):
        subprocess.run([sys.executable, "-m", "bridgetower.preparation", *arguments], check=True, capture_output=True)


def steps_per_second(config: str, folder: Path, tuned: bool, steps: int) -> float:
    """Train so many steps in a process of its own."""
    output = folder / "run"
    environment = {**os.environ, "BRIDGETOWER_TUNE_CPU": "1" if tuned else "0"}
    for name in ("OMP_NUM_THREADS", "MKL_DEBUG_CPU_TYPE", "FLAGS_use_stride_kernel"):
        environment.pop(name, None)
    command = [sys.executable, "train.py", "--config_name", f"configs/{config}.json", "--set",
               f"data.tokenizer={folder}/tokenizer", "--data_root", f"{folder}/data", "--output_dir", str(output),
               "--overwrite_output_dir", "true", "--do_train", "--device", "cpu", "--max_steps", str(steps),
               "--evaluation_strategy", "no", "--save_strategy", "no", "--disable_tqdm", "true"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return float(json.loads((output / "train_results.json").read_text())["train_steps_per_second"])


def main() -> None:
    """Measure in turn, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each way, in turn")
    parser.add_argument("--steps", type=int, default=30, help="training steps a run")
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    args = parser.parse_args()
    results: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepare(folder)
        for name, config in CONFIGS.items():
            runs: dict[str, list[float]] = {"with": [], "without": []}
            for number in range(args.rounds):
                for way in runs:
                    print(f"{name}, round {number + 1} of {args.rounds}, {way} the settings", file=sys.stderr)
                    runs[way].append(steps_per_second(config, folder, way == "with", args.steps))
            results[name] = runs
    print(f"{platform.machine()}, {os.cpu_count()} cores, {args.rounds} rounds of {args.steps} steps, median (min-max)")
    print(f"{'steps per second':18} {'with':>20} {'without':>20} {'ratio':>7}")
    for name, runs in results.items():
        cells = [f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})" for values in runs.values()]
        ratio = statistics.median(runs["with"]) / statistics.median(runs["without"])
        print(f"{name:18} {cells[0]:>20} {cells[1]:>20} {ratio:6.2f}x")
    if args.output:
        args.output.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
