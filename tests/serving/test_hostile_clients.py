"""What careless and hostile clients send to a real port: an answer of 4xx, no traceback, and the server goes on."""

from __future__ import annotations

import base64
import http.client
import io
import json
import logging
import resource
import socket
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from bridgetower.serving.application import build_application
from bridgetower.serving.request_limits import Limits
from bridgetower.serving.served_model import ServedModel
from tests.saved_models import png_that_claims
from tests.serving.live_server import running

LIMITS = Limits(max_bytes=1 << 20, max_pixels=1_000_000, body_seconds=0.5)
HEAD = "POST /ask HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
Address = tuple[str, int]


@pytest.fixture(scope="module")
def model(saved: Callable[[str], Path]) -> ServedModel:
    return ServedModel(saved("vqa"))


@pytest.fixture(scope="module")
def address(model: ServedModel) -> Iterator[Address]:
    with running(build_application(model, LIMITS), idle_seconds=1) as place:
        yield place


@pytest.fixture
def patient(model: ServedModel) -> Iterator[Address]:
    """A server that waits for whoever sends much on a busy machine."""
    with running(build_application(model, replace(LIMITS, body_seconds=100))) as place:
        yield place


@pytest.fixture(autouse=True)
def server_goes_on(address: Address, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Afterwards the server answers as before, and has logged no exception."""
    with caplog.at_level(logging.WARNING):
        yield
    assert not [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR]
    assert ask(address)[0] == 200


def picture(width: int = 40, height: int = 30, kind: str = "PNG") -> str:
    stream = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(stream, kind)
    return base64.b64encode(stream.getvalue()).decode()


def ask(address: Address, **changes: object) -> tuple[int, str]:
    connection = http.client.HTTPConnection(*address, timeout=20)
    connection.request("POST", "/ask", json.dumps({"image": picture(), "questions": ["red?"], **changes}),
                       {"Content-Type": "application/json"})
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, text


def send(address: Address, *pieces: str | bytes) -> str:
    """Send bytes as they are; all that comes back until the server closes the connection."""
    with socket.create_connection(address, timeout=20) as connection:
        for piece in pieces:
            connection.sendall(piece if isinstance(piece, bytes) else piece.encode())
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


@pytest.mark.parametrize("sent, status", [
    (HEAD + "Content-Length: 100\r\n\r\n{", 408),
    (HEAD + "Transfer-Encoding: chunked\r\n\r\n5\r\n{", 408),
    ("POST /ask HTTP/1.1\r\nHost:", 408),
    ("", 408),
    ("\x00\x01\x02 nonsense\r\n\r\n", 400),
    (HEAD + "Content-Length: -5\r\n\r\n", 400),
    (HEAD + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}", 400),
    ("GET /" + "x" * 100_000, 4),
    (HEAD + "Content-Length: 2\r\nConnection: close\r\n\r\n{}", 422),
    (HEAD + "Content-Length: 1\r\nConnection: close\r\n\r\n\xff", 4),
    (HEAD + "Content-Length: 0\r\nConnection: close\r\n\r\n", 422),
    ("GET /../../../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404),
    ("GET /picture/..%2f..%2f..%2fetc%2fpasswd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404),
    ("GET /picture/%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404),
    ("GET //etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404),
    ("DELETE /ask HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 405),
], ids=["slow body", "slow chunks", "slow head", "silence", "no HTTP", "negative length", "two lengths", "long path",
        "empty object", "no UTF-8", "no body", "dots", "encoded dots", "zero byte", "two slashes", "other method"])
def test_requests(sent: str, status: int, address: Address) -> None:
    answer = send(address, sent.encode("latin-1"))
    assert answer.startswith(f"HTTP/1.1 {status}"), answer[:200]
    assert "Traceback" not in answer and "root:" not in answer


def test_a_client_that_goes_away(address: Address) -> None:
    for sent in (HEAD, HEAD + "Content-Length: 1000\r\n\r\n{"):
        with socket.create_connection(address, timeout=20) as connection:
            connection.sendall(sent.encode())


def test_200_megabytes(patient: Address) -> None:
    """Announced or in pieces, they are thrown away as they come, and the client hears 413."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    block = b"A" * (1 << 20)
    announced = send(patient, HEAD + f"Content-Length: {200 << 20}\r\n\r\n", *[block] * 200)
    assert announced.startswith("HTTP/1.1 413 ")
    pieces = [b"100000\r\n" + block + b"\r\n"] * 3
    in_pieces = send(patient, HEAD + "Transfer-Encoding: chunked\r\n\r\n", *pieces, b"0\r\n\r\n")
    assert in_pieces.startswith("HTTP/1.1 413 ")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000, "kilobytes"


def test_a_body_that_claims_to_be_compressed(address: Address) -> None:
    """Bodies are taken as they are: what would unfold to 50 MB stays small and is no JSON."""
    body = zlib.compress(b" " * (50 << 20))
    head = HEAD + f"Content-Encoding: deflate\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    assert send(address, head, body).startswith("HTTP/1.1 4")


@pytest.mark.parametrize("changes, message", [
    ({"image": base64.b64encode(png_that_claims(60_000, 60_000)).decode()}, "image has more than 1000000 pixels"),
    ({"image": picture(2000, 600)}, "more than 1000000 pixels: 2000 x 600"),
    ({"image": picture()[:60]}, "image"),
    ({"image": "data:text/html;base64,PGI+"}, "not in a picture format"),
    ({"image": "file:///etc/passwd"}, "image is not base64"),
    ({"image": "http://127.0.0.1/x.png"}, "image is not base64"),
    ({"image": picture(kind="TIFF")[:-200]}, "image"),
    ({"questions": ["?" * 2000]}, "2000 characters"),
    ({"questions": ["?"] * 65}, "65 texts"),
    ({"image": None}, "string"),
    ({"questions": [1]}, "string"),
    ({"questions": {"a": 1}}, "list"),
    ({"top_k": 10**30}, "less than or equal"),
    ({"top_k": float("nan")}, "top_k"),
])
def test_bodies(changes: dict[str, object], message: str, address: Address) -> None:
    status, text = ask(address, **changes)
    assert status in (400, 422) and message in text, text


def test_deep_json(address: Address) -> None:
    body = "[" * 100_000
    assert send(address, HEAD + f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n", body
                ).startswith("HTTP/1.1 4")
