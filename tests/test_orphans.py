"""Processes that a program started end with it, also when it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.two_ranks import ended_after

pytestmark = pytest.mark.slow

#: Starts workers, says their numbers, and waits to be killed.
LOADER = """
import multiprocessing, sys, time
import numpy as np
from paddle.io import BatchSampler
from bridgetower.datasets.loader import CarefulLoader
data = list(range(64))
loader = CarefulLoader(data, batch_sampler=BatchSampler(data, batch_size=1),
                       collate_fn=lambda samples: np.array(samples), num_workers=2)
batches = iter(loader)
next(batches)
print(*[child.pid for child in multiprocessing.active_children()], flush=True)
time.sleep(60)
"""
READER = """
import os, time
from pathlib import Path
from bridgetower.preparation.images import ImageReader
if __name__ == "__main__":
    reader = ImageReader(2)
    class Row:
        images = ()
    list(reader.read([Row() for _ in range(64)]))
    print(*reader._pool._processes, flush=True)
    time.sleep(60)
"""


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("program", [LOADER, READER], ids=["loader", "preparation"])
def test_workers_end_when_their_program_is_killed(tmp_path: Path, program: str) -> None:
    script = tmp_path / "program.py"
    script.write_text(program)
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent, ended_after(240, parent):
        assert parent.stdout is not None
        line = next(line for line in parent.stdout if line.split() and line.split()[0].isdecimal())
        workers = [int(number) for number in line.split()]
        os.kill(parent.pid, signal.SIGKILL)
    assert len(workers) == 2
    end = time.monotonic() + 30  # they end at once; a busy machine may need time to say so
    while any(map(is_alive, workers)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(is_alive, workers))
