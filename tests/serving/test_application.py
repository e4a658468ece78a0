"""The API: equal to the pipelines, limits, errors as 4xx, search, metrics, and nothing of the machine's files."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from bridgetower import pipeline
from bridgetower.cli import main
from bridgetower.serving.application import build_application
from bridgetower.serving.request_limits import BodyLimit, Limits
from bridgetower.serving.served_model import ServedModel
from tests.saved_models import png_that_claims

Folders = Callable[[str], Path]
LIMITS = Limits(max_bytes=200_000, max_pixels=100_000, max_texts=5, max_characters=80)


def encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


@pytest.fixture(scope="module")
def open_client(saved: Folders) -> Iterator[Callable[..., TestClient]]:
    clients: list[TestClient] = []

    def open_client(name: str, index: Path | None = None) -> TestClient:
        client = TestClient(build_application(ServedModel(saved(name), index), LIMITS), raise_server_exceptions=False)
        clients.append(client.__enter__())
        return client

    yield open_client
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture(scope="module")
def vqa(open_client: Callable[..., TestClient]) -> TestClient:
    return open_client("vqa")


@pytest.fixture(scope="module")
def pretrained(open_client: Callable[..., TestClient], saved: Folders, pictures: list[Path],
               tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    index = tmp_path_factory.mktemp("serving") / "index"
    assert main(["index", str(saved("pretrain")), str(pictures[0].parent), "--output", str(index)]) == 0
    return open_client("pretrain", index)


def results(client: TestClient, path: str, **body: Any) -> Any:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()["results"]


def near(found: list[dict[str, Any]], expected: list[dict[str, Any]], label: str = "label") -> None:
    assert [one["label"] for one in found] == [one[label] for one in expected]
    np.testing.assert_allclose([one["score"] for one in found], [one["score"] for one in expected], atol=1e-5)


def test_ask(vqa: TestClient, saved: Folders, pictures: list[Path]) -> None:
    questions = ["what is this?", "red?"]
    found = results(vqa, "/ask", image=encoded(pictures[0]), questions=questions, top_k=3)
    expected = pipeline("visual-question-answering", saved("vqa"))(pictures[0], questions, top_k=3)
    for one, other in zip(found, expected, strict=True):
        near(one, other, "answer")
    data_url = f"data:image/png;base64,{encoded(pictures[0])}"
    near(results(vqa, "/ask", image=data_url, questions=questions)[0][:3], expected[0], "answer")


def test_match_fill_classify(pretrained: TestClient, saved: Folders, pictures: list[Path]) -> None:
    """All that one pre-trained model serves, its towers in memory once."""
    model, image = saved("pretrain"), encoded(pictures[1])
    match = pipeline("image-text-matching", model)(pictures[1], ["red", "blue"])
    for one, other in zip(results(pretrained, "/match", image=image, texts=["red", "blue"]), match, strict=True):
        near(one, [other])
    fill = pipeline("fill-mask", model)(pictures[1], "a <mask> square", top_k=4)
    found = results(pretrained, "/fill", image=image, texts=["a <mask> square"], top_k=4)[0]
    near(found, fill, "token_str")
    assert [one["text"] for one in found] == [one["sequence"] for one in fill]
    near(results(pretrained, "/classify", image=image, labels=["red", "blue"])[0],
         pipeline("zero-shot-image-classification", model)(pictures[1], ["red", "blue"]))


def test_explain(vqa: TestClient, pretrained: TestClient, open_client: Callable[..., TestClient], pictures: list[Path]
                 ) -> None:
    body = {"image": encoded(pictures[0]), "text": "what is this?"}
    response = vqa.post("/explain", json=body | {"answer": "blue"})
    assert response.status_code == 200 and response.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(response.content)).format == "PNG"
    assert pretrained.post("/explain", json=body | {"text": "a <mask> square"}).status_code == 200
    for change, status, message in (
            ({"answer": "purple"}, 400, "answer 'purple' is none of the model's 5 classes"),
            ({"text": " "}, 400, "has no words"), ({"text": "a <mask>"}, 400, "no head for fill-mask"),
            ({"text": "x" * 81}, 400, "81 characters"), ({"image": "?"}, 400, "not base64"),
            ({"text": None}, 422, "string")):
        response = vqa.post("/explain", json=body | change)
        assert (response.status_code, message in response.text) == (status, True), response.text
    assert open_client("itc").post("/explain", json=body).status_code == 404


def test_entailment(open_client: Callable[..., TestClient], saved: Folders, pictures: list[Path]) -> None:
    found = results(open_client("entailment"), "/classify", image=encoded(pictures[0]), text="red")[0]
    near(found, pipeline("image-text-classification", saved("entailment"))(pictures[0], "red"))


def test_towers_are_shared(saved: Folders) -> None:
    engines = {pipe.engine.model_class: pipe.engine for pipe in ServedModel(saved("pretrain")).pipelines.values()}
    assert len(engines) == 3
    assert len({id(engine.base) for engine in engines.values()}) == 1  # type: ignore[attr-defined]
    assert all(getattr(engine.model, "bridgetower", engine.model) is engine.base  # type: ignore[attr-defined]
               for engine in engines.values())


def test_search(pretrained: TestClient, saved: Folders, pictures: list[Path]) -> None:
    found = results(pretrained, "/search", image=encoded(pictures[3]), top_k=3)
    assert found[0]["name"] == pictures[3].name and found[0]["similarity"] == pytest.approx(1, abs=1e-5)
    assert len(found) == 3 and str(pictures[3].parent) not in str(found)
    response = pretrained.get(found[0]["picture"])
    assert response.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(response.content)).size == Image.open(pictures[3]).size
    words = results(pretrained, "/search", text="a red square", top_k=7, rerank=4)
    scores = [one["score"] for one in words]
    assert scores[:4] == sorted(scores[:4], reverse=True) and scores[4:] == [None] * 3


@pytest.mark.parametrize("path", ["/picture/..%2f..%2fetc%2fpasswd", "/picture/%2fetc%2fpasswd", "/../../etc/passwd",
                                  "/picture/" + "0" * 64, "/picture/' OR 1=1 --", "/page.html", "/static/x"])
def test_no_file_of_the_machine(path: str, pretrained: TestClient) -> None:
    assert pretrained.get(path).status_code == 404


@pytest.mark.parametrize("change, status, message", [
    ({"image": "?"}, 400, "image is not base64"),
    ({"image": base64.b64encode(b"no picture").decode()}, 400, "not in a picture format"),
    ({"image": base64.b64encode(png_that_claims(60000, 60000)).decode()}, 400, "image has more than 100000 pixels"),
    ({"image": base64.b64encode(png_that_claims(400, 400)).decode()}, 400, "more than 100000 pixels: 400 x 400"),
    ({"image": base64.b64encode(png_that_claims(40, 40)).decode()}, 400, "unreadable picture"),
    ({"image": "/etc/passwd"}, 400, "image is not"),
    ({"image": 7}, 422, "string"),
    ({"questions": []}, 422, "at least 1"),
    ({"questions": "red?"}, 422, "list"),
    ({"questions": ["x"] * 6}, 400, "6 texts, more than 5"),
    ({"questions": ["x" * 81]}, 400, "81 characters"),
    ({"questions": [" "]}, 400, "question is missing"),
    ({"top_k": 0}, 422, "greater than or equal to 1"),
    ({"image": "A" * 200_000}, 413, "more than 200000 bytes"),
])
def test_bad_requests(change: dict[str, Any], status: int, message: str, vqa: TestClient, pictures: list[Path]) -> None:
    body = {"image": encoded(pictures[0]), "questions": ["red?"], **change}
    response = vqa.post("/ask", json=body)
    assert (response.status_code, message in response.text) == (status, True), response.text
    assert "Traceback" not in response.text


def test_what_the_model_does_not_serve(vqa: TestClient, pretrained: TestClient, pictures: list[Path]) -> None:
    image = encoded(pictures[0])
    response = vqa.post("/fill", json={"image": image, "texts": ["a <mask>"]})
    assert response.status_code == 404 and response.json()["detail"].endswith("served: ask, classify, explain")
    assert vqa.post("/search", json={"text": "red"}).status_code == 404
    assert pretrained.post("/search", json={}).status_code == 400
    assert pretrained.post("/search", json={"image": image, "rerank": 3}).status_code == 400
    assert pretrained.post("/fill", json={"image": image, "texts": ["no gap"]}).status_code == 400
    assert pretrained.post("/classify", json={"image": image, "labels": ["a"], "text": "b"}).status_code == 400
    assert pretrained.post("/classify", json={"image": image}).status_code == 404
    assert vqa.post("/ask", content=b"{").status_code == 422
    assert vqa.get("/ask").status_code == 405


def test_health_metrics_and_pages(vqa: TestClient, pretrained: TestClient, pictures: list[Path]) -> None:
    assert vqa.get("/health").json() == {
        "status": "ok", "model": "vqa", "tasks": ["ask", "classify", "explain"], "classify_by": "text",
        "indexed_pictures": 0, "can_rerank": False, "max_bytes": LIMITS.max_bytes}
    health = pretrained.get("/health").json()
    assert health["can_rerank"]
    assert health["tasks"] == ["match", "fill", "classify", "search", "explain"] and health["indexed_pictures"] == 7
    results(vqa, "/ask", image=encoded(pictures[0]), questions=["red?"])
    vqa.get("/unknown/path")
    text = vqa.get("/metrics").text
    assert 'bridgetower_requests_total{path="/ask",status="200"}' in text and "unknown" not in text
    assert "bridgetower_waiting 0" in text and 'bridgetower_batch_size_bucket{le="+Inf"}' in text
    assert set(vqa.get("/openapi.json").json()["paths"]) >= {"/ask", "/match", "/fill", "/classify", "/search"}
    page = vqa.get("/")
    assert page.status_code == 200 and "<!doctype html>" in page.text.lower()
    assert "http://" not in page.text.replace("http://www.w3.org", "") and "https://" not in page.text


def test_full_queue_and_slow_answer(saved: Folders, pictures: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    release = threading.Event()
    model = ServedModel(saved("vqa"))
    monkeypatch.setattr(model, "runner", lambda *_, **__: lambda values: release.wait(60) and [[] for _ in values])
    limits = Limits(max_waiting=1, max_batch=1, answer_seconds=0.2)
    body = {"image": encoded(pictures[0]), "questions": ["red?"]}
    with TestClient(build_application(model, limits)) as client:
        assert client.post("/ask", json=body).status_code == 504  # it is being answered still
        assert client.post("/ask", json=body).status_code == 504  # it waited, and is given up
        worker_is_busy = [client.post("/ask", json=body).status_code for _ in range(2)]
        assert set(worker_is_busy) <= {503, 504} and 503 in worker_is_busy
        release.set()


class TestBody:
    """Bodies that come slowly, in pieces, or not at all."""

    @staticmethod
    def run(messages: list[dict[str, Any]], pause: float = 0.0) -> tuple[list[dict[str, Any]], list[bytes]]:
        sent: list[dict[str, Any]] = []
        seen: list[bytes] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            seen.append((await receive())["body"])

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(pause)
            return messages.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        limit = BodyLimit(app, Limits(max_bytes=10, body_seconds=0.5))
        asyncio.run(limit({"type": "http", "method": "POST"}, receive, send))
        return sent, seen

    def test_in_pieces(self) -> None:
        pieces = [{"type": "http.request", "body": b"12345", "more_body": True},
                  {"type": "http.request", "body": b"6789", "more_body": False}]
        assert self.run(pieces) == ([], [b"123456789"])

    def test_too_large_without_a_length(self) -> None:
        pieces = [{"type": "http.request", "body": b"123456", "more_body": number < 4} for number in range(5)]
        sent, seen = self.run(pieces)
        assert sent[0]["status"] == 413 and not seen and not pieces, "the client has sent everything"

    def test_half_sent(self) -> None:
        half = {"type": "http.request", "body": b"1", "more_body": True}
        assert self.run([half, {"type": "http.disconnect"}]) == ([], [])

    def test_slow(self) -> None:
        sent, seen = self.run([{"type": "http.request", "body": b"1", "more_body": True}] * 9, pause=0.2)
        assert sent[0]["status"] == 408 and not seen


def test_index_of_another_model(saved: Folders, pretrained: TestClient, tmp_path: Path, pictures: list[Path]) -> None:
    assert main(["index", str(saved("itm_itc")), str(pictures[0].parent), "--output", str(tmp_path / "index")]) == 0
    with pytest.raises(ValueError, match="was made with another model"):
        ServedModel(saved("pretrain"), tmp_path / "index")
    with pytest.raises(ValueError, match="no contrastive heads to search an index with"):
        ServedModel(saved("vqa"), tmp_path / "index")
