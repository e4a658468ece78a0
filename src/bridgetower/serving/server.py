"""Run the application with uvicorn until a signal ends it."""

from __future__ import annotations

import logging
import signal
import socket

import uvicorn
from fastapi import FastAPI

__all__ = ["open_port", "run_server"]


def open_port(host: str, port: int) -> socket.socket:
    """Take a port before anything slow happens.

    Raises:
        OSError: it is in use, or the address is not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((host, port))
        opened.listen(128)  # whoever connects while the model loads is answered when it has
    except OSError as error:
        opened.close()
        raise OSError(f"port {port} of {host} cannot be used ({error.strerror or error}); choose another with --port"
                      ) from None
    return opened


def run_server(app: FastAPI, opened: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM; requests that were begun are finished."""
    for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn raises them once more when it has ended
        signal.signal(number, lambda *_: None)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=30,
                                  timeout_keep_alive=15, limit_concurrency=1000)).run(sockets=[opened])
