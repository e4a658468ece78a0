"""How fast and how small the converter is, beside `torch.load` + `torch.save` of the same file.

    python benchmarks/bench_convert.py                # base (323M) and large (859M), 8 GB of temporary files
    python benchmarks/bench_convert.py --sizes base --repeats 5

Each measurement is a process of its own: its wall time from start to end (imports included) and its peak resident
memory, in which the pages of a mapped file count. Both programs read the file from the page cache and write as many
bytes. The best of the repeats stands in the table, because other work on the machine only ever adds time.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
HEADS = ("mlm_head.bias", "itm_head.bias")
WALL_LIMIT = 2.0  # times torch
MEMORY_LIMIT = 1.3  # times the file, plus 1 GB


@dataclass(frozen=True)
class Size:
    """Widths and depths of a released model."""

    width: int
    layers: int
    patch_size: int
    image_size: int
    text_tower: str
    image_tower: str


SIZES = {
    "base": Size(768, 12, 16, 288, "roberta-base", "CLIP-ViT-B/16"),
    "large": Size(1024, 24, 14, 294, "roberta-large", "CLIP-ViT-L/14"),
}


def fields(size: Size) -> dict[str, Any]:
    """The configuration as the converter writes it."""
    tower = {"hidden_size": size.width, "intermediate_size": 4 * size.width, "num_hidden_layers": size.layers}
    return {
        **tower, "num_hidden_layers": 6, "num_bridges": 6, "bridge_type": "add", "token_type_vocab_size": 2,
        "text_config": {**tower, "vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1},
        "vision_config": {**tower, "kind": "clip", "num_channels": 3, "patch_size": size.patch_size,
                          "image_size": size.image_size},
    }  # fmt: skip


def make_checkpoint(name: str, path: Path) -> None:
    """Write a random pre-training checkpoint with the original's names."""
    import torch

    from bridgetower.conversion import from_paddle
    from bridgetower.conversion.names.shapes import expected_shapes

    size = SIZES[name]
    shapes = expected_shapes(fields(size), HEADS)
    # One number each, only to learn the original's names and shapes.
    small = {key: np.broadcast_to(np.float32(0), shape) for key, shape in shapes.items()}
    names = {key: array.shape for key, array in from_paddle(small, "original")[0].items()}
    torch.manual_seed(0)
    state = {key: torch.randn(shape) * 0.02 for key, shape in names.items()}
    config = {"hidden_size": size.width, "num_heads": size.width // 64, "tokenizer": size.text_tower,
              "vit": size.image_tower, "loss_names": {"mlm": 1, "itm": 1}}  # fmt: skip
    torch.save({"state_dict": state, "hyper_parameters": {"config": config}}, path)


def measure(command: list[str]) -> tuple[float, float]:
    """Wall seconds and peak resident gigabytes of a process.

    Raises:
        RuntimeError: it failed.
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    start = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    errors = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if os.waitstatus_to_exitcode(status):
        raise RuntimeError(f"{' '.join(command[:3])} failed: {errors[-500:]}")
    return seconds, usage.ru_maxrss * 1024 / 1e9  # ru_maxrss counts kilobytes on Linux


def bench(name: str, folder: Path, repeats: int) -> str:
    """Measure one size; returns its rows of the table."""
    source, output = folder / f"{name}.ckpt", folder / f"{name}.out"
    subprocess.run([sys.executable, __file__, "--make", name, str(source)], check=True,
                   env=os.environ | {"PYTHONPATH": str(ROOT / "src")})  # fmt: skip
    gigabytes = source.stat().st_size / 1e9
    copy = "import sys, torch; torch.save(torch.load(sys.argv[1], map_location='cpu'), sys.argv[2])"
    convert = [sys.executable, str(ROOT / "torch2paddle.py"), str(source), "--output"]
    programs = {
        "torch.load + torch.save": [sys.executable, "-c", copy, str(source), str(output)],
        "torch2paddle.py (.pdparams)": [*convert, f"{output}.pdparams"],
        "torch2paddle.py (.safetensors)": [*convert, f"{output}.safetensors"],
    }
    results: dict[str, tuple[float, float]] = {}
    for _ in range(repeats):
        for program, command in programs.items():
            seconds, memory = measure(command)
            best = results.get(program, (float("inf"), 0.0))
            results[program] = min(best[0], seconds), max(best[1], memory)
            for written in folder.glob(f"{output.name}*"):
                written.unlink()
    source.unlink()
    base = results["torch.load + torch.save"][0]
    rows = []
    for program, (seconds, memory) in results.items():
        ratio = seconds / base
        limit = MEMORY_LIMIT * gigabytes + 1
        kept = "" if program.startswith("torch.load") else "yes" if ratio <= WALL_LIMIT and memory <= limit else "NO"
        rows.append(f"| {name}, {gigabytes:.2f} GB | {program} | {seconds:.2f} s | {ratio:.2f} | {memory:.2f} GB "
                    f"| {memory / gigabytes:.2f} | {kept} |")  # fmt: skip
    return "\n".join(rows)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made; default: the system's")
    parser.add_argument("--make", nargs=2, metavar=("SIZE", "PATH"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.make:
        make_checkpoint(arguments.make[0], Path(arguments.make[1]))
        return
    print("| checkpoint | program | wall time | times torch | peak memory | times the file | within limits |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for name in arguments.sizes:
            print(bench(name, Path(folder), arguments.repeats), flush=True)


if __name__ == "__main__":
    main()
