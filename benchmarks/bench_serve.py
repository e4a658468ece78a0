"""A server under load: 64 clients ask 5,000 mixed questions; dynamic batching against one request at a time.

    python benchmarks/bench_serve.py MODEL PICTURES [--requests 5000] [--clients 64] [--output results.json]

MODEL has the heads of pre-training, such as build/quickstart/pretrain; PICTURES is a folder. The server is `bridgetower
serve` in a process of its own with an index of the pictures; the clients are connections that stay open, each sending a
request when it has the answer to the one before: match, fill, classify and search in turn. Three servers: with batches
of 16, with batches of 1, and with a queue of 8, which refuses what exceeds it. Whatever is neither answered nor refused
with 503 is an error and ends the program.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

TARGET = 2.0
SERVERS = {"batches of 16": ("--max_batch", "16"), "one by one": ("--max_batch", "1"),
           "a queue of 8": ("--max_batch", "4", "--max_waiting", "8")}


@dataclass
class Load:
    """What the clients saw: seconds of answered requests, statuses, seconds in all, and megabytes of the server."""

    answered: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0
    memory: list[float] = field(default_factory=list)

    @property
    def throughput(self) -> float:
        """Answered requests per second."""
        return len(self.answered) / self.seconds

    def milliseconds(self, share: float) -> float:
        """The time within which so many percent of the answers came."""
        return 1000 * float(np.percentile(self.answered, share))


@contextmanager
def serving(model: Path, index: Path, options: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    """A server; its address and the number of its process."""
    command = [sys.executable, "-m", "bridgetower", "serve", str(model), "--index", str(index), "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(command)} ended with status {process.wait()}")
        yield line.split()[-1], process.pid
    finally:
        process.terminate()
        process.wait(timeout=60)


def bodies(pictures: list[Path]) -> list[tuple[str, dict[str, Any]]]:
    """Paths and bodies of requests: four for each picture."""
    made: list[tuple[str, dict[str, Any]]] = []
    for picture in pictures:
        image = base64.b64encode(picture.read_bytes()).decode()
        made += [("/match", {"image": image, "texts": ["a red circle"]}),
                 ("/fill", {"image": image, "texts": ["a <mask> circle"]}),
                 ("/classify", {"image": image, "labels": ["circle", "triangle", "rectangle"]}),
                 ("/search", {"text": "a red circle", "image": image})]
    return made


def memory_of(process: int) -> float:
    """Megabytes that a process has."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


async def put_under_load(address: str, process: int, requests: list[tuple[str, dict[str, Any]]], count: int,
                         clients: int) -> Load:
    """Send requests from so many clients, each of them waiting for its answer."""
    load, numbers = Load(), iter(range(count))

    async def client(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            path, body = requests[number % len(requests)]
            start = time.perf_counter()
            async with session.post(path, json=body) as response:
                content = await response.text()
            load.statuses[response.status] += 1
            if response.status == 200:
                load.answered.append(time.perf_counter() - start)
            elif response.status != 503:
                raise RuntimeError(f"{path}: {response.status} {content[:300]}")
            if number % max(1, count // 20) == 0:
                load.memory.append(memory_of(process))

    # aiohttp, as the clients take their time from the server's cores: httpx needs 14 milliseconds for a request of 64
    # that share a pool, aiohttp a quarter of one.
    connector, timeout = aiohttp.TCPConnector(limit=clients), aiohttp.ClientTimeout(120)
    async with aiohttp.ClientSession(address, connector=connector, timeout=timeout) as session:
        for path, body in requests[:4]:  # the first of a kind is slow
            async with session.post(path, json=body) as response:
                response.raise_for_status()
        start = time.perf_counter()
        await asyncio.gather(*(client(session) for _ in range(clients)))
        load.seconds = time.perf_counter() - start
    return load


def measure(model: Path, pictures: Path, count: int, clients: int) -> dict[str, Load]:
    """Put each server under load."""
    files = sorted(pictures.glob("*.png"))[:64] or sorted(pictures.glob("*.jpg"))[:64]
    loads = {}
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "index"
        subprocess.run([sys.executable, "-m", "bridgetower", "index", str(model), str(pictures), "--output",
                        str(index)], check=True)
        for name, options in SERVERS.items():
            with serving(model, index, options) as (address, process):
                loads[name] = asyncio.run(put_under_load(address, process, bodies(files), count, clients))
            if name != "a queue of 8" and loads[name].statuses[503]:
                raise RuntimeError(f"{name}: refused {loads[name].statuses[503]} requests below the queue's bound")
    return loads


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    args = parser.parse_args()
    loads = measure(args.model, args.pictures, args.requests, args.clients)
    print(f"{platform.machine()}, {os.cpu_count()} cores, {args.clients} clients, {args.requests} requests")
    print(f"{'server':14} {'answered':>9} {'503':>6} {'per second':>11} {'p50, ms':>9} {'p99, ms':>9} {'MB':>16}")
    for name, load in loads.items():
        memory = f"{load.memory[0]:.0f} to {max(load.memory):.0f}"
        print(f"{name:14} {len(load.answered):9} {load.statuses[503]:6} {load.throughput:11.1f} "
              f"{load.milliseconds(50):9.0f} {load.milliseconds(99):9.0f} {memory:>16}")
    ratio = loads["batches of 16"].throughput / loads["one by one"].throughput
    print(f"batches of 16 answer {ratio:.2f} times as many requests as one by one (target: {TARGET})")
    if args.output:
        results = {name: {"statuses": dict(load.statuses), "per_second": load.throughput, "memory": load.memory,
                          "p50": load.milliseconds(50), "p99": load.milliseconds(99)} for name, load in loads.items()}
        args.output.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
