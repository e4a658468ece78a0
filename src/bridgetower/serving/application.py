"""The JSON API and the page as a FastAPI application."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from fastapi_offline import FastAPIOffline
from PIL import Image, ImageOps

from ..picture_files.picture_reading import to_eight_bits
from ..pipelines.pictures import UnreadablePictureError, open_picture
from ..search.searching import Query
from .batch_worker import BatchWorker, QueueFullError
from .payloads import (
    Answer,
    Answers,
    AskRequest,
    ClassifyRequest,
    ExplainRequest,
    FillRequest,
    Health,
    MatchRequest,
    SearchRequest,
    SearchResult,
    SearchResults,
)
from .request_limits import BodyLimit, Limits, decode_picture
from .served_model import ServedModel
from .server_metrics import CountRequests, ServerMetrics

__all__ = ["build_application"]

_PAGE = Path(__file__).with_name("page.html")
_THUMBNAIL = 512


class _Service:
    """What the routes share."""

    def __init__(self, model: ServedModel, limits: Limits) -> None:
        self.model, self.limits = model, limits
        self.metrics = ServerMetrics()
        self.worker = BatchWorker(limits.max_batch, limits.max_waiting, self.metrics.batch)

    async def answer(self, task: str, image: str, texts: Sequence[str], **options: Any) -> list[Any]:
        """What a pipeline says of a picture and some texts."""
        if task not in self.model.pipelines:
            raise HTTPException(404, f"{self.model.name} has no head for {task}; served: {', '.join(self.model.tasks)}")
        self._check_texts(texts)
        picture = await self.picture(image)
        try:
            self.model.check(task, picture, texts)
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        kind = (task, *sorted((name, str(value)) for name, value in options.items()))
        pairs = [(picture, text) for text in texts]
        results: list[Any] = await self.wait(kind, self.model.runner(task, **options), pairs)
        return results

    async def picture(self, image: str) -> Image.Image:
        """A decoded picture; nothing is decoded while no more requests may wait."""
        try:
            self.worker.check_room()
            return await run_in_threadpool(decode_picture, image, self.limits)
        except QueueFullError as error:
            raise _busy(error) from None
        except UnreadablePictureError as error:
            raise HTTPException(400, str(error)) from None

    async def wait(self, kind: Any, handler: Any, value: Any) -> Any:
        """The result of a job, within the time that it may take."""
        try:
            future = self.worker.submit(kind, handler, value)
        except QueueFullError as error:
            raise _busy(error) from None
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self.limits.answer_seconds)
        except asyncio.TimeoutError:
            raise HTTPException(504, f"no answer within {self.limits.answer_seconds:g} seconds") from None

    def _check_texts(self, texts: Sequence[str]) -> None:
        if len(texts) > self.limits.max_texts:
            raise HTTPException(400, f"{len(texts)} texts, more than {self.limits.max_texts}")
        longest = max(map(len, texts), default=0)
        if longest > self.limits.max_characters:
            raise HTTPException(400, f"a text has {longest} characters, more than {self.limits.max_characters}")


def build_application(model: ServedModel, limits: Limits | None = None) -> FastAPI:
    """The application; its thread for the model lives as long as it does."""
    service = _Service(model, limits or Limits())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.worker.start()
        yield
        await run_in_threadpool(service.worker.stop)

    # FastAPI's own page of the API fetches its scripts from the internet, which a server need not have.
    app = FastAPIOffline(title="BridgeTower", version="1", lifespan=lifespan, redoc_url=None,
                         description=f"The model {model.name}. Served: {', '.join(model.tasks)}.")
    app.add_middleware(BodyLimit, limits=service.limits)
    app.add_exception_handler(RequestValidationError, _refuse)
    app.add_middleware(CountRequests, metrics=service.metrics)
    _add_page(app, service)
    _add_tasks(app, service)
    _add_explain(app, service)
    _add_search(app, service)
    return app


def _busy(error: QueueFullError) -> HTTPException:
    return HTTPException(503, str(error), {"Retry-After": "1"})


def _refuse(_: Request, error: Exception) -> Response:
    """What is wrong with a body, without repeating it: a picture is large, and a NaN cannot be written as JSON."""
    assert isinstance(error, RequestValidationError)
    found = [{name: one[name] for name in ("loc", "msg", "type")} for one in error.errors()]
    return JSONResponse({"detail": found}, 422)


def _add_page(app: FastAPI, service: _Service) -> None:
    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    def page() -> str:
        return _PAGE.read_text(encoding="utf-8")

    @app.get("/health", summary="What is served")
    def health() -> Health:
        model = service.model
        return Health(status="ok", model=model.name, tasks=model.tasks, classify_by=model.classify_by,
                      indexed_pictures=0 if model.index is None else len(model.index),
                      can_rerank=model.can_rerank, max_bytes=service.limits.max_bytes)

    @app.get("/metrics", response_class=PlainTextResponse, summary="Counters for Prometheus")
    def metrics() -> str:
        return service.metrics.text(lambda: service.worker.waiting)


def _add_tasks(app: FastAPI, service: _Service) -> None:
    @app.post("/ask", summary="Answer questions about a picture")
    async def ask(body: AskRequest) -> Answers:
        found = await service.answer("visual-question-answering", body.image, body.questions, top_k=body.top_k)
        return Answers(results=[[Answer(label=one["answer"], score=one["score"]) for one in result]
                                for result in found])

    @app.post("/match", summary="Say whether texts belong to a picture")
    async def match(body: MatchRequest) -> Answers:
        found = await service.answer("image-text-matching", body.image, body.texts)
        return Answers(results=[[Answer(label=one.get("label", "score"), score=one["score"])] for one in found])

    @app.post("/fill", summary="Fill in masked words of texts about a picture")
    async def fill(body: FillRequest) -> Answers:
        found = await service.answer("fill-mask", body.image, body.texts, top_k=body.top_k)
        first = [result[0] if result and isinstance(result[0], list) else result for result in found]
        return Answers(results=[[Answer(label=one["token_str"], score=one["score"], text=one["sequence"])
                                 for one in result] for result in first])

    @app.post("/classify", summary="Sort a picture into classes")
    async def classify(body: ClassifyRequest) -> Answers:
        if body.labels and body.text is not None:
            raise HTTPException(400, "labels and text exclude each other; send one of them")
        if body.labels:
            service._check_texts(body.labels)
            if not any(label.strip() for label in body.labels):
                raise HTTPException(400, "labels are empty")
            found = await service.answer("zero-shot-image-classification", body.image, ["class"],
                                         candidate_labels=body.labels)
        elif body.text is not None:
            found = await service.answer("image-text-classification", body.image, [body.text])
        else:
            found = await service.answer("image-classification", body.image, ["class"], top_k=None)
        return Answers(results=[[Answer(**one) for one in result] for result in found])


def _add_explain(app: FastAPI, service: _Service) -> None:
    model = service.model

    @app.post("/explain", response_class=Response, summary="Draw where the model looks, as a PNG",
              responses={200: {"content": {"image/png": {}}}})
    async def explain(body: ExplainRequest) -> Response:
        if not model.explains:
            raise HTTPException(404, f"{model.name} cannot be explained; served: {', '.join(model.tasks)}")
        service._check_texts([body.text, body.answer or ""])
        picture = await service.picture(body.image)
        try:  # of a kind of its own: an error must not meet other requests
            content = await service.wait(object(), model.explain, (picture, body.text, body.answer))
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        return Response(content, media_type="image/png")


def _add_search(app: FastAPI, service: _Service) -> None:
    model = service.model

    @app.post("/search", summary="Find pictures of the index")
    async def search(body: SearchRequest) -> SearchResults:
        if model.index is None:
            raise HTTPException(404, "the server was started without --index")
        if body.text is not None:
            service._check_texts([body.text])
        picture = None if body.image is None else await service.picture(body.image)
        try:
            found = await service.wait("search", model.search, Query(body.text, picture, body.top_k, body.rerank))
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        return SearchResults(results=[SearchResult(
            name=Path(one.image).name, picture=f"/picture/{one.sha256}", similarity=one.similarity, score=one.score)
            for one in found])

    @app.get("/picture/{content}", response_class=Response, summary="A picture of the index, made small")
    def picture(content: str) -> Response:
        path = model.index.path_of(content) if model.index is not None and len(content) == 64 else None
        if path is None:
            raise HTTPException(404, "the index has no such picture")
        try:
            image = open_picture(path, "picture")
        except UnreadablePictureError:
            raise HTTPException(404, "the picture is not there any more") from None
        assert isinstance(image, Image.Image)
        small = to_eight_bits(image).convert("RGB")
        if max(small.size) > _THUMBNAIL:
            small = ImageOps.contain(small, (_THUMBNAIL, _THUMBNAIL))
        stream = io.BytesIO()
        small.save(stream, "JPEG", quality=88)
        return Response(stream.getvalue(), media_type="image/jpeg", headers={"Cache-Control": "max-age=3600"})
