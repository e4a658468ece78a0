"""A pre-training step of the base model on a GPU, MLM + ITM: ours against the original's plan in PyTorch.

    python benchmarks/bench_gpu.py [--rows 32] [--steps 10] [--output results.json]

Both sides train the same random weights on the same batch (see bench_pretrain.py), in float32 and in bfloat16 at O1 or
under autocast, each in a process of its own: the median seconds of a step and the largest memory of the device. Without
a GPU, a step of a tiny model on the CPU shows that the program works; the numbers mean nothing then. A side that
cannot run is left out, for instance where PyTorch is installed without CUDA.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from bench_pretrain import LEARNING_RATE, WEIGHT_DECAY, training_batch
from side_by_side import peak_memory

_SIZES: dict[str, Any] = {"hidden_size": 64, "num_hidden_layers": 2}
SMALL: dict[str, Any] = {
    "vision": {**_SIZES, "image_size": 32},
    "text": {**_SIZES, "num_attention_heads": 4, "intermediate_size": 256},
    **_SIZES, "num_attention_heads": 4, "intermediate_size": 256}
WARMUP = 3
SECONDS = 1800


def _batch(rows: int, size: int) -> dict[str, np.ndarray]:
    """The batch of bench_pretrain.py, repeated to `rows` pairs, with images of `size` pixels."""
    batch = training_batch()
    # Four pairs have two false images, so repeating keeps the number of zeros and of false images equal.
    batch = {name: np.concatenate([value] * (rows // 4)) for name, value in batch.items()}
    for name in ("pixel_values", "false_pixel_values"):
        batch[name] = np.ascontiguousarray(batch[name][:, :, :size, :size])
    return batch


def ours(folder: Path, batch: dict[str, np.ndarray], on_gpu: bool, half: bool) -> tuple[Callable[[], Any], Any]:
    """A step of ours that ends when the device has done it, and what reads the device's memory in bytes."""
    import paddle

    from bridgetower import BridgeTowerForPreTraining
    from bridgetower.training.optimization import AdamW, parameter_groups
    from bridgetower.training.precision import FLOAT32_OPERATORS

    paddle.set_device("gpu" if on_gpu else "cpu")
    model = BridgeTowerForPreTraining.from_pretrained(str(folder))
    model.train()
    tensors = {name: paddle.to_tensor(value) for name, value in batch.items()}
    optimizer = AdamW(LEARNING_RATE, parameter_groups(model, WEIGHT_DECAY, 5.0, 5.0))

    def step() -> None:
        with paddle.amp.auto_cast(half, custom_black_list=FLOAT32_OPERATORS, level="O1", dtype="bfloat16"):
            loss = model(**tensors).loss
        loss.backward()
        optimizer.step()
        optimizer.clear_grad(set_to_zero=False)
        float(loss)
        if on_gpu:
            paddle.device.synchronize()

    return step, paddle.device.cuda.max_memory_allocated


def peer(folder: Path, batch: dict[str, np.ndarray], on_gpu: bool, half: bool) -> tuple[Callable[[], Any], Any]:
    """The same of PyTorch."""
    import torch
    from hf_peer import load

    device = torch.device("cuda" if on_gpu else "cpu")
    model = load(folder, "PortForPreTraining", torch.get_num_threads()).to(device)
    model.train()
    tensors = {name: torch.from_numpy(value).to(device) for name, value in batch.items()}
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, (0.9, 0.98), 1e-8, WEIGHT_DECAY, fused=True)

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            loss = model(**tensors)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        loss.item()
        if on_gpu:
            torch.cuda.synchronize()

    return step, torch.cuda.max_memory_allocated


def measure(side: str, folder: Path, args: argparse.Namespace, half: bool) -> dict[str, float]:
    """The median seconds of a step of one side, and the gigabytes that it needed."""
    batch = _batch(args.rows, 288 if args.gpu else 32)
    step, memory = (ours if side == "ours" else peer)(folder, batch, args.gpu, half)
    seconds = []
    for _ in range((WARMUP if args.gpu else 0) + args.steps):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return {"seconds": statistics.median(seconds[-args.steps:]), "gigabytes": memory() / 1e9 if args.gpu
            else peak_memory()}


def _in_its_own_process(side: str, folder: Path, args: argparse.Namespace, half: bool) -> dict[str, float] | str:
    """What `measure` finds, or the last line of the error."""
    words = [sys.executable, __file__, "--side", side, "--folder", str(folder), "--rows", str(args.rows), "--steps",
             str(args.steps), *(["--gpu"] if args.gpu else []), *(["--half"] if half else [])]
    done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["no message"])[-1]
    return json.loads(done.stdout.strip().splitlines()[-1])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=0, help="pairs per step, a multiple of 4 [32; on a CPU 4]")
    parser.add_argument("--steps", type=int, default=0, help="timed steps [10; on a CPU 1]")
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    for name in ("--side", "--folder", "--gpu", "--half"):  # of the processes that this one starts
        parser.add_argument(name, help=argparse.SUPPRESS, **({"action": "store_true"} if name in ("--gpu", "--half")
                                                             else {}))
    return parser


def main() -> None:
    """Measure both sides, print a table, write JSON."""
    args = _parser().parse_args()
    if args.side:
        print(json.dumps(measure(args.side, Path(args.folder), args, args.half)))
        return
    import paddle
    from hf_peer import make_checkpoint

    args.gpu = paddle.device.cuda.device_count() > 0
    args.rows, args.steps = args.rows or (32 if args.gpu else 4), args.steps or (10 if args.gpu else 1)
    results: dict[str, Any] = {}
    print(f"Pre-training step, {'base' if args.gpu else 'a tiny model on the CPU, to try the program'}, {args.rows} "
          "pairs\n\n| precision | side | seconds | memory |\n| --- | --- | --- | --- |")
    with TemporaryDirectory() as temporary:
        make_checkpoint(Path(temporary), "PortForPreTraining", tie_word_embeddings=False,
                        **({} if args.gpu else SMALL))
        for half in (False, True) if args.gpu else (False,):
            for side in ("ours", "PyTorch"):
                name = "bfloat16" if half else "float32"
                found = results[f"{name}, {side}"] = _in_its_own_process(side, Path(temporary), args, half)
                cells = (found, "") if isinstance(found, str) else (f"{found['seconds']:.4f}",
                                                                    f"{found['gigabytes']:.2f} GB")
                print(f"| {name} | {side} | {cells[0]} | {cells[1]} |", flush=True)
    if args.output:
        args.output.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
