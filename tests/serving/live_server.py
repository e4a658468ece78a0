"""A server in a thread of this process, at a free port."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import FastAPI

from bridgetower.serving.server import make_server, open_port


@contextmanager
def running(app: FastAPI, idle_seconds: int = 15) -> Iterator[tuple[str, int]]:
    """Serve the application; its address and port."""
    opened = open_port("127.0.0.1", 0)
    server = make_server(app, idle_seconds)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]}, daemon=True)
    thread.start()
    try:
        yield opened.getsockname()
    finally:
        server.should_exit = True
        thread.join(timeout=30)
        opened.close()
