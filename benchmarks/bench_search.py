"""An index of a million vectors: time to build it, memory, milliseconds per query, recall at 10 against exact search.

    python benchmarks/bench_search.py [--vectors 1000000] [--width 64] [--queries 200] [--output results.json]

The vectors are a random walk on the sphere: each has a cosine of about 0.95 with the one before it, so that every
vector has near ones, as pictures have. Queries are vectors of the walk with noise, which are not in the index. Exact
are the ten of the largest products, computed with numpy. Building and answering run in processes of their own, whose
peak memory counts; the builder is given 50,000 vectors at a time, as from files of `bridgetower embed`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

TARGET = 0.95
_STEP, _CORRELATION, _NOISE, _TOP = 50_000, 0.95, 0.3, 10


def walk(count: int, width: int) -> Iterator[tuple[int, np.ndarray]]:
    """The vectors (M, C) of unit length in steps, each with the number of its first one."""
    from scipy.signal import lfilter

    draw = np.random.default_rng(0)
    state = draw.standard_normal((1, width))
    for start in range(0, count, _STEP):
        noise = draw.standard_normal((min(_STEP, count - start), width)) * np.sqrt(1 - _CORRELATION**2)
        points, _ = lfilter([1], [1, -_CORRELATION], noise, axis=0, zi=_CORRELATION * state)
        state = points[-1:]
        yield start, (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def exact_answers(count: int, width: int, queries: int) -> tuple[np.ndarray, np.ndarray]:
    """Queries (Q, C) and the numbers of the ten nearest vectors of each (Q, 10)."""
    draw = np.random.default_rng(1)
    wanted = np.sort(draw.choice(count, queries, replace=False))
    asked = np.concatenate([points[wanted[(wanted >= start) & (wanted < start + len(points))] - start]
                            for start, points in walk(count, width)])
    noise = draw.standard_normal(asked.shape) / np.sqrt(width)
    asked = asked + _NOISE * noise
    asked = (asked / np.linalg.norm(asked, axis=1, keepdims=True)).astype(np.float32)
    scores, numbers = np.full((queries, 0), 0, np.float32), np.zeros((queries, 0), np.int64)
    for start, points in walk(count, width):
        scores = np.concatenate([scores, asked @ points.T], axis=1)
        numbers = np.concatenate([numbers, np.broadcast_to(np.arange(start, start + len(points)),
                                                           (queries, len(points)))], axis=1)
        best = np.argpartition(-scores, min(_TOP, scores.shape[1] - 1), axis=1)[:, :_TOP]
        scores, numbers = np.take_along_axis(scores, best, 1), np.take_along_axis(numbers, best, 1)
    return asked, numbers


def _peak() -> float:
    """Gigabytes that this process had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def build(folder: str, count: int, width: int) -> dict[str, float]:
    """Make the index; seconds to add and to group the vectors, and memory."""
    from bridgetower.search.picture_index import Entry, PictureIndex
    from bridgetower.search.vector_files import Made

    index, made = PictureIndex(folder), Made("Walk", [1.0], width)
    start = time.perf_counter()
    with index.writing():
        for first, points in walk(count, width):
            index.upsert([Entry(f"/{first + row}.png", str(first + row)) for row in range(len(points))], points, made,
                         "walk")
        added = time.perf_counter()
        index.finish()
    return {"add": added - start, "group": time.perf_counter() - added, "memory": _peak()}


def answer(folder: str, asked: np.ndarray, exact: bool) -> dict[str, Any]:
    """The ten pictures that the index finds for each query, the milliseconds of each, and memory."""
    from bridgetower.search.picture_index import PictureIndex

    index = PictureIndex.existing(folder)
    index.nearest(asked[:1], _TOP, exact)
    found, milliseconds = [], []
    for number in range(len(asked)):
        start = time.perf_counter()
        (nearest,) = index.nearest(asked[number:number + 1], _TOP, exact)
        milliseconds.append(1000 * (time.perf_counter() - start))
        found.append([int(image[1:-4]) for image, *_ in nearest])
    return {"found": found, "milliseconds": milliseconds, "memory": _peak()}


def recall(found: list[list[int]], right: np.ndarray) -> float:
    """The share of the ten nearest that were found."""
    return statistics.mean(len({*some} & {*other}) / _TOP for some, other in zip(found, right.tolist(), strict=True))


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=64, help="of the vectors (64, as the quickstart's)")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    args = parser.parse_args()
    asked, right = exact_answers(args.vectors, args.width, args.queries)
    with tempfile.TemporaryDirectory() as folder:
        def alone(function: Any, *values: Any) -> Any:
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                return pool.submit(function, folder, *values).result()

        built = alone(build, args.vectors, args.width)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()) / 1e9
        ways = {"grouped": alone(answer, asked, False), "every vector": alone(answer, asked[:50], True)}
    print(f"{platform.machine()}, {os.cpu_count()} cores: {args.vectors} vectors of width {args.width}; adding "
          f"{built['add']:.0f} s, grouping {built['group']:.0f} s, memory {built['memory']:.2f} GB, disk {size:.2f} GB")
    print(f"{'compared with':14} {'recall at 10':>12} {'ms, median':>11} {'ms, 99%':>8} {'memory, GB':>11}")
    results = {"build": built, "disk": size}
    for name, way in ways.items():
        hits = recall(way["found"], right[:len(way["found"])])
        times = [float(np.percentile(way["milliseconds"], share)) for share in (50, 99)]
        print(f"{name:14} {hits:12.4f} {times[0]:11.2f} {times[1]:8.2f} {way['memory']:11.2f}")
        results[name] = {"recall": hits, "median": times[0], "p99": times[1], "memory": way["memory"]}
    print(f"target: a recall of {TARGET}")
    if args.output:
        args.output.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
