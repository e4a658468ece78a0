"""Runs trainings on two processes that are forked from one which has imported everything: no run waits for imports.

`python forked_ranks.py LOG_FOLDER RUNS` reads from RUNS a JSON list of objects with `argv`, the command line, and
`stop_at`, the step at which the second process gets SIGTERM, or null; it prints the pairs of exit statuses as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

from tests.two_ranks import free_port

SECONDS = 60  # for a run of a few steps


def run_rank(rank: int, ports: list[int], argv: list[str], stop_at: int | None, log: Path) -> NoReturn:
    """Be one of the two processes of a run, as if Paddle's launcher had started it."""
    for stream in (1, 2):
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    ends = [f"127.0.0.1:{port}" for port in ports[:2]]
    os.environ |= {
        "PADDLE_MASTER": f"127.0.0.1:{ports[2]}", "PADDLE_TRAINER_ENDPOINTS": ",".join(ends),
        "PADDLE_CURRENT_ENDPOINT": ends[rank], "PADDLE_TRAINER_ID": str(rank), "PADDLE_TRAINERS_NUM": "2",
        "PADDLE_GLOBAL_RANK": str(rank), "PADDLE_LOCAL_RANK": str(rank), "PADDLE_RANK_IN_NODE": str(rank),
        "PADDLE_GLOBAL_SIZE": "2", "PADDLE_LOCAL_SIZE": "2", "PADDLE_NNODES": "1", "PADDLE_DISTRI_BACKEND": "gloo"}
    from paddle.distributed import parallel

    from bridgetower.training.preemption import Preemption
    from bridgetower.training.run import run_program

    parallel._global_parallel_env = None  # the imports have asked for it already, in the process that was forked

    plain = Preemption.on_step_end

    def on_step_end(self: Preemption, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if rank == 1 and state.global_step == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        plain(self, args, state, control, **kwargs)

    Preemption.on_step_end = on_step_end  # type: ignore[method-assign]
    sys.argv[1:] = argv
    status = 1
    try:
        run_program()
    except SystemExit as end:
        status = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(status)


def run_pair(argv: list[str], stop_at: int | None, log_folder: Path) -> list[int]:
    """The exit statuses of both processes of a run; -9 of one that had to be killed."""
    ports = [free_port() for _ in range(3)]
    children = []
    for rank in (0, 1):
        child = os.fork()
        if child == 0:
            run_rank(rank, ports, argv, stop_at, log_folder / f"workerlog.{rank}")
        children.append(child)
    end, statuses = time.monotonic() + SECONDS, dict.fromkeys(children, -signal.SIGKILL)
    waiting = set(children)
    while waiting and time.monotonic() < end:
        for child in list(waiting):
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                statuses[child] = os.waitstatus_to_exitcode(status)
                waiting.remove(child)
        time.sleep(0.02)
    for child in waiting:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return [statuses[child] for child in children]


def main() -> None:
    """Do the runs one after the other, and stop at the first that ends otherwise than the one before it began."""
    import paddlenlp.trainer  # noqa: F401

    import bridgetower.training.build
    import bridgetower.training.trainer  # noqa: F401

    folder, runs = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    folder.mkdir(parents=True, exist_ok=True)
    statuses: list[list[int]] = []
    for run in runs:
        statuses.append(run_pair(run["argv"], run["stop_at"], folder))
        if not set(statuses[-1]) <= {0, 75}:
            break
    print(json.dumps(statuses))


if __name__ == "__main__":
    main()
