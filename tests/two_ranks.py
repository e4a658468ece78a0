"""Starts a script on two processes that talk over gloo; no process that a test starts may run for ever."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def ended_after(seconds: float, *processes: subprocess.Popen[str]) -> Iterator[None]:
    """Kill processes when the block takes longer than so many seconds; those of a launch end with their launcher."""
    timers = [threading.Timer(seconds, process.kill) for process in processes]
    for timer in timers:
        timer.start()
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()


def launch(python: Path | str, log_dir: Path, script: Path, *arguments: object, processes: int = 2
           ) -> subprocess.CompletedProcess[str]:
    """Run `script` on CPU processes with one thread each; logs go to `log_dir`.

    Args:
        python: the fixture `warm_python`, or `sys.executable` for Paddle's own launcher and fresh processes.
    """
    command = [python, "-m", "paddle.distributed.launch", "--nproc_per_node", processes, "--log_dir", log_dir,
               "--master", f"127.0.0.1:{free_port()}", script, *arguments]
    paths = [str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    # An empty list of devices, which the tests set, confuses the launcher.
    environment = {**{k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"},
                   "PADDLE_DISTRI_BACKEND": "gloo", "PYTHONPATH": os.pathsep.join(paths),
                   "BRIDGETOWER_TUNE_CPU": "0", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env=environment) as process, ended_after(240, process):
        outputs = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, *outputs)


def rank_logs(log_dir: Path) -> str:
    """What both processes wrote, for messages."""
    return "\n".join(f"--- {file.name}\n{file.read_text()[-3000:]}" for file in sorted(log_dir.glob("workerlog.*")))


def has_traceback(log: str) -> bool:
    """Whether a log holds a traceback of Python; what Paddle prints of a process that the launcher ends is none."""
    return re.search(r"Traceback \(most recent call last\):\s+File ", log) is not None
