"""Time ours and a peer in turn, each in a process of its own, with as many threads each.

A benchmark gives two functions that build its cases, one a side. Each runs in a fresh process, so that neither
framework's threads, allocator or settings touch the other's; only one of the two works at a time. Every round runs
every case once on each side, and medians count: other work on the machine hits both alike.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Build", "Cases", "Comparison", "arguments", "compare", "least_seconds", "machine", "peak_memory",
           "random_pairs", "report"]

#: What runs when a case is timed; may return arrays, which the two sides must agree on.
Cases = Mapping[str, Callable[[], Any]]
#: Builds the cases of one side, given the number of threads and the benchmark's own settings.
Build = Callable[..., Cases]
#: OpenMP threads spin for a fifth of a second after their work before they sleep.
SECONDS_TO_REST = 0.3


def least_seconds(function: Callable[[], Any], rounds: int) -> float:
    """The least time of so many calls, after one to warm up."""
    function()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


@dataclass(frozen=True)
class _Run:
    """A run of one case on one side."""

    seconds: float
    result: Any
    peak_memory: float


@dataclass
class Comparison:
    """The seconds of each round of one case, ours and the peer's, and how far their results differ."""

    case: str
    ours: list[float] = field(default_factory=list)
    peer: list[float] = field(default_factory=list)
    difference: float | None = None
    our_memory: float = 0.0
    peer_memory: float = 0.0

    @property
    def ratio(self) -> float:
        """How many times faster ours is, by medians."""
        return statistics.median(self.peer) / statistics.median(self.ours)


def arguments(description: str | None, rounds: int = 5) -> argparse.ArgumentParser:
    """A parser with what all benchmarks take."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds, help="timed runs of each side, in turn")
    parser.add_argument("--threads", type=int, default=2, help="threads of each side")
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    return parser


def peak_memory() -> float:
    """The largest resident memory that this process has had, in gigabytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024 / 1e9
    raise RuntimeError("/proc/self/status has no VmHWM; peak memory can be read on Linux only")


def _serve(link: Connection, build: Build, threads: int, settings: Mapping[str, Any]) -> None:
    """The process of one side: builds its cases, then runs the one that it is told, until the parent is done."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    cases = build(threads, **settings)
    link.send(list(cases))
    while (name := link.recv()) is not None:
        start = time.perf_counter()
        result = cases[name]()
        link.send(_Run(time.perf_counter() - start, result, peak_memory()))


class _Side:
    def __init__(self, build: Build, threads: int, settings: Mapping[str, Any]) -> None:
        self._arguments = build, threads, settings

    def start(self) -> list[str]:
        """Start the process; the names of its cases."""
        context = multiprocessing.get_context("spawn")
        self._link, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, *self._arguments), daemon=True)
        self._process.start()
        other.close()  # so that a dead process ends the wait for its answer
        return self._link.recv()

    def run(self, case: str) -> _Run:
        time.sleep(SECONDS_TO_REST)
        self._link.send(case)
        return self._link.recv()

    def run_alone(self, case: str, warmup: int) -> _Run:
        """Run in a process of its own, which ends."""
        self.start()
        for _ in range(warmup):
            self.run(case)
        result = self.run(case)
        self.close()
        return result

    def close(self) -> None:
        self._link.send(None)
        self._process.join()


def compare(ours: Build, peer: Build, args: argparse.Namespace, warmup: int = 1,
            tolerance: float | Mapping[str, float | None] | None = None, together: bool = True,
            **settings: Any) -> list[Comparison]:
    """Run all cases of both sides in turn.

    Args:
        ours, peer: functions of the benchmark's module, called as `build(threads, **settings)`.
        args: of `arguments`.
        warmup: untimed rounds.
        tolerance: the largest absolute difference allowed between the results of the two sides, one for all cases or
            one for each; None: not compared.
        together: keep both sides in memory; else each run has a fresh process, with a warm-up of its own.
        settings: for both builders.

    Raises:
        RuntimeError: the two sides have other cases, or disagree by more than the tolerance.
    """
    sides = _Side(ours, args.threads, settings), _Side(peer, args.threads, settings)
    names = []
    for side in sides:
        names.append(side.start())
        if not together:
            side.close()
    if names[0] != names[1]:
        raise RuntimeError(f"ours has the cases {names[0]}, the peer {names[1]}")
    comparisons = [Comparison(case) for case in names[0]]
    untimed = warmup if together else 0
    for number in range(untimed + args.rounds):
        for comparison in comparisons:
            case = comparison.case
            print(f"\rround {number + 1} of {untimed + args.rounds}: {case:40}", end="", file=sys.stderr)
            # The side that goes first changes: neither always runs on the warmer machine.
            order = sides if number % 2 == 0 else sides[::-1]
            runs = {side: side.run(case) if together else side.run_alone(case, warmup) for side in order}
            if number >= untimed:
                allowed = tolerance[case] if isinstance(tolerance, Mapping) else tolerance
                _record(comparison, runs[sides[0]], runs[sides[1]], allowed)
    print(file=sys.stderr)
    if together:
        for side in sides:
            side.close()
    return comparisons


def _record(comparison: Comparison, our_run: _Run, peer_run: _Run, tolerance: float | None) -> None:
    """Add a round, if the results of both sides agree."""
    comparison.ours.append(our_run.seconds)
    comparison.peer.append(peer_run.seconds)
    comparison.our_memory = max(comparison.our_memory, our_run.peak_memory)
    comparison.peer_memory = max(comparison.peer_memory, peer_run.peak_memory)
    if tolerance is not None:
        comparison.difference = float(np.abs(np.asarray(our_run.result) - np.asarray(peer_run.result)).max())
        if not comparison.difference <= tolerance:
            raise RuntimeError(f"{comparison.case}: the results differ by {comparison.difference:.2e}, allowed are "
                               f"{tolerance:.0e}")


def random_pairs(rows: int = 4, length: int = 50, image_size: int = 288, words: int = 50265) -> dict[str, np.ndarray]:
    """A batch of pairs: `input_ids` of 8 tokens up to all of them, `attention_mask`, and normal `pixel_values`."""
    draw = np.random.default_rng(0)
    mask = (np.arange(length) < np.linspace(length, 8, rows).astype(int)[:, None]).astype(np.int64)
    ids = np.where(mask == 1, draw.integers(4, words, (rows, length)), 1)
    return {"input_ids": ids, "attention_mask": mask,
            "pixel_values": draw.standard_normal((rows, 3, image_size, image_size), dtype=np.float32)}


def _cell(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds):.3f} ({min(seconds):.3f}-{max(seconds):.3f})"


def machine() -> str:
    """What the numbers were measured on, in a line."""
    names = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
             if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0))
    return f"{names[0] if names else platform.machine()}, {cores} cores, Python {platform.python_version()}"


def report(title: str, comparisons: Sequence[Comparison], args: argparse.Namespace, target: float | None = None,
           with_memory: bool = False) -> None:
    """Print a Markdown table of medians and spreads, and write the JSON file if one is asked for."""
    print(f"{title}: {machine()}, {args.threads} threads, {args.rounds} rounds, seconds: median (min-max)\n")
    columns = ["case", "ours", "peer", "ratio"]
    if target is not None:
        columns.append("target")
    if any(one.difference is not None for one in comparisons):
        columns.append("largest difference")
    if with_memory:
        columns += ["our peak", "peer's peak"]
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    for one in comparisons:
        cells = {"case": one.case, "ours": _cell(one.ours), "peer": _cell(one.peer), "ratio": f"{one.ratio:.2f}",
                 "target": f"{target}", "our peak": f"{one.our_memory:.2f} GB",
                 "peer's peak": f"{one.peer_memory:.2f} GB",
                 "largest difference": "" if one.difference is None else f"{one.difference:.1e}"}
        print(f"| {' | '.join(cells[column] for column in columns)} |")
    if args.output:
        rows = [{**vars(one), "ratio": one.ratio} for one in comparisons]
        args.output.write_text(json.dumps({"title": title, "machine": machine(), "threads": args.threads,
                                           "target": target, "cases": rows}, indent=2) + "\n")
