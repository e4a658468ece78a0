"""What a request may cost: bytes, seconds to arrive, pixels; checked before anything reads it."""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
import json
from dataclasses import dataclass

from PIL import Image
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..picture_files.picture_formats import open_picture_file
from ..pipelines.pictures import UnreadablePictureError, open_picture

__all__ = ["BodyLimit", "Limits", "decode_picture"]


@dataclass(frozen=True)
class Limits:
    """What the server accepts.

    Attributes:
        max_bytes: of the body of a request.
        max_pixels: of a picture.
        max_texts: of a request.
        max_characters: of a text.
        body_seconds: in which the body must arrive.
        answer_seconds: in which the answer must come.
        max_waiting: requests that may wait; more are refused with 503.
        max_batch: requests that pass the model together.
    """

    max_bytes: int = 16 << 20
    max_pixels: int = 50_000_000
    max_texts: int = 64
    max_characters: int = 1000
    body_seconds: float = 20.0
    answer_seconds: float = 60.0
    max_waiting: int = 128
    max_batch: int = 16


class BodyLimit:
    """ASGI middleware that reads a body as a whole, and refuses one that is too large (413) or too slow (408).

    What goes beyond the limit is read and thrown away: most clients see an answer only after they have sent everything.
    """

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app, self.limits = app, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        body, is_late = _Body(self.limits.max_bytes), False
        try:
            await asyncio.wait_for(body.read(receive), self.limits.body_seconds)
        except asyncio.TimeoutError:
            is_late = True
        if body.is_abandoned:
            return
        if body.size > self.limits.max_bytes:
            await _refuse(send, 413, f"the request has more than {self.limits.max_bytes} bytes")
            return
        if is_late:
            await _refuse(send, 408, f"the request did not arrive within {self.limits.body_seconds:g} seconds")
            return
        sent = False

        async def replay() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": b"".join(body.parts), "more_body": False}

        await self.app(scope, replay, send)


class _Body:
    """A body as it arrives.

    Attributes:
        parts: what has arrived; nothing once it is too large.
        size: of all that has arrived.
        is_abandoned: whether the client has gone before the end.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.parts: list[bytes] = []
        self.size, self.is_abandoned = 0, False

    async def read(self, receive: Receive) -> None:
        """Read to the end."""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.is_abandoned = True
                return
            part, more = message.get("body", b""), message.get("more_body", False)
            self.size += len(part)
            if self.size <= self.max_bytes:
                self.parts.append(part)
            else:
                self.parts.clear()


async def _refuse(send: Send, status: int, detail: str) -> None:
    body = json.dumps({"detail": detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()),
               (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def decode_picture(text: str, limits: Limits) -> Image.Image:
    """A picture from base64, with or without `data:image/...;base64,` before it.

    Raises:
        UnreadablePictureError: it is neither, is no picture, or has too many pixels.
    """
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise UnreadablePictureError("image is not base64") from None
    try:
        with open_picture_file(io.BytesIO(content)) as image:  # reads the header only
            width, height = image.size
    except Image.DecompressionBombError:
        raise UnreadablePictureError(f"image has more than {limits.max_pixels} pixels") from None
    except Exception as error:  # Pillow's readers raise many kinds for what is no picture
        raise UnreadablePictureError("image is not in a picture format") from error
    if width * height > limits.max_pixels:
        raise UnreadablePictureError(f"image has more than {limits.max_pixels} pixels: {width} x {height}")
    opened = open_picture(content, "image")
    assert isinstance(opened, Image.Image)
    return opened
