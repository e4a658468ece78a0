"""An interpreter for scripts under test that has imported Paddle already.

`warm_python` gives the path of an executable that runs `-m MODULE ...` and `-m paddle.distributed.launch ... FILE.py`
with one process like an interpreter would. A server forks itself for each call, which saves the seconds of the
imports; calls for several processes go to the real interpreter and the real launcher.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

LAUNCHER = "paddle.distributed.launch"
#: What a call prints to and is started with: the client hands over its streams, words, folder and environment.
CLIENT = '''#!{python} -S
import json, os, socket, sys
words = [word for word in sys.argv[1:] if word != "-u"]
if "{launcher}" in words and words[words.index("--nproc_per_node") + 1] != "1":
    os.execv("{python}", ["{python}", *sys.argv[1:]])
with socket.socket(socket.AF_UNIX) as server:
    server.connect("\\0{name}")
    call = json.dumps([words, os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [len(call).to_bytes(4, "big")], [0, 1, 2])
    server.sendall(call)
    sys.exit(int(server.recv(16)))
'''


def _program(words: list[str]) -> None:
    """Run `-m MODULE ARGUMENT ...`; of the launcher's words, the program and what follows it."""
    assert words[0] == "-m", words
    if words[1] == LAUNCHER:
        start = next(place for place, word in enumerate(words) if word.endswith(".py"))
        sys.argv = words[start:]
        runpy.run_path(words[start], run_name="__main__")
    else:
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)


def _become(connection: socket.socket) -> NoReturn:
    """Run the call of a connection in this process, which a fork has made for it."""
    length, streams, _, _ = socket.recv_fds(connection, 4, 3)
    words, folder, environment = json.loads(connection.recv(int.from_bytes(length, "big"), socket.MSG_WAITALL))
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    _program(words)
    raise SystemExit(0)


def _answer(connection: socket.socket) -> None:
    child = os.fork()
    if not child:
        _become(connection)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    connection.sendall(str(status if status >= 0 else 128 - status).encode())


def serve(name: str) -> NoReturn:
    """Answer calls one after another, until a signal ends the process."""
    import paddlenlp.trainer  # noqa: F401

    import bridgetower.training.trainer  # noqa: F401

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0" + name)
        listener.listen()
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            with connection:
                _answer(connection)


@contextmanager
def warm_python(folder: Path) -> Iterator[Path]:
    """Path of the executable, which works inside the context."""
    client, name = folder / "python", f"warm-python-{os.getpid()}"
    client.write_text(CLIENT.format(python=sys.executable, launcher=LAUNCHER, name=name))
    client.chmod(0o755)
    with subprocess.Popen([sys.executable, __file__, name], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None and server.stdout.readline() == "ready\n"
            yield client
        finally:
            server.send_signal(signal.SIGKILL)


if __name__ == "__main__":
    serve(sys.argv[1])
