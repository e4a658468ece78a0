"""Run the application with uvicorn until a signal ends it."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["make_server", "open_port", "run_server"]

_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class _BoundedHead(H11Protocol):
    """HTTP/1.1 in which the head of a request must arrive within the keep-alive time; uvicorn itself waits forever."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unwatch()

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:  # the head is there
            self._unwatch()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.timeout_keep_alive, self._refuse)

    def _unwatch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self) -> None:
        self._deadline = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.write(_TOO_SLOW)
            self.transport.close()


def open_port(host: str, port: int) -> socket.socket:
    """Take a port before anything slow happens.

    Raises:
        ValueError: there is no such port.
        OSError: it is in use, or the address is not of this machine.
    """
    if not 0 <= port < 1 << 16:
        raise ValueError(f"port {port} does not exist; ports are 0 (any that is free) to 65535")
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


def make_server(app: FastAPI, idle_seconds: int = 15) -> uvicorn.Server:
    """A server of the application.

    Args:
        app: what to serve.
        idle_seconds: in which the head of a request must arrive, and after which an unused connection is closed.
    """
    return uvicorn.Server(uvicorn.Config(app, http=_BoundedHead, log_level="warning", access_log=False,
                                         timeout_graceful_shutdown=30, timeout_keep_alive=idle_seconds,
                                         limit_concurrency=1000))


def run_server(app: FastAPI, opened: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM; requests that were begun are finished."""
    for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn raises them once more when it has ended
        signal.signal(number, lambda *_: None)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    make_server(app).run(sockets=[opened])
