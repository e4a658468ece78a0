"""An interpreter for programs under test that has imported Paddle, PaddleNLP and this package already.

The fixture `warm_python` is the path of an executable that runs `FILE.py ...`, `-c PROGRAM ...` and `-m MODULE ...` as
an interpreter would, and `-m paddle.distributed.launch ... FILE.py ...` as Paddle's launcher would on one host without
GPUs. A server forks itself for each process, which saves the seconds of the imports. Tests of starting itself take the
real interpreter, `sys.executable`.
"""

from __future__ import annotations

import argparse
import atexit
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from tests.two_ranks import free_port

LAUNCHER = ["-m", "paddle.distributed.launch"]
STATUSES = "statuses.json"  # in the folder of logs of a launch: the exit statuses of its processes
GRACE = 10  # seconds
#: What a call prints to and is started with: the client hands over its streams, words, folder and environment.
CLIENT = '''#!{python} -S
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect("\\0{name}")
    words = sys.argv[2 if sys.argv[1] == "-u" else 1:]
    call = json.dumps([__file__, words, os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [len(call).to_bytes(4, "big")], [0, 1, 2])
    server.sendall(call)
    sys.exit(int(server.recv(16) or 1))
'''


def _run(words: list[str]) -> None:
    """Do what an interpreter does with `FILE ARGUMENT ...`, `-m MODULE ...` or `-c PROGRAM ...`."""
    kind, *rest = words if words[0] in ("-m", "-c") else ["", *words]
    folder = os.path.dirname(os.path.abspath(rest[0])) if not kind else os.getcwd() if kind == "-m" else ""
    sys.path[:1] = [folder, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    if kind == "-c":
        sys.argv = words[:1] + rest[1:]
        main = {"__name__": "__main__"}
        exec(compile(rest[0], "<string>", "exec"), main)
    elif kind == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = rest
        runpy.run_path(rest[0], run_name="__main__")


def _become(executable: str, words: list[str], environment: dict[str, str], streams: list[int]) -> NoReturn:
    """Run a program in this process, which a fork has made for it."""
    import paddle
    from paddle.distributed import parallel

    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.environ.clear()
    os.environ.update(environment, BRIDGETOWER_TUNE_CPU="0")  # too late for it, see `bridgetower.runtime`
    # Paddle has read these when it was imported.
    parallel._global_parallel_env = None
    paddle.base.core.set_num_threads(int(environment.get("OMP_NUM_THREADS", "1")))
    sys.executable = executable  # programs that start others start them warm
    try:
        _run(words)
        _leave(0)
    except SystemExit as end:
        _leave(end.code)
    except BaseException:
        traceback.print_exc()
        _leave(1)


def _leave(code: object) -> NoReturn:
    """End this process without taking the interpreter down, which would write to every page and so copy it."""
    if isinstance(code, str):
        print(code, file=sys.stderr)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(BrokenPipeError):
            stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _ranks(words: list[str], environment: dict[str, str]) -> Iterator[tuple[list[str], dict[str, str], Path | None]]:
    """Program, environment and log of each process of a launch."""
    parser = argparse.ArgumentParser()
    for flag in ("--log_dir", "--master"):
        parser.add_argument(flag, default="log")
    parser.add_argument("--nproc_per_node", type=int, default=1)
    parser.add_argument("program", nargs=argparse.REMAINDER)
    args = parser.parse_args(words)
    count, logs = args.nproc_per_node, Path(args.log_dir)
    logs.mkdir(parents=True, exist_ok=True)
    ports = {free_port() for _ in range(count + 4)}
    master, *ends = [f"127.0.0.1:{port}" for port in ports][:count + 1]
    for rank, end in enumerate(ends):
        yield args.program, environment | {
            "PADDLE_MASTER": master, "PADDLE_TRAINER_ENDPOINTS": ",".join(ends), "PADDLE_CURRENT_ENDPOINT": end,
            **{f"PADDLE_{name}": str(rank) for name in ("TRAINER_ID", "GLOBAL_RANK", "LOCAL_RANK", "RANK_IN_NODE")},
            **{f"PADDLE_{name}": str(count) for name in ("TRAINERS_NUM", "GLOBAL_SIZE", "LOCAL_SIZE")},
            "PADDLE_NNODES": "1"}, logs / f"workerlog.{rank}"


def _wait(children: list[int], caller: socket.socket) -> list[int]:
    """The statuses of processes; those that outlive a failure of another, or the caller, are killed."""
    running, statuses = {os.pidfd_open(child): child for child in children}, dict.fromkeys(children, 0)
    while running:
        ready = select.select([caller, *running], [], [], GRACE if any(statuses.values()) else None)[0]
        if not ready or caller in ready:
            for child in running.values():
                os.kill(child, signal.SIGKILL)
        for descriptor in [*running] if not ready or caller in ready else ready:
            child = running.pop(descriptor)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            statuses[child] = status if status >= 0 else 128 - status
    return [*statuses.values()]


def _answer(connection: socket.socket) -> None:
    """Run the call of a connection, and answer with its status; kill what still runs when the caller goes away."""
    length, streams, _, _ = socket.recv_fds(connection, 4, 3)
    call = connection.recv(int.from_bytes(length, "big"), socket.MSG_WAITALL)
    executable, words, folder, environment = json.loads(call)
    os.chdir(folder)
    children: list[int] = []
    ranks = [*_ranks(words[2:], environment)] if words[:2] == LAUNCHER else [(words, environment, None)]
    for program, own, log in ranks:
        child = os.fork()
        if not child:
            connection.close()
            if log and len(ranks) > 1:
                streams[1:] = [os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)] * 2
            _become(executable, program, own, streams)
        children.append(child)
    statuses = _wait(children, connection)
    if log := ranks[0][2]:
        (log.parent / STATUSES).write_text(json.dumps(statuses))
    with suppress(BrokenPipeError):  # the caller has gone
        connection.sendall(str(min(filter(None, statuses), default=0)).encode())


def serve(name: str) -> None:
    """Answer calls, each in a process of its own, until the process that started this one ends."""
    import paddlenlp.trainer  # noqa: F401

    import bridgetower.training.build
    import bridgetower.training.trainer  # noqa: F401

    gc.freeze()  # a collection would write to every object, too
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0" + name)
        listener.listen()
        print("ready", flush=True)
        children: set[int] = set()
        while sys.stdin not in (ready := select.select([listener, sys.stdin, *children], [], [])[0]):
            if listener in ready:
                connection, _ = listener.accept()
                with connection:
                    child = os.fork()
                    if not child:
                        listener.close()
                        _answer(connection)
                        os._exit(0)
                    children.add(os.pidfd_open(child))
            for descriptor in children.intersection(ready):
                os.waitid(os.P_PIDFD, descriptor, os.WEXITED)
                os.close(descriptor)
                children.remove(descriptor)


@contextmanager
def warm_interpreter(folder: Path) -> Iterator[Path]:
    """Path of the executable, which works inside the context."""
    client, name = folder / "python", f"warm-python-{os.getpid()}"
    client.write_text(CLIENT.format(python=sys.executable, name=name))
    client.chmod(0o755)
    with subprocess.Popen([sys.executable, "-m", "tests.warm_python", name], cwd=Path(__file__).parents[1],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None and server.stdout.readline() == "ready\n"
        yield client


if __name__ == "__main__":
    serve(sys.argv[1])
